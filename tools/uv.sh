#!/usr/bin/env bash
# uv.sh PYTHON: prints the uv to use: the one that is installed, or one that is fetched into .tools/ with this interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if uv --version >/dev/null 2>&1; then echo uv; exit; fi
own=.tools/uv/bin/uv
if ! "$own" --version >/dev/null 2>&1; then
  rm -rf .tools/uv
  "$1" -c 'import ensurepip, venv' 2>/dev/null || tools/apt.sh "Python's venv module" python3-venv
  echo "setup: fetching uv into .tools/" >&2
  "$1" -m venv .tools/uv >&2
  .tools/uv/bin/python -m pip install -q --disable-pip-version-check uv >&2
fi
echo "$own"
