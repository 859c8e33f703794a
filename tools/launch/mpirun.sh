#!/usr/bin/env bash
# Several hosts with mpirun, one rank per process. All hosts must have the program, the data and the output
# folder under the same paths (a shared file system).
#
#   HOSTS=node1:8,node2:8 tools/launch/mpirun.sh --config configs/sixteen.yaml --data corpus/*.txt
#
# HOSTS lists hosts and their numbers of ranks; without it everything runs here. The product of the mesh must
# be the total number of ranks (RANKS). MPIRUN has further flags of mpirun.
#
# Ctrl-C, or TERM or INT sent to this script, stops in order: the step is finished and a checkpoint written,
# however long that takes; a second signal ends the job at once. For this reason mpirun does not receive these
# signals: Open MPI would wait a second, forward them, and kill a second later (odls_base_sigkill_timeout
# makes both delays longer, but also those after the death of a rank). It forwards USR1 at once and kills
# nothing.
set -eu
default=xlmrun # installed: paths are relative to the current folder
tree=$(dirname "$0")/../..
if [ -x "$tree/build/xlmrun" ]; then
  cd "$tree"
  default=build/xlmrun
fi
xlmrun=${XLMRUN:-$default}
ranks=${RANKS:-16}
threads=${THREADS:-1} # per rank
read -r -a flags <<<"${MPIRUN:-}"
[ -z "${HOSTS:-}" ] || flags+=(--host "$HOSTS")
output=${OUTPUT:-checkpoints}
if ls -d "$output"/step-* >/dev/null 2>&1; then more=(--resume "$output"); else more=(--output-dir "$output"); fi

setsid mpirun -n "$ranks" "${flags[@]}" "$xlmrun" train "$@" --threads "$threads" "${more[@]}" & # setsid: Ctrl-C is for
                                                                                                 # this script only
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
