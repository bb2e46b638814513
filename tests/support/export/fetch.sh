#!/usr/bin/env bash
# Installs the packages that read exports (datasets, pandas, duckdb) into a virtual environment of the cache; prints its python.
# Again: prints it, no download.
#
# Everything is pinned by hash. The cache is $SYNTHLLM_CACHE, else ${XDG_CACHE_HOME:-~/.cache}/synthllm.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${SYNTHLLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synthllm}
venv=$cache/export

say() { echo "fetch: $*" >&2; }

# One installation at a time: two tests may ask at once.
mkdir -p "$cache"
exec 9>"$cache/.lock-export"
if command -v flock >/dev/null; then flock 9; fi

if ! cmp -s "$here/packages.txt" "$venv/installed.txt"; then
  say "installing datasets, pandas and duckdb into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv" >&2 || {
    say "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
    exit 1
  }
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    -r "$here/packages.txt" >&2
  cp "$here/packages.txt" "$venv/installed.txt"
fi
echo "$venv/bin/python"
