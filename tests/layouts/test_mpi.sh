#!/usr/bin/env bash
# The comm backends' tests and the collectives under MPI, over shared memory and over TCP; then jobs in which a rank fails,
# dies, leaves, hangs or disagrees: they must end, with one rank that reports it.
set -u
tests=$2/tests
for program in test_comm test_collectives test_expert_rows test_comm_fault; do
  if ! command -v mpirun >/dev/null || ! ldd "$tests/$program" | grep -q libmpi; then
    echo "skipped: there is no mpirun, or xlm was built without MPI"
    exit 77
  fi
done
# Open MPI: as root (containers), and more processes than processors. Others ignore these.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export ASAN_OPTIONS=detect_leaks=0 # MPI keeps what it allocates
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0

fail() {
  echo "FAILED: $*"
  cat "$out"
  failed=1
}

for n in 2 4; do
  for program in test_comm test_collectives test_expert_rows; do
    timeout 300 mpirun -n $n "$tests/$program" >"$out" 2>&1 || fail "$program on $n processes"
  done
done
OMPI_MCA_btl=self,tcp timeout 300 mpirun -n 4 "$tests/test_collectives" >"$out" 2>&1 || fail "test_collectives over TCP"

# scenario NAME TEXT: the job ends, not well; the text stands in the one report ('': nobody is left to report).
scenario() {
  timeout 300 mpirun -n 3 "$tests/test_comm_fault" "$1" >"$out" 2>&1
  local code=$?
  [ $code -ne 0 ] && [ $code -ne 124 ] || fail "$1: exit code $code"
  [ -z "$2" ] && return
  [ "$(grep -c '^REPORT' "$out")" = 1 ] || fail "$1: not one report"
  grep -q "^REPORT.*$2" "$out" || fail "$1: not '$2'"
}
scenario fails 'rank 1 failed in layer 3: the disk is full'
[ "$(grep -c 'knows: rank 1 failed in layer 3' "$out")" = 3 ] || fail 'not all ranks learned of it'
scenario dies ''
scenario leaves ''
scenario sleeps 'waited 2.* s in layer 3 for rank 1'
scenario sends_more 'layer 3'
scenario sends_less 'layer 3'
exit $failed
