#!/usr/bin/env bash
# Makes .venv with all that Millwright and its tests need, as requirements.lock has it. Does nothing when it is there.
#
# Needs Python 3.11 or newer and a package registry. uv is used where it is installed, and fetched into .tools/ where it
# is not. Environment: PYTHON, the interpreter to use.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 2; }

stamp=$(cat pyproject.toml requirements.lock | cksum)
[[ -f .venv/.millwright && $(<.venv/.millwright) == "$stamp" ]] && exit 0

find_python() {
  local candidate own=
  # The distribution's own is built with profiles: a third faster than one that pyenv has compiled.
  if [[ :$PATH: == *:/usr/bin:* ]] && /usr/bin/python3.11 -c 'import ensurepip' 2>/dev/null; then own=/usr/bin/python3.11; fi
  for candidate in ${PYTHON:-$own python3.11 python3.12 python3.13 python3}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

python=$(find_python) || { tools/apt.sh "Python 3.11 or newer" python3 python3-venv || exit 2; python=$(find_python); } ||
  die "no Python of 3.11 or newer was found; name one with PYTHON="
uv=$(tools/uv.sh "$python")
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}
say "installing into .venv, about 6 GB the first time (torch brings its CUDA libraries)"
[[ -x .venv/bin/python ]] || "$uv" venv -q --python "$python" .venv
"$uv" pip install -q --python .venv/bin/python -c requirements.lock -e '.[runner,azure,operator,preflight,dev]'
printf '%s' "$stamp" >.venv/.millwright
say "done"
