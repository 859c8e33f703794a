# Restarts, shared by the launch scripts; sourced. A job that failed is started again from its last checkpoint:
#
#   --restarts N     at most N times, with as many ranks
#   --min-ranks N    with fewer: ranks that died are not replaced, and the job goes on with those that are left, at
#                    least N, in the nearest layout that the model, the batch and their number allow
#
# Of the mesh one axis becomes smaller, dp if it can: other axes decide what fits into memory. A layout that
# xlmrun refuses (exit code 1) is passed over. Errors that a restart does not mend end the job: of the user
# (1), too little memory (3), an interrupt (130).
#
# The script that sources this defines `start RANKS FLAGS...`, which runs the job and sets `code`, and
# `count_room`, which sets `room`, the number of ranks that the machines which are left have room for. It sets
# xlmrun, output and ranks, and asked=1 when the job was told to stop.

restarts=0 min_ranks=0 train=() asked=0 code=0 room=0
declare -A mesh=()

whole_number() { # FLAG VALUE
  case $2 in '' | *[!0-9]*) echo "$1 needs a whole number, not '$2'" >&2 && exit 1 ;; esac
}

take_flags() {
  while [ $# -gt 0 ]; do
    case $1 in
      --restarts | --min-ranks) set -- "$1=${2-}" "${@:3}" ;;
      --restarts=*) restarts=${1#*=} && whole_number --restarts "$restarts" && shift ;;
      --min-ranks=*) min_ranks=${1#*=} && whole_number --min-ranks "$min_ranks" && shift ;;
      *) train+=("$1") && shift ;;
    esac
  done
  [ "$min_ranks" = 0 ] || [ "$restarts" != 0 ] || restarts=1000000
}

where() {
  if ls -d "$output"/step-* >/dev/null 2>&1; then echo --resume; else echo --output-dir; fi
}

# The sizes of the mesh's axes; exits if the settings are wrong.
read_mesh() {
  local settings axis
  settings=$("$xlmrun" train "${train[@]}" --print-config) || exit
  for axis in dp cp ep tp pp; do
    mesh[$axis]=$(sed -n "/^mesh:/,/^[^ ]/s/^  $axis: *//p" <<<"$settings")
    mesh[$axis]=${mesh[$axis]:-1}
  done
}

is_final() {
  [ "$asked" = 0 ] || return 0
  case $code in
    0 | 3 | 130) return 0 ;;
    1) count_room && [ "$room" -ge "$ranks" ] ;; # otherwise it may be the launcher, which has lost a host
    *) return 1 ;;
  esac
}

# Goes on with at most $1 ranks. False: in no layout.
start_smaller() {
  local n axis size
  for ((n = $1; n >= min_ranks && n > 0; n--)); do
    for axis in dp cp ep tp pp; do
      size=$((mesh[$axis] * n / ranks))
      [ $((size * ranks)) = $((mesh[$axis] * n)) ] && [ $size -gt 0 ] || continue
      echo "$n ranks with --$axis $size" >&2
      start $n "${layout[@]}" "--$axis" $size
      [ $code != 1 ] || continue
      layout+=("--$axis" $size)
      mesh[$axis]=$size ranks=$n
      return 0
    done
  done
  return 1
}

# Starts the job, and again while it fails and restarts are left; exits with the code of the last.
run_job() {
  local turn failed layout=()
  [ "$min_ranks" = 0 ] || read_mesh
  start "$ranks"
  for ((turn = 1; turn <= restarts; turn++)); do
    is_final && break
    failed=$code
    echo "the job ended with code $code; restart $turn" >&2
    if [ "$min_ranks" = 0 ]; then
      start "$ranks"
      continue
    fi
    count_room
    [ "$room" -lt "$ranks" ] || room=$((ranks - 1))
    start_smaller "$room" && continue
    echo "no layout of $min_ranks to $room ranks is possible" >&2
    exit "$failed"
  done
  exit $code
}
