#!/usr/bin/env bash
# Installs pinned Python packages into a virtual environment of the cache; prints its python. Again: prints it, no download.
#
#   venv.sh NAME PACKAGES.txt [PIP_OPTION...]
#
# Everything is pinned by hash. The cache is $SYNTHLLM_CACHE, else ${XDG_CACHE_HOME:-~/.cache}/synthllm.
set -euo pipefail

name=$1 packages=$2
shift 2
cache=${SYNTHLLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synthllm}
venv=$cache/$name

say() { echo "venv: $*" >&2; }

# One installation at a time: two tests may ask at once.
mkdir -p "$cache"
exec 9>"$cache/.lock-$name"
if command -v flock >/dev/null; then flock 9; fi

if ! cmp -s "$packages" "$venv/installed.txt"; then
  say "installing $(grep -c '^[a-z]' "$packages") packages into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv" >&2 || {
    say "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
    exit 1
  }
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes "$@" \
    -r "$packages" >&2
  cp "$packages" "$venv/installed.txt"
fi
echo "$venv/bin/python"
