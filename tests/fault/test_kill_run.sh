#!/usr/bin/env bash
# kill -9 of a whole run at any moment: starting, in a step, in a save, resuming. Whatever bears the name of a
# checkpoint is, to the bit, that of the uninterrupted run, the next start goes on from the newest, and the last
# ends as the uninterrupted run did. XLM_KILLS is the number of kills (nightly: 10000), in turn of: one rank, asynchronous
# saves, ranks that are threads, and processes under mpirun.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

kills=${XLM_KILLS:-10} steps=24
train=("$run" train "$model" --data corpus.txt --hidden-size 16 --set layers=2 --set heads=2 --intermediate-size 32 --vocab-size 256
  --seq-length 16 --global-batch-size 4 --micro-batch-size 2 --threads 2 --max-steps $steps --save-interval 2 --log-interval 1
  --eval-interval 8 --eval-batches 1 --seed 5)
declare -A flags=([one]="" [async]="--async-save true" [threads]="--dp 2 --checkpoint-shards 2 --async-save true")
declare -A milliseconds # of the uninterrupted run
kinds=(one async threads)
if command -v mpirun >/dev/null && ldd "$program" | grep -q libmpi; then
  . "$source_dir/tests/layouts/mpi_lib.sh"
  flags[processes]="--dp 2 --checkpoint-shards 2 --async-save true"
  kinds+=(processes)
fi

# begin KIND FOLDER FLAGS...: in the background.
begin() {
  local kind=$1 folder=$2 launcher=()
  shift 2
  [ "$kind" = processes ] && launcher=(setsid mpirun -n 2)
  # shellcheck disable=SC2086
  "${launcher[@]}" "${train[@]}" ${flags[$kind]} --output-dir "$folder" "$@" >log.txt 2>&1 &
  pid=$!
}

# All at once: of several processes, neither the launcher nor a rank has time to react to the end of another.
kill_run() {
  local all=("$pid")
  [ "$1" = processes ] && mapfile -t -O 1 all < <(ranks_of "$1")
  kill -9 "${all[@]}" 2>/dev/null
  wait $pid 2>/dev/null
  [ $? = 137 ] || return 1
  [ "$1" != processes ] || all_gone "$1"
}

check_folders() {
  local folder
  for folder in "$1"/step-*; do
    [ ! -d "$folder" ] || same_checkpoint "$folder" "whole-$1/${folder#*/}" ||
      fail "$1, kill $killed: $folder: $(cat differs.txt)"
  done
}

check_end() {
  check_folders "$1"
  [ -d "$1/step-000000$steps" ] || fail "$1, kill $killed: it has not reached the end: $(cat log.txt)"
  [ "$(column step "$1/metrics.jsonl" | tr '\n' ' ')" = "$(seq -s ' ' $steps) " ] || fail "$1: metrics: $(cat "$1/metrics.jsonl")"
  for key in loss grad_norm val_loss; do
    [ "$(column $key "$1/metrics.jsonl")" = "$(column $key "whole-$1/metrics.jsonl")" ] || fail "$1: other $key after kills"
  done
  [ -z "$(find "$1" -name '.writing-*' -o -name '*.partial')" ] || fail "$1: leftovers: $(ls -a "$1")"
}

# go KIND: starts or resumes it.
go() {
  local newest more=()
  newest=$(ls -d "$1"/step-* 2>/dev/null | tail -n 1)
  [ -n "$newest" ] && more=(--resume "$1")
  begin "$1" "$1" "${more[@]}"
  resumes=$((resumes + ${#more[@]} / 2))
}

check_log() { # no checkpoint was skipped, and nothing is wrong with the rest
  ! grep -q '^xlmrun: ' log.txt || fail "$1, kill $killed: $(cat log.txt)"
}

for kind in "${kinds[@]}"; do
  started=${EPOCHREALTIME/./}
  begin "$kind" "whole-$kind" --keep-checkpoints 0
  wait $pid || fail "$kind: $(cat log.txt)"
  milliseconds[$kind]=$(((${EPOCHREALTIME/./} - started) / 1000))
done
killed=0 resumes=0 ends=0
for ((turn = 0; killed < kills; turn++)); do
  kind=${kinds[$((turn % ${#kinds[@]}))]}
  go "$kind"
  after=$(((RANDOM * 32768 + RANDOM) % (milliseconds[$kind] + 1)))
  sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
  if kill_run "$kind"; then
    killed=$((killed + 1))
    check_folders "$kind"
  else # it was over
    check_end "$kind"
    ends=$((ends + 1))
    rm -r "$kind"
  fi
  check_log "$kind"
  [ $failed = 0 ] || break
done
for kind in "${kinds[@]}"; do
  [ -d "$kind" ] || continue
  go "$kind"
  wait $pid || fail "$kind: no resume: $(cat log.txt)"
  check_log "$kind"
  check_end "$kind"
done
echo "$killed kills, $resumes resumed runs, $ends runs that ended between them"
exit $failed
