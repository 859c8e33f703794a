# For tests under mpirun; sourced after xlmrun_lib.sh. Leaves as skipped (77) where there is no MPI.
if ! command -v mpirun >/dev/null || ! ldd "$program" | grep -q libmpi; then
  echo "skipped: there is no mpirun, or xlm was built without MPI"
  exit 77
fi
# Open MPI: as root (containers), and more processes than processors. Others ignore these.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_orte_base_help_aggregate=0
export ASAN_OPTIONS=detect_leaks=0 # MPI keeps what it allocates

# job N COMMAND...: under mpirun, for at most a minute.
job() {
  timeout 300 mpirun -n "$@"
}

# The processes of this test's job that write into a folder: another test may run at the same time.
ranks_of() {
  local pid
  for pid in $(pgrep -f "^$program train .*--output-dir $1( |\$)"); do
    [ "$(readlink "/proc/$pid/cwd")" = "$(realpath "$work")" ] && echo "$pid"
  done
}

# all_gone DIR: the ranks of a job that is over have ten seconds to be gone.
all_gone() {
  for _ in $(seq 100); do
    [ -n "$(ranks_of "$1")" ] || return 0
    sleep 0.1
  done
  fail "a rank stays: $(ps -o pid,stat,wchan:20,args -p "$(ranks_of "$1" | tr '\n' ',' | sed 's/,$//')")"
}
