#!/usr/bin/env bash
# What a run writes to: streams that are closed, full or read no longer, terminals that go, files that cannot be written. And
# settings that contradict each other.
. "$(dirname "$0")/xlmrun_lib.sh"
train=("$run" train "$model" --data corpus.txt "${sizes[@]}" --global-batch-size 4 --eval-interval 0 --threads 1)

# ---- streams ----

"${train[@]}" --max-steps 3 --log-interval 1 --output-dir closed >&- 2>err.txt || fail "without stdout: $(cat err.txt)"
"${train[@]}" --max-steps 3 --log-interval 1 --output-dir all_closed <&- >&- 2>&- || fail 'without any stream'
for dir in closed all_closed; do
  [ "$(grep -c '^{"step"' $dir/metrics.jsonl)" = 3 ] && [ "$(wc -l <$dir/metrics.jsonl)" = 3 ] ||
    fail "printed lines in the metrics: $(cat $dir/metrics.jsonl)"
done

# A full device: exit code 2 and a sentence, whatever the command prints; a training is saved all the same.
full() {
  "$@" >/dev/full 2>err.txt
  code=$?
  [ $code = 2 ] && grep -q 'cannot write standard output: No space left' err.txt || fail "$* into a full device: $code $(cat err.txt)"
}
full "${train[@]}" --max-steps 2 --output-dir full
[ -f full/step-00000002/manifest.json ] || fail 'a full stdout: nothing is saved'
full "$run" settings
full "$run" --help
full "$run" train --help
full "$run" train --print-config
full "$run" eval full
full "$run" generate full --prompt a --max-tokens 5
full "$run" bench "$model" "${sizes[@]}" --steps 1 --warmup 0 --profile=false

# Who reads the progress may leave: the training goes on to its end.
"${train[@]}" --max-steps 400 --log-interval 1 --output-dir left 2>err.txt | head -n 2 >/dev/null
code=${PIPESTATUS[0]}
[ "$code" = 0 ] && [ -f left/step-00000400/manifest.json ] || fail "a reader that leaves: $code, $(ls left) $(cat err.txt)"

# ---- hangups ----

"${train[@]}" --max-steps 1000000 --log-interval 1 --output-dir hangup >log.txt 2>&1 &
pid=$!
wait_for 'step 2/' log.txt
kill -HUP $pid
kill -HUP $pid
wait $pid
code=$?
[ $code = 0 ] && grep -q 'continue with: xlmrun train --resume hangup' log.txt || fail "SIGHUP: $code $(tail -n 3 log.txt)"
ls hangup/step-*/manifest.json >/dev/null || fail 'SIGHUP: nothing saved'

# Under nohup it means nothing.
(trap '' HUP; exec "${train[@]}" --max-steps 300 --log-interval 1 --output-dir nohup >log.txt 2>&1) &
pid=$!
wait_for 'step 2/' log.txt
kill -HUP $pid
wait $pid
[ -f nohup/step-00000300/manifest.json ] || fail "nohup: $(tail -n 3 log.txt)"

# The terminal goes, and with it what progress is written to.
if command -v script >/dev/null; then
  script -qfc "exec ${train[*]} --max-steps 1000000 --log-interval 1 --output-dir terminal" typed.txt >/dev/null 2>&1 </dev/null &
  pid=$!
  for _ in $(seq 600); do [ -s terminal/metrics.jsonl ] && break; sleep 0.05; done
  kill -KILL $pid
  wait $pid 2>/dev/null
  for _ in $(seq 600); do ls terminal/step-*/manifest.json >/dev/null 2>&1 && break; sleep 0.05; done
  ls terminal/step-*/manifest.json >/dev/null || fail 'a terminal that goes: nothing saved'
fi

# ---- files that cannot be written are found before the first step ----

mkdir folder
for flag in --curve --metrics --trace; do
  for path in /proc/none/x folder; do
    "${train[@]}" --max-steps 5 --output-dir early $flag $path >out.txt 2>&1
    code=$?
    [ $code = 1 ] || [ $code = 2 ] || fail "$flag $path: exit code $code"
    grep -q "${path%/x}" out.txt || fail "$flag $path: $(cat out.txt)"
    grep -q 'step 1/' out.txt && fail "$flag $path: found after the run began"
  done
