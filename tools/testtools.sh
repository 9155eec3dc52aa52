#!/usr/bin/env bash
# What only the tests need: strace, which watches a run's connections, Chromium, which shows the report page, and the S3 and
# Blob servers that they run against. Does nothing when all are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v strace >/dev/null || tools/apt.sh strace strace
command -v chromium >/dev/null || command -v google-chrome >/dev/null || tools/apt.sh chromium chromium
.venv/bin/python -m tests.cluster.ground install versitygw
.venv/bin/python -m tests.azurite
