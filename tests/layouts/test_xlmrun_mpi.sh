#!/usr/bin/env bash
# xlmrun under mpirun: the same plan, one rank per process. One process prints and writes; checkpoints are
# complete and can be resumed either way; failures are reported once and end all processes; signals end a run
# in order.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"

sizes=(--hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40 --vocab-size 256 --seq-length 32)
train=("$run" train "$model" --data corpus.txt "${sizes[@]}" --global-batch-size 8 --micro-batch-size 1 --learning-rate 1e-2
  --log-interval 1 --eval-interval 2 --eval-batches 2 --save-interval 2 --keep-checkpoints 0 --lr-schedule constant --seed 5)

# ---- the same as ranks that are threads: bit for bit, file for file ----

same() { # PROCESSES FLAGS...
  rm -rf threads processes
  expect 0 'ranks = ' "${train[@]}" --max-steps 4 "${@:2}" --output-dir threads
  expect 0 "$1 ranks = " job "$1" "${train[@]}" --max-steps 4 "${@:2}" --output-dir processes
  [ "$(grep -c 'checkpoint processes/step-00000004' out.txt)" = 1 ] || fail "not one voice: $(cat out.txt)"
  for step in 2 4; do same_weights threads/step-0000000$step processes/step-0000000$step; done
  for key in step loss grad_norm val_loss; do
    [ "$(column $key threads/metrics.jsonl)" = "$(column $key processes/metrics.jsonl)" ] || fail "${*:2}: $key differs: $(cat processes/metrics.jsonl)"
  done
}
same 4 --dp 2 --tp 2 --zero 3
same 4 --pp 2 --tp 2 --pipeline-schedule interleaved
same 8 --pp 2 --dp 2 --tp 2
# Checkpoints of processes go on as threads, in another layout, and back.
expect 0 'at step 4' "$run" train --resume processes --max-steps 6 --pp 2
expect 0 'at step 6' job 2 "$run" train --resume processes --max-steps 8 --tp 2
[ "$(column step processes/metrics.jsonl | tr '\n' ' ')" = '1 2 3 4 5 6 7 8 ' ] || fail "steps: $(cat processes/metrics.jsonl)"

# ---- the other commands ----

"$run" eval threads/step-00000004 --micro-batch-size 2 >here.txt
expect 0 "$(cut -c 1-14 here.txt)" job 2 "$run" eval threads/step-00000004 --pp 2 --micro-batch-size 2
text=$("$run" generate threads/step-00000004 --prompt 'static ' --max-tokens 12 --temperature 0)
[ "$(job 4 "$run" generate threads/step-00000004 --prompt 'static ' --max-tokens 12 --temperature 0 --pp 2 --tp 2 2>err.txt)" = "$text" ] ||
  fail "generate under MPI writes something else: $(cat err.txt)"
several=(generate threads/step-00000004 --prompt 'static ' --prompt if --prompt 'return' --max-tokens 8 --samples 2 --slots 3 --format json)
"$run" "${several[@]}" 2>err.txt | grep -v speed >here.txt
job 4 "$run" "${several[@]}" --dp 2 --tp 2 2>err.txt | grep -v speed >there.txt
grep -q '"index": 2, "sample": 1' here.txt || fail "several prompts: $(cat here.txt)"
cmp -s here.txt there.txt || fail "several prompts under MPI: $(diff here.txt there.txt; cat err.txt)"
[ "$(grep -c '^prefill ' err.txt)" = 1 ] || fail "not one voice: $(cat err.txt)"
sampled=("${train[@]}" --max-steps 4 --sample-interval 4 --sample-prompt if --sample-tokens 8)
expect 0 'sample 1: if | ' "${sampled[@]}" --overwrite --output-dir here
grep '  sample ' out.txt >here.txt
expect 0 'sample 1: if | ' job 4 "${sampled[@]}" --dp 2 --pp 2 --overwrite --output-dir there
grep '  sample ' out.txt | cmp -s - here.txt || fail "samples under MPI: $(cat out.txt here.txt)"
expect 0 'rank 0 of 2' job 2 "$run" bench "$model" "${sizes[@]}" --steps 2 --warmup 1 --global-batch-size 8 --tp 2

