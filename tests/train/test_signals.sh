#!/usr/bin/env bash
# Signals: the first finishes the step, saves and ends the run in good order; the second ends it at once.
. "$(dirname "$0")/xlmrun_lib.sh"

# start DIR MICRO GLOBAL: a run in the background that is past its first step.
start() {
  rm -f log.txt # an earlier run's words are not this one's
  "$run" train "$model" --data corpus.txt "${sizes[@]}" --micro-batch-size "$2" --global-batch-size "$3" --threads 1 \
    --max-steps 1000000 --log-interval 1 --eval-interval 0 --output-dir "$1" >log.txt 2>&1 &
  pid=$!
  wait_for 'step 1/' log.txt
}

# What is typed at a keyboard and what a scheduler sends.
for signal in INT TERM; do
  start "on$signal" 2 4
  kill -$signal $pid
  wait $pid
  code=$?
  [ $code -eq 0 ] || fail "exit code $code after SIG$signal: $(tail -n 5 log.txt)"
  grep -q 'stopping after this step' log.txt || fail "no word about SIG$signal: $(tail -n 5 log.txt)"
  grep -q "continue with: xlmrun train --resume on$signal" log.txt || fail "no hint how to resume: $(tail -n 5 log.txt)"
  step=$(sed -n 's/^stopped at step \([0-9]*\).*/\1/p' log.txt)
  folder=$(printf 'on%s/step-%08d' $signal "$step")
  [ -f "$folder/manifest.json" ] || fail "nothing saved at step $step: $(ls on$signal)"
  [ "$(column step on$signal/metrics.jsonl | tail -n 1)" = "$step" ] || fail "the last step is not in the metrics"
  grep -q '</svg>' on$signal/loss.svg || fail 'no loss curve'
  expect 0 "at step $step" "$run" train --resume on$signal --max-steps $((step + 3))
done

# Twice: at once, with the code a shell gives to what was interrupted. The steps are long enough to be in one.
for signal in INT TERM; do
  start "twice$signal" 60 6000
  kill -$signal $pid
  wait_for 'once more to stop at once' log.txt
  kill -$signal $pid
  wait $pid
  code=$?
  [ $code -eq 130 ] || fail "exit code $code after two SIG$signal: $(tail -n 5 log.txt)"
  [ -z "$(ls -d twice$signal/step-* 2>/dev/null)" ] || fail "saved after two SIG$signal: $(ls twice$signal)"
done
exit $failed
