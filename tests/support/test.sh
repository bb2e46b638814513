#!/usr/bin/env bash
# Runs all tests and says at the end, in plain words, what ran and what was skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
log=$target/test.log
export SYNTHLLM_SKIPPED=$PWD/target/skipped.txt
[[ $target = /* ]] && SYNTHLLM_SKIPPED=$target/skipped.txt
: >"$SYNTHLLM_SKIPPED"

started=$SECONDS
cargo test --workspace --locked --no-run
built=$SECONDS
status=0
cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log" || status=$?

awk -v build=$((built - started)) -v run=$((SECONDS - built)) '
  /^test result:/ { passed += $4; failed += $6; ignored += $8 }
  END { printf "\ntests: %d passed, %d failed, %d ignored; built in %d s, run in %d s\n", passed, failed, ignored, build, run }' "$log"
if [ -s "$SYNTHLLM_SKIPPED" ]; then
  sort -u "$SYNTHLLM_SKIPPED"
else
  echo "skipped: nothing"
fi
exit "$status"
