#!/usr/bin/env bash
# The demo: documents in, concept graph, samples of all three levels out, on this machine.
#
#   make demo                                    downloads a small model and its server, once
#   make demo MODEL=path.gguf                    another model in llama.cpp's format
#   make demo ENDPOINT=http://... MODEL_NAME=... any endpoint that speaks OpenAI chat completions (key: SYNTHLLM_API_KEY)
#   make demo LOG=kafka                          the same on a real Apache Kafka broker
#
# Its state is kept in .demo/, so a second run pays for nothing again. `rm -rf .demo` starts afresh.
set -euo pipefail

support=$(cd "$(dirname "$0")" && pwd)
cd "$support/../.."
state=$PWD/.demo
log=${LOG:-sqlite}
config=configs/demo.toml
cache=${SYNTHLLM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/synthllm}
threads=$(nproc 2>/dev/null || echo 2)
context=8192
slots=2
server=
watcher=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

fail() {
  echo "demo: $*" >&2
  exit 1
}

synthllm() { "$binary" --config "$config" "$@"; }

# What an earlier run left is not fetched, built or paid for again.
announce() {
  [ -n "${ENDPOINT:-}" ] && return
  if [ ! -d "$cache/server" ] || { [ -z "${MODEL:-}" ] && ! ls "$cache"/qwen2.5-coder-0.5b* >/dev/null 2>&1; }; then
    say "This needs about 1.5 GB of disk: a model (0.5 GB, checked by hash), its server, and the build. It is kept in $cache."
  fi
}

build() {
  say 'Building'
  cargo build --locked
  binary=${CARGO_TARGET_DIR:-target}/debug/synthllm
}

start_broker() {
  say 'Starting Apache Kafka'
  SYNTHLLM_LOG__BROKERS=$("$support/kafka/kafka.sh" start "$state/kafka" | tail -n 1)
  export SYNTHLLM_LOG__BROKERS SYNTHLLM_LOG__KIND=kafka
  synthllm topics create
}

# The server ends when its standard input closes, and so with this script, however that ends.
start_model() {
  local python model address
  python=$("$support/model/fetch.sh" server)
  model=${MODEL:-$("$support/model/fetch.sh" qwen25-coder-0.5b)}
  [ -f "$model" ] || fail "there is no model at '$model'"
  say "Starting the model server: $(basename "$model") on $threads threads"
  exec {server_input}> >(
    OMP_WAIT_POLICY=passive exec "$python" "$support/model/serve.py" "$model" 0 $slots $context "$threads" \
      >"$state/server.out" 2>"$state/server.log"
  )
  server=$!
  until address=$(sed -n 's/^ready //p' "$state/server.out" 2>/dev/null) && [ -n "$address" ]; do
    kill -0 "$server" 2>/dev/null || fail "the model server did not start; see $state/server.log"
    sleep 0.2
  done
  export SYNTHLLM_LLM__ENDPOINT=$address/v1
  [ -z "${MODEL:-}" ] || export SYNTHLLM_LLM__MODEL=${MODEL_NAME:-$(basename "$MODEL" .gguf)}
}

use_endpoint() {
  [ -n "${MODEL_NAME:-}" ] || fail 'ENDPOINT needs MODEL_NAME, the name of the model at that endpoint'
  export SYNTHLLM_LLM__ENDPOINT=$ENDPOINT SYNTHLLM_LLM__MODEL=$MODEL_NAME
}

# Notes when the first sample is there.
watch_for_first_sample() {
  local begun=$SECONDS
  while sleep 2; do
    synthllm export "$state/first.jsonl" >/dev/null 2>&1 || continue
    if [ -s "$state/first.jsonl" ]; then
      echo $((SECONDS - begun)) >"$state/first-seconds"
      return
    fi
  done
}

run() {
  local begun=$SECONDS
  say "Running until nothing is left to do; Ctrl-C stops, and the next make demo goes on from there"
  if [ ! -s "$state/first.jsonl" ]; then
    watch_for_first_sample &
    watcher=$!
  fi
  synthllm run --drain
  run_seconds=$((SECONDS - begun))
}

report() {
  synthllm export "$state/samples.jsonl" >/dev/null
  synthllm graph stats --json >"$state/graph.json"
  synthllm status --json >"$state/status.json"
  python3 "$support/demo/show.py" "$state"
  echo "run took $run_seconds s; the first sample of this demo came after $(cat "$state/first-seconds" 2>/dev/null || echo '?') s"
  sed "s|@synthllm|$binary --config $config|" <<'END'

What to try next
  @synthllm graph neighbors "linear regression"
  @synthllm graph draw 5                        combinations without any model
  @synthllm delete ID && make demo              withdraws the samples that stand on document ID
  @synthllm ingest FILE.jsonl && make demo      your own documents; only they are extracted
  raise sampling.limit in configs/demo.toml, and make demo    more samples; the first are not paid again
  rm -rf .demo                                                start afresh
END
}

stop() {
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
  if [ -n "$server" ]; then
    exec {server_input}>&-
    kill "$server" 2>/dev/null || true
  fi
  [ "$log" != kafka ] || "$support/kafka/kafka.sh" stop "$state/kafka" >/dev/null 2>&1 || true
}

case $log in
  sqlite) groups=(build model) ;;
  kafka) groups=(build model kafka) ;;
  *) fail "LOG is sqlite or kafka, found '$log'" ;;
esac
mkdir -p "$state"
trap stop EXIT
announce
"$support/setup.sh" "${groups[@]}"
build
[ "$log" = sqlite ] || start_broker
if [ -n "${ENDPOINT:-}" ]; then use_endpoint; else start_model; fi
say 'Reading 204 documents'
synthllm ingest configs/demo/corpus.jsonl
run
report
