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
#
# --restarts N and --min-ranks N: a job whose rank died goes on, see restart.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/restart.sh"
default=xlmrun # installed: paths are relative to the current folder
if [ -x "$here/../../build/xlmrun" ]; then
  cd "$here/../.."
  default=build/xlmrun
fi
xlmrun=${XLMRUN:-$default}
ranks=${RANKS:-16}
threads=${THREADS:-1} # per rank
hosts=${HOSTS:-}
output=${OUTPUT:-checkpoints}
take_flags "$@"

start() {
  local n=$1 flags
  shift
  read -r -a flags <<<"${MPIRUN:-}"
  [ -z "$hosts" ] || flags+=(--host "$hosts")
  setsid mpirun -n "$n" "${flags[@]}" "$xlmrun" train "${train[@]}" "$@" --threads "$threads" "$(where)" "$output" & # setsid: Ctrl-C is
                                                                                                                # for this script only
  job=$!
  code=0
  wait $job || code=$?
  while kill -0 $job 2>/dev/null; do # a signal ended the wait, not the job
    code=0
    wait $job || code=$?
  done
}

# Leaves out hosts that do not start a program any more.
count_room() {
  local host slots left=()
  room=$ranks
  [ -n "$hosts" ] || return 0
  room=0
  for host in ${hosts//,/ }; do
    timeout 60 mpirun -n 1 --host "$host" true >&2 || continue
    left+=("$host")
    slots=${host##*:}
    [ "$slots" != "$host" ] || slots=1
    room=$((room + slots))
  done
  hosts=$(IFS=, && echo "${left[*]}")
}

stop() {
  if [ $asked = 0 ]; then kill -USR1 $job; else kill -TERM $job; fi || true
  asked=1
}
trap stop INT TERM
run_job