done
expect 2 "--tensorboard: cannot create the folder '/proc/none'" "${train[@]}" --max-steps 5 --output-dir early --tensorboard /proc/none/x
grep -q 'step 1/' out.txt && fail 'events: found after the run began'
mkfifo pipe
expect 2 "cannot open the metrics file 'pipe': it is a pipe without a reader" timeout 300 "${train[@]}" --max-steps 2 --metrics pipe --output-dir early
expect 0 'loss curve devnull/' "${train[@]}" --max-steps 2 --metrics /dev/null --output-dir devnull
cat pipe >from_pipe.jsonl &
expect 0 'loss curve piped/' timeout 300 "${train[@]}" --max-steps 3 --log-interval 1 --metrics pipe --output-dir piped
wait $!
[ "$(grep -c '^{"step"' from_pipe.jsonl)" = 3 ] || fail "metrics through a pipe: $(cat from_pipe.jsonl)"
ln -s elsewhere.svg link.svg
expect 0 'loss curve link.svg' "${train[@]}" --max-steps 2 --curve link.svg --output-dir linked
[ -L link.svg ] && grep -q '</svg>' elsewhere.svg || fail 'a link was replaced by a file'
expect 2 "cannot write '/dev/full': No space left" "${train[@]}" --max-steps 2 --curve /dev/full --output-dir full_curve
[ -c /dev/full ] || fail '/dev/full was replaced'

# ---- settings that contradict each other, or lie outside of what makes sense ----

refused() {
  expect 1 "$1" "${train[@]}" --max-steps 10 --output-dir refused "${@:2}"
  [ ! -e refused ] || fail "a run was begun: $*"
}
refused '--min-lr: 0.5 lies above the learning rate of 0.01, its peak' --learning-rate 0.01 --min-lr 0.5
refused '--decay-ratio: 9 steps of decay and 5 of warm-up are more than the 10 of the run' --lr-schedule wsd --decay-ratio 0.9 \
  --warmup-steps 5
refused '--memory-limit: 5 is out of range; it must lie between 64.00 KiB and' --memory-limit 5
refused "--memory-limit: 'lots' is no size" --memory-limit lots
refused '--threads: this machine has' --threads 1000
refused '--adam-beta2: 1 is out of range; it must lie between 0 and 0.999999' --adam-beta2 1
refused '--adam-eps: 0 is out of range' --adam-eps 0
refused '--learning-rate: -1 is out of range' --learning-rate -1
refused "--learning-rate: 'inf' is not a number" --learning-rate inf
refused '--seed: -1 is out of range; it must lie between 0 and' --seed -1
refused '--max-steps: 0 is out of range' --max-steps 0
expect 0 'checkpoint low/' "${train[@]}" --max-steps 2 --learning-rate 1e-6 --output-dir low # its own minimum
expect 0 'checkpoint low/' "${train[@]}" --max-steps 3 --resume low
grep 'changed since' out.txt | grep -qv -e '--max-steps is 3, was 2' && fail "what did not change: $(cat out.txt)"

# ---- what changed since the checkpoint, and which one is taken ----

cp corpus.txt other.txt
"$run" train --resume low --max-steps 4 --learning-rate 2e-6 --seed 9 --data other.txt --global-batch-size 6 --pp 2 >out.txt 2>&1
for line in '--learning-rate is 2e-6, was 1e-6' '--seed is 9, was 1' '--data is other.txt, was corpus.txt' '--global-batch-size is 6, was 4'; do
  grep -qF -- "changed since the checkpoint: $line" out.txt || fail "no '$line': $(cat out.txt)"
done
grep 'changed since' out.txt | grep -q -e '--pp' && fail 'the layout changes no result'
expect 0 'checkpoint low/step-00000004' "$run" eval low
expect 1 "--resume: there is no checkpoint 'nowhere'" "$run" train --resume nowhere
expect 1 "'run.yaml' is a run file: use --config" "$run" train run.yaml --data corpus.txt
echo 'train: {}' >runs.yaml
expect 1 "--config: there is no file 'run.yaml'; did you mean 'runs.yaml'?" "$run" train --config run.yaml
mkdir models && cp "$model" models/
expect 1 "there is no model 'lama'; did you mean 'llama'?" "$run" train lama --data corpus.txt
expect 1 'the model has a vocabulary of 32,000' "$run" train llama --data corpus.txt # models/llama.xlm
expect 0 'xlmrun 0.1' "$run" --version
expect 0 'note: the warm-up of 11 steps is longer than the run' "${train[@]}" --max-steps 2 --warmup-steps 11 --output-dir warm
expect 0 'note: --decay-ratio goes with --lr-schedule wsd' "${train[@]}" --max-steps 2 --decay-ratio 0.5 --output-dir idle
exit $failed
