#!/usr/bin/env bash
# Planning time is proportional to the size of the model: for four times the rounds, not much more than four
# times the instructions. Counted by valgrind, so the machine does not matter.
#   test_linear.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) xlmc=$(cd "$2" && pwd)/xlmc
export LC_ALL=C NO_COLOR=1
command -v valgrind > /dev/null || { echo "needs valgrind"; exit 77; }
grep -q __asan_init "$xlmc" && { echo "sanitizers and valgrind do not go together"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
failed=0

. "$source_dir/tools/bench/rounds.sh"
for n in 250 1000; do rounds $n > $n.xlm; done

instructions() { # ARGUMENTS...: how many xlmc runs with them
  valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$xlmc" "$@" 2>&1 > /dev/null | sed -n 's/.*I *refs: *//p' | tr -d ,
}

# linear ARGUMENTS...
linear() {
  local few many
  few=$(instructions plan 250.xlm "$@") many=$(instructions plan 1000.xlm "$@")
  [ -n "$few" ] && [ -n "$many" ] || { echo "FAILED: valgrind does not run xlmc plan $*"; failed=1; return; }
  [ $((many * 10)) -le $((few * 44)) ] && return
  echo "FAILED: plan $*: $few instructions for 250 rounds, $many for 1,000"
  failed=1
}

linear --micro-batch-size 4
linear --micro-batch-size 4 --tp 2
linear --micro-batch-size 4 --pp 2 --dp 2 --zero 3 --num-microbatches 2 --recompute full
exit $failed
