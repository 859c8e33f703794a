#!/usr/bin/env bash
# Builds the harnesses of tests/fuzz with clang's libFuzzer and sanitizers, and runs each for ten minutes: none may crash, take
# ten seconds for an input, or 2 GiB.
#   tools/fuzz.sh [--seconds N] [NAME...]     NAME: json, plan, ... (all)
# What is found by the way stays in build/fuzz/corpus and is gone on from. An input that fails is put, made smaller, into
# tests/fuzz/corpus/fuzz_NAME, where the ordinary tests take it from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=600
if [ "${1:-}" = --seconds ]; then
  seconds=$2
  shift 2
fi
names=("$@")
if [ $# = 0 ]; then
  for file in tests/fuzz/fuzz_*.c; do
    name=${file##*/fuzz_}
    names+=("${name%.c}")
  done
fi
tools/deps.sh clang
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache); fi
cmake -G Ninja -S . -B build/fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_C_FLAGS_RELEASE="-O1 -g1" -DXLM_FUZZ=ON -DXLM_CHECKED=ON "${launcher[@]}" >/dev/null
ninja -C build/fuzz "${names[@]/#/fuzz_}" >build/fuzz/build.log || { grep -A 20 -m 1 FAILED build/fuzz/build.log >&2; exit 1; }

failed=0
for name in "${names[@]}"; do
  program=build/fuzz/tests/fuzz_$name seeds=tests/fuzz/corpus/fuzz_$name corpus=build/fuzz/corpus/$name found=build/fuzz/found/$name
  limits=(-rss_limit_mb=2048 -timeout=10)
  rm -rf "$found"
  mkdir -p "$corpus" "$found"
  code=0
  "$program" "${limits[@]}" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$found/" "$corpus" "$seeds" \
    >"build/fuzz/$name.log" 2>&1 || code=$?
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log")
  peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "build/fuzz/$name.log")
  echo "$name: ${runs:-?} inputs, at most ${peak:-?} MiB"
  [ $code != 0 ] || continue
  failed=1
  grep -m 3 -E 'ERROR|internal error|runtime error' "build/fuzz/$name.log" || true
  for input in "$found"/*; do
    small=$seeds/$(basename "$input")
    "$program" "${limits[@]}" -minimize_crash=1 -max_total_time=60 -exact_artifact_path="$small" "$input" >/dev/null 2>&1 || true
    [ -f "$small" ] || cp "$input" "$small"
    echo "  $small"
  done
done
exit $failed
