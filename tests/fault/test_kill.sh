#!/usr/bin/env bash
# A random rank dies at a random time: the job ends within 10 seconds, and the checkpoints can always be
# resumed, to the weights of an uninterrupted run. XLM_KILLS is the number of kills (nightly: 50), XLM_STEPS the length
# of the run.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"

kills=${XLM_KILLS:-4} steps=${XLM_STEPS:-40}
train=("$run" train "$model" --data corpus.txt --hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40
  --vocab-size 256 --seq-length 32 --global-batch-size 8 --micro-batch-size 1 --learning-rate 1e-3 --lr-schedule constant
  --warmup-steps 2 --log-interval 1 --eval-interval 0 --save-interval 1 --keep-checkpoints 2 --seed 5 --pp 2 --dp 2)
expect 0 "checkpoint whole/step-000000$steps" "${train[@]}" --max-steps $steps --output-dir whole

# run_job FLAGS...: in the background, in a new session.
run_job() {
  setsid mpirun -n 4 "${train[@]}" --max-steps $steps --output-dir killed "$@" >log.txt 2>&1 &
  pid=$!
}

# Waits for the job, at most 10 seconds from now.
must_end() {
  for _ in $(seq 200); do
    kill -0 $pid 2>/dev/null || break
    sleep 0.05
  done
  kill -0 $pid 2>/dev/null && fail "still there after 10 s: $(tail -n 5 log.txt)" && kill -9 $pid
  wait $pid 2>/dev/null
  all_gone killed
}

killed=0
while [ $killed -lt "$kills" ]; do
  if [ -d killed/step-000000$steps ]; then # it finished: another run
    same_weights whole/step-000000$steps killed/step-000000$steps
    rm -r killed
  fi
  resume=()
  [ -n "$(ls -d killed/step-* 2>/dev/null)" ] && resume=(--resume)
  run_job "${resume[@]}"
  sleep $((RANDOM % 2)).$((RANDOM % 10))
  victim=$(ranks_of killed | shuf -n 1)
  if [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null; then
    killed=$((killed + 1))
    must_end
  else # it has not begun, or is over
    wait $pid
  fi
  for folder in killed/step-*; do # every folder with the name of a checkpoint is one, with all its states
    [ ! -d "$folder" ] || "$run" train --resume "$folder" --max-steps 1 --output-dir read >out.txt 2>&1 ||
      fail "kill $killed: $folder: $(cat out.txt)"
  done
done
resume=()
[ -n "$(ls -d killed/step-* 2>/dev/null)" ] && resume=(--resume)
timeout 300 mpirun -n 4 "${train[@]}" --max-steps $steps --output-dir killed "${resume[@]}" >log.txt 2>&1 || fail "no resume: $(cat log.txt)"
same_weights whole/step-000000$steps killed/step-000000$steps
echo "$killed ranks killed"
exit $failed