# ---- mistakes are told once ----

# once CODE TEXT COMMAND...
once() {
  local code=$1 text=$2
  shift 2
  expect "$code" "$text" timeout 300 "$@"
  [ "$(grep -c '^xlmrun: ' out.txt)" = 1 ] || fail "told more than once: $(cat out.txt)"
}
once 1 'start it with `mpirun -n 4`, or give axes whose product is 3' mpirun -n 3 "${train[@]}" --pp 2 --tp 2 --output-dir n
once 1 'as in --dp 2' mpirun -n 2 "${train[@]}" --output-dir n
once 2 'no data file' mpirun -n 2 "${train[@]}" --dp 2 --output-dir n --data missing.txt
once 2 'rank 2: there is no data file' mpirun -n 2 "${train[@]}" --dp 4 --output-dir n : -n 1 "${train[@]}" --dp 4 --output-dir n \
  --data missing.txt : -n 1 "${train[@]}" --dp 4 --output-dir n
once 2 '--seed is not the same in process 1' mpirun -n 1 "${train[@]}" --dp 2 --output-dir n : -n 1 "${train[@]}" --dp 2 --seed 6 --output-dir n
once 2 'earlier run' mpirun -n 2 "${train[@]}" --dp 2 --output-dir threads
once 2 'is not finite' mpirun -n 2 "${train[@]}" --pp 2 --output-dir n --optimizer sgd --learning-rate 1e6 \
  --warmup-steps 0 --grad-clip 0
grep -q 'first bad tensor is' out.txt || fail "what was not finite? $(cat out.txt)"
expect 0 '2 ranks = dp 2  ' job 1 "${train[@]}" --dp 2 --max-steps 1 --output-dir alone # one process: ranks are threads

# ---- a rank that no longer answers ----

start() { # DIR FLAGS...: a job of four in the background that is past its first step
  rm -f log.txt # an earlier run's words are not this one's
  mpirun -n 4 "${train[@]}" --pp 2 --tp 2 --max-steps 1000000 --eval-interval 0 --save-interval 0 --output-dir "$@" >log.txt 2>&1 &
  pid=$!
  wait_for 'step 2/' log.txt
}
start silent --comm-timeout 2
kill -STOP "$(ranks_of silent | tail -n 1)"
begin=$SECONDS
wait $pid
[ $? -ne 0 ] || fail 'a run with a rank that does not answer ends well'
[ $((SECONDS - begin)) -le 12 ] || fail "it took $((SECONDS - begin)) s"
grep -qE '^xlmrun: rank [0-3] waited 2\.[0-9] s in [a-z_]+ of [a-z0-9.]+ \(.*\.xlm:[0-9]+\) for rank [0-3]' log.txt ||
  fail "no word about who waits: $(grep -v '^step' log.txt)"
[ "$(grep -cE '^rank [0-3]: ' log.txt)" -ge 3 ] || fail "where does everybody stand? $(grep -v '^step' log.txt)"
all_gone silent

# ---- signals ----

start onUSR1 # mpirun hands it on
kill -USR1 $pid
wait $pid
code=$?
[ $code -eq 0 ] || fail "exit code $code: $(tail -n 5 log.txt)"
step=$(sed -n 's/^stopped at step \([0-9]*\).*/\1/p' log.txt)
[ -f "$(printf 'onUSR1/step-%08d' "${step:-0}")/manifest.json" ] || fail "SIGUSR1: nothing saved: $(tail -n 5 log.txt)"
expect 0 "at step $step" "$run" train --resume onUSR1 --max-steps $((step + 1)) --tp 1

# SIGTERM mpirun keeps for itself: it gives the job a moment, then ends it, so saving is a race (tools/launch/mpirun.sh
# turns it into USR1: test_launch.sh). Either way the job is over and what is there is whole.
start onTERM
kill -TERM $pid
wait $pid
all_gone onTERM
if ls onTERM/step-*/manifest.json >saved.txt 2>/dev/null; then
  step=$(sed -n 's/.*step-0*\([0-9]*\).manifest.*/\1/p' saved.txt | tail -n 1)
  expect 0 "at step $step" "$run" train --resume onTERM --max-steps $((step + 1)) --tp 1
fi
exit $failed
