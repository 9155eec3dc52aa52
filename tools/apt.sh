#!/usr/bin/env bash
# apt.sh WHAT PACKAGE...: adds Debian packages as root; says which ones to ask for where that cannot be. Prints to stderr.
set -euo pipefail
what=$1
shift
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  echo "setup: $what is missing; install it (on Debian: apt-get install $*)" >&2
  exit 2
fi
echo "setup: installing $* with apt-get" >&2
if ! said=$(apt-get update -qq 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 2>&1); then
  printf '%s\nsetup: %s could not be installed\n' "$said" "$what" >&2
  exit 2
fi
