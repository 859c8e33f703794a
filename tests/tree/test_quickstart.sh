#!/usr/bin/env bash
# tools/quickstart.sh with the binaries of this build and a few steps, twice: the second run replaces the first.
#   test_quickstart.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) binary_dir=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for round in 1 2; do
  if ! QUICKSTART_BUILD=$binary_dir QUICKSTART_STEPS=2 QUICKSTART_OUT=$work/run "$source_dir/tools/quickstart.sh" \
    > "$work/log" 2>&1 < /dev/null; then
    echo "FAILED: round $round"
    cat "$work/log"
    exit 1
  fi
done
for made in step-00000002/model.safetensors metrics.jsonl loss.svg; do
  [ -s "$work/run/$made" ] || { echo "FAILED: no $made"; exit 1; }
done
for text in 'nats per byte' 'static void ' "loss curve    $work/run/loss.svg"; do
  grep -qF "$text" "$work/log" || { echo "FAILED: it does not say '$text'"; exit 1; }
done
