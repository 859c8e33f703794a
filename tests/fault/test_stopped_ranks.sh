#!/usr/bin/env bash
# A rank that stands still for a while (SIGSTOP, SIGCONT: a debugger, a machine that swaps or is moved) is waited for, and
# nothing is different afterwards; one that stands still for longer than --comm-timeout ends the run, which names it.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"

train=("$run" train "$model" --data corpus.txt --hidden-size 16 --set layers=2 --set heads=2 --intermediate-size 32 --vocab-size 256
  --seq-length 16 --global-batch-size 4 --micro-batch-size 1 --threads 1 --log-interval 1 --eval-interval 0 --save-interval 20
  --lr-schedule constant --warmup-steps 2 --seed 5 --dp 2)

# begin FLAGS...: in the background; stops rank 1 when it has trained for a while, in a step or a save.
begin() {
  rm -rf run log.txt
  mpirun -n 2 "${train[@]}" --max-steps 1000000 --output-dir run "$@" >log.txt 2>&1 &
  pid=$!
  wait_for 'saved run/step-00000020' log.txt
  stopped=$(ranks_of run | sed -n 2p)
  kill -STOP "$stopped" || fail "no rank to stop: $(cat log.txt)"
}

begin --comm-timeout 60
sleep 1
[ "$(ranks_of run | wc -l)" = 2 ] || fail "it did not wait: $(tail -n 5 log.txt)"
kill -CONT "$stopped"
step=$(tail -n 1 run/metrics.jsonl | sed 's/{"step": \([0-9]*\).*/\1/')
wait_for "step $((step + 20))/" log.txt
kill -USR1 $pid
wait $pid || fail "after a pause: $(tail -n 5 log.txt)"
step=$(sed -n 's/^stopped at step \([0-9]*\).*/\1/p' log.txt)
expect 0 'loss curve' "${train[@]}" --threads 2 --max-steps "$step" --save-interval 0 --output-dir whole
same_weights "$(printf whole/step-%08d "$step")" "$(printf run/step-%08d "$step")"

begin --comm-timeout 2
for _ in $(seq 400); do
  kill -0 $pid 2>/dev/null || break
  sleep 0.05
done
kill -0 $pid 2>/dev/null && fail "still there after 20 s: $(tail -n 5 log.txt)"
wait $pid && fail 'a run without a rank ends well'
[ "$(grep -c '^xlmrun: ' log.txt)" = 1 ] || fail "not one error: $(grep -v '^step' log.txt)"
grep -qE '^xlmrun: rank [01] waited 2.* for rank [01]' log.txt || fail "who is missing is not said: $(grep -v '^step' log.txt)"
all_gone run
exit $failed
