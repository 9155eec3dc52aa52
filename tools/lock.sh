#!/usr/bin/env bash
# Writes requirements.lock, and of it a lock for each image, so that a change that an image has no part in leaves its layers
# alone. Versions that are locked already stay where pyproject.toml still allows them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv=$(tools/uv.sh .venv/bin/python)
compile() { "$uv" pip compile -q --generate-hashes --no-header --no-annotate "$@" pyproject.toml; }

compile --all-extras -o requirements.lock
image() { compile "${@:2}" -c requirements.lock -o "requirements/$1.lock"; }
image operator --extra operator
image preflight --extra preflight
image azure --extra preflight --extra azure
image runner --extra runner --extra azure
