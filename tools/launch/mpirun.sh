#!/usr/bin/env bash
# Several hosts with mpirun, one rank per process. Every host sees the program, the data and the output folder under the same
# paths (a shared file system).
#
#   HOSTS=node1:8,node2:8 tools/launch/mpirun.sh --config configs/sixteen.yaml --data corpus/*.txt
#
# HOSTS lists hosts and how many ranks each takes; without it everything runs here. The product of the mesh must be the number
# of ranks in all (RANKS). MPIRUN holds more of mpirun's flags.
#
# Ctrl-C, or TERM or INT sent to this script, stops in good order: the step is finished, a checkpoint written, however long that
# takes; a second one ends the job at once. That is why mpirun does not get these signals itself: Open MPI then waits a second,
# sends them on, and kills a second later (its odls_base_sigkill_timeout makes both waits longer, but those after the death of a
# rank, too). USR1 it hands on at once and kills nothing.
set -eu
cd "$(dirname "$0")/../.."
xlmrun=${XLMRUN:-build/xlmrun}
ranks=${RANKS:-16}
threads=${THREADS:-1} # of each rank
read -r -a flags <<<"${MPIRUN:-}"
[ -z "${HOSTS:-}" ] || flags+=(--host "$HOSTS")
output=${OUTPUT:-checkpoints}
if ls -d "$output"/step-* >/dev/null 2>&1; then more=(--resume "$output"); else more=(--output-dir "$output"); fi

setsid mpirun -n "$ranks" "${flags[@]}" "$xlmrun" train "$@" --threads "$threads" "${more[@]}" & # setsid: Ctrl-C is for us only
job=$!
asked=0
stop() {
  if [ $asked = 0 ]; then kill -USR1 $job; else kill -TERM $job; fi
  asked=1
}
trap stop INT TERM
code=0
wait $job || code=$?
while kill -0 $job 2>/dev/null; do # a signal ended the wait, not the job
  code=0
  wait $job || code=$?
done
exit $code
