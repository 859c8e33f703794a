"${launch[@]}" --max-steps "$step" >log.txt 2>&1 ||#!/usr/bin/env bash
# The launch script for mpirun: TERM ends a run in order even if a step takes longer than the second that Open
# MPI leaves between its signals, and the same command resumes.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"

samples=1000
grep -q __asan_init "$run" && samples=400 # sanitizers are slower
launch=(env XLMRUN="$run" RANKS=4 OUTPUT="$work/out" bash "$source_dir/tools/launch/mpirun.sh" "$model" --data "$work/corpus.txt"
  --hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40 --vocab-size 256 --seq-length 32 --global-batch-size $samples
  --micro-batch-size 1 --log-interval 1 --eval-interval 0 --seed 5 --pp 2 --tp 2)
"${launch[@]}" --max-steps 1000 >log.txt 2>&1 &
pid=$!
wait_for 'step 1/' log.txt
kill -TERM $pid
wait $pid
code=$?
[ $code = 0 ] || fail "exit code $code: $(cat log.txt)"
step=$(sed -n 's/^stopped at step \([0-9]*\).*/\1/p' log.txt)
[ "${step:-1000}" -le 5 ] || fail "it went on to step $step"
[ -f "$(printf 'out/step-%08d/manifest.json' "${step:-0}")" ] || fail "nothing saved: $(cat log.txt)"
"${launch[@]}" --max-steps "$step" >log.txt 2>&1 || fail "no second start: $(cat log.txt)"
grep -q "resumed from $work/out/step-.* at step $step" log.txt || fail "not from where it was: $(cat log.txt)"

# Twice: at once.
rm -r out log.txt
"${launch[@]}" --max-steps 1000 >log.txt 2>&1 &
pid=$!
wait_for 'step 1/' log.txt
kill -TERM $pid
sleep 0.3
kill -TERM $pid
wait $pid && fail 'two signals end a run well'
exit $failed
