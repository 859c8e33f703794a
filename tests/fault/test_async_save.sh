#!/usr/bin/env bash
# A rank dies during an asynchronous save: the job ends, the incomplete checkpoint is never used, and the run
# continues from the previous one to the weights of an uninterrupted run.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"
nm "$run" 2>/dev/null | grep -qE '__(a|t)san_init' && { echo "skipped: a sanitizer must come first"; exit 77; }
"${CC:-cc}" -shared -fPIC -O1 -D_GNU_SOURCE -o hold_fsync.so "$source_dir/tests/fault/hold_fsync.c" -ldl || exit 77

train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --micro-batch-size 1 --log-interval 1 --lr-schedule constant --warmup-steps 2
  --seed 5 --eval-interval 0 --threads 1 --pp 2 --dp 2)

# dies VICTIM NAME STEPS LAUNCHER...: the job's process number VICTIM (of those that train) is killed while
# files whose names end in NAME cannot be synced, STEPS steps after the save began.
dies() {
  local victim=$1 name=$2 steps=$3 pid step last
  shift 3
  rm -rf killed hold hold.held log.txt
  HOLD=$work/hold HOLD_NAME=$name LD_PRELOAD=$work/hold_fsync.so "$@" "${train[@]}" --max-steps 100000 --save-interval 5 --async-save true \
    --checkpoint-shards 4 --output-dir killed >log.txt 2>&1 &
  pid=$!
  wait_for 'saved killed/step-' log.txt
  touch hold
  for _ in $(seq 600); do
    [ -f hold.held ] && break
    sleep 0.05
  done
  [ -f hold.held ] || fail "no save waits: $(tail -n 3 log.txt)"
  step=$(basename killed/.writing-*)
  step=$((10#${step#.writing-}))
  wait_for "step $((step + steps))/" log.txt # training continues during the save
  kill -9 "$(ranks_of killed | sed -n "${victim}p")" || fail "no process $victim: $(ranks_of killed)"
  for _ in $(seq 200); do
    kill -0 $pid 2>/dev/null || break
    sleep 0.05
  done
  kill -0 $pid 2>/dev/null && fail "still there after 10 s: $(tail -n 5 log.txt)" && kill -9 $pid
  wait $pid && fail 'a run that lost a rank ends well'
  all_gone killed
  rm hold
  [ ! -e "$(printf 'killed/step-%08d' "$step")" ] || fail "step $step was being written, and bears the name of a checkpoint: $(ls -a killed)"
  [ -d "$(printf 'killed/.writing-%08d' "$step")" ] || fail "nothing of step $step was written: $(ls -a killed)"
  last=$(basename "$(ls -d killed/step-* | tail -n 1)")
  expect 0 "resumed from killed/$last at step" "$run" train --resume killed --max-steps $((step + 3)) --async-save false --checkpoint-shards 1
  ! grep -q skipped out.txt || fail "a damaged checkpoint: $(cat out.txt)"
  [ -z "$(find killed -name '.writing-*')" ] || fail "leftovers: $(ls -a killed)"
  "${train[@]}" --max-steps $((step + 3)) --save-interval 0 --overwrite --output-dir whole >whole.txt 2>&1 || fail "a whole run: $(cat whole.txt)"
  last=$(printf 'step-%08d' $((step + 3)))
  same_weights "whole/$last" "killed/$last"
}
processes=(mpirun -n 4)
dies 3 .safetensors 2 "${processes[@]}" # one that writes a shard
dies 1 .safetensors 2 "${processes[@]}" # the one that will put the checkpoint in place
dies 2 manifest.json 0 "${processes[@]}" # every shard is written, and the checkpoint is being put in place
dies 1 .safetensors 2 env # threads of one process
exit $failed
