#!/usr/bin/env bash
# A job that lost a rank goes on by itself: with the ranks that are left, in a smaller layout (--min-ranks), or with another in its
# place (--restarts), as if it had been resumed by hand.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"

settings=("$model" --data "$work/corpus.txt" --hidden-size 16 --set layers=2 --set heads=2 --intermediate-size 32 --vocab-size 256
  --seq-length 16 --global-batch-size 8 --micro-batch-size 1 --log-interval 1 --eval-interval 0 --save-interval 5 --keep-checkpoints 0
  --lr-schedule constant --warmup-steps 2 --seed 5)

# launch FLAGS...: in the background; four ranks.
launch() {
  rm -rf out log.txt
  XLMRUN=$run RANKS=4 OUTPUT=$work/out bash "$source_dir/tools/launch/mpirun.sh" "${settings[@]}" "$@" >log.txt 2>&1 &
  pid=$!
}
job_ranks() {
  pgrep -f "^$program train .* $work/out( |\$)"
}

# kill_after STEP N: rank N of those running, after a checkpoint of that step.
kill_after() {
  wait_for "saved $work/out/step-$(printf %08d "$1")" log.txt
  kill -9 "$(job_ranks | sed -n "$2p")" || fail "no rank to kill: $(cat log.txt)"
}

# by_hand STEP FLAGS...: the run resumed from the checkpoint of that step in another layout, of threads of one process.
by_hand() {
  local step=$1
  shift
  rm -rf hand && mkdir hand && cp -r "out/step-$(printf %08d "$step")" hand/
  sed "/\"step\": $step,/q" out/metrics.jsonl >hand/metrics.jsonl
  "$run" train "${settings[@]}" "$@" --threads 4 --resume hand >hand.txt 2>&1 || fail "by hand: $(cat hand.txt)"
}
same_end() {
  same_weights "hand/step-$1" "out/step-$1"
  for key in step loss grad_norm; do
    [ "$(column $key hand/metrics.jsonl)" = "$(column $key out/metrics.jsonl)" ] || fail "other $key: $(paste <(column $key hand/metrics.jsonl) <(column $key out/metrics.jsonl))"
  done
}

# dp 4 loses a rank and goes on with 2: 3 do not divide a batch of 8.
launch --dp 4 --max-steps 100000 --min-ranks 2
kill_after 10 3
wait_for 'resumed from' log.txt
grep -q '2 ranks = dp 2' log.txt || fail "not in dp 2: $(cat log.txt)"
resumed=$(sed -n 's/^resumed from .*at step //p' log.txt)
wait_for "saved $work/out/step-$(printf %08d $((resumed + 5)))" log.txt
kill -TERM $pid
wait $pid || fail "told to stop: $(cat log.txt)"
[ "$(grep -c '; restart ' log.txt)" = 1 ] || fail "told to stop, and it restarts: $(cat log.txt)"
stopped=$(sed -n 's/^stopped at step \([0-9]*\).*/\1/p' log.txt)
by_hand "$resumed" --dp 2 --max-steps "$stopped"
same_end "$(printf %08d "$stopped")"

# With tp 2 the pairs stay whole; a second death leaves one pair, and the third is too much.
launch --dp 2 --tp 2 --max-steps 100000 --min-ranks 2
kill_after 5 2
wait_for '2 ranks = tp 2' log.txt
wait_for 'at step' log.txt
kill -9 "$(job_ranks | sed -n 1p)"
wait $pid
code=$?
[ $code != 0 ] && [ $code != 1 ] || fail "too few ranks: exit code $code: $(cat log.txt)"
grep -q 'no layout of 2 to 1 ranks is possible' log.txt || fail "$(cat log.txt)"

# Replaced: the same layout; so often, and no more.
launch --dp 2 --tp 2 --max-steps 100000 --restarts 1
kill_after 5 4
wait_for 'resumed from' log.txt
grep -c 'ranks = dp 2 x tp 2\|ranks = tp 2 x dp 2' log.txt | grep -qx 2 || fail "another layout: $(grep ranks log.txt)"
kill -9 "$(job_ranks | sed -n 2p)"
wait $pid && fail 'a job with a dead rank ends well'
[ "$(grep -c '; restart ' log.txt)" = 1 ] || fail "$(grep '; restart ' log.txt)"

# What a restart does not mend.
launch --dp 4 --max-steps 10 --learning-rate -1 --restarts 3
wait $pid
code=$?
[ $code = 1 ] && ! grep -q restart log.txt || fail "a wrong flag: exit code $code: $(cat log.txt)"
launch --restarts many
wait $pid
grep -qF "needs a whole number, not 'many'" log.txt || fail "$(cat log.txt)"
exit $failed
