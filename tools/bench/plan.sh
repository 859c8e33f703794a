#!/usr/bin/env bash
# Measures planning: a model of many rounds, and Llama 405B on 16,384 ranks with and without a memory limit.
#   tools/bench/plan.sh XLMC [--time-passes]
# One line each: processor seconds, and what was planned. --time-passes adds the time of each pass.
set -eu
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
. "$source_dir/tools/bench/rounds.sh"
[ $# -ge 1 ] && [ -x "$1" ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 1; }
xlmc=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
passes=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# bench WHAT ARGUMENTS...
bench() {
  local what=$1 TIMEFORMAT='%U %S'
  shift
  { time "$xlmc" plan "$@" ${passes:+"$passes"} > "$work/out" 2> "$work/err" || [ $? = 3 ]; } 2> "$work/time"
  awk -v what="$what" '{ printf "%8.2f s  %s\n", $1 + $2, what }' "$work/time"
  [ -z "$passes" ] || cat "$work/err"
}

for n in 1000 4000 10000; do
  rounds $n > "$work/$n.xlm"
  bench "$n rounds" "$work/$n.xlm" --micro-batch-size 4
done
llama=("$source_dir/models/llama.xlm" --preset l3_405b --seq-length 8192 --tp 8 --pp 16 --dp 128 --micro-batch-size 1
  --global-batch-size 2048 --zero 1)
bench "llama 405B, 16,384 ranks, --recompute full" "${llama[@]}" --recompute full
bench "llama 405B, 16,384 ranks, --recompute auto, 65 GiB" "${llama[@]}" --recompute auto --memory-limit 65GiB
