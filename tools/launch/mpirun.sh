#!/usr/bin/env bash
# Several hosts with mpirun, one rank per process. Every host sees the program, the data and the output folder under the same
# paths (a shared file system).
#
#   HOSTS=node1:8,node2:8 tools/launch/mpirun.sh --config configs/sixteen.yaml --data corpus/*.txt
#
# HOSTS lists hosts and how many ranks each takes; without it everything runs here. The product of the mesh must be the number
# of ranks in all. To stop in good order (the step is finished, a checkpoint written): kill -USR1 on the process id of mpirun.
set -eu
cd "$(dirname "$0")/../.."
xlmrun=${XLMRUN:-build/xlmrun}
ranks=${RANKS:-16}
threads=${THREADS:-1} # of each rank
where=()
[ -n "${HOSTS:-}" ] && where=(--host "$HOSTS")
output=${OUTPUT:-checkpoints}
if ls -d "$output"/step-* >/dev/null 2>&1; then more=(--resume "$output"); else more=(--output-dir "$output"); fi
exec mpirun -n "$ranks" "${where[@]}" "$xlmrun" train "$@" --threads "$threads" "${more[@]}"
