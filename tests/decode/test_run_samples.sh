#!/usr/bin/env bash
# Samples during training: in the log and the metrics, what generate writes at that checkpoint, the same in every layout;
# and nothing else about the run changes.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
xlmc=$(dirname "$program")/xlmc
train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --hidden-size 32 --log-interval 5 --eval-interval 5 --save-interval 5 --keep-checkpoints 0
  --seed 5 --lr-schedule constant --loss-chunks 2)
asked=(--sample-interval 10 --sample-prompt 'static ' --sample-prompt 'int' --sample-tokens 12)

expect 0 'checkpoint plain' "${train[@]}" --max-steps 20 --output-dir plain
expect 0 'samples every 10 steps: caches and logits take 36.00 KiB of the plan' "${train[@]}" --max-steps 20 "${asked[@]}" --output-dir run
grep '  sample ' out.txt >log.txt
[ "$(sed 's/: .*//' log.txt | tr '\n' '|')" = 'step 10/20  sample 1|step 10/20  sample 2|step 20/20  sample 1|step 20/20  sample 2|' ] || fail "log: $(cat log.txt)"

# ---- the run is the same ----

for step in 5 10 20; do same_weights plain/step-0000$(printf %04d $step) run/step-0000$(printf %04d $step); done
for key in step loss grad_norm val_loss; do
  [ "$(column $key plain/metrics.jsonl)" = "$(column $key run/metrics.jsonl)" ] || fail "$key differs: $(cat run/metrics.jsonl)"
done
grep -q sample plain/metrics.jsonl && fail 'samples that were not asked for'

# ---- they are what generate writes ----

# samples FILE: the member of every line that has it.
samples() {
  sed -n 's/.*"step": \([0-9]*\),.*"samples": \(.*\)}$/\1 \2/p' "$1"
}
for step in 10 20; do
  "$run" generate run/step-000000$step --prompt 'static ' --prompt 'int' --max-tokens 12 --format json 2>err.txt |
    sed -n 's/.*\("prompt": .*\), "finish".*/{\1}/p' | paste -sd, | sed "s/,{/, {/; s/.*/$step [&]/"
done >written.txt
samples run/metrics.jsonl | cmp -s - written.txt || fail "not what generate writes: $(samples run/metrics.jsonl; cat written.txt err.txt)"
[ "$(samples run/metrics.jsonl | wc -l)" = 2 ] || fail "samples: $(cat run/metrics.jsonl)"

# ---- in bf16: the plan of training has the weights in f32, that of generate has them rounded ----

expect 0 'checkpoint' "${train[@]}" --max-steps 10 "${asked[@]}" --dtype bf16 --output-dir half
"$run" generate half --prompt 'static ' --prompt 'int' --max-tokens 12 --format json 2>err.txt |
  sed -n 's/.*\("prompt": .*\), "finish".*/{\1}/p' | paste -sd, | sed "s/,{/, {/; s/.*/10 [&]/" >written.txt
samples half/metrics.jsonl | cmp -s - written.txt || fail "in bf16 not what generate writes: $(samples half/metrics.jsonl; cat written.txt err.txt)"
"$xlmc" plan "$model" "${tiny[@]}" --hidden-size 32 --dtype bf16 --program decode --format json --output half.json >/dev/null || fail 'plan'
[ "$("$run" generate half.json --init-from half --seed 4 --max-tokens 9 --prompt a 2>err.txt)" = "$("$run" generate half --seed 4 --max-tokens 9 --prompt a 2>>err.txt)" ] ||
  fail "a saved plan in bf16 writes something else: $(cat err.txt)"

# ---- in every layout, and when a run is resumed ----

for mesh in '--tp 2' '--pp 2' '--dp 2 --micro-batch-size 1' '--dp 2 --tp 2 --zero 3 --micro-batch-size 1'; do
  # shellcheck disable=SC2086
  expect 0 'checkpoint' "${train[@]}" --max-steps 10 "${asked[@]}" $mesh --overwrite --output-dir mesh
  [ "$(samples mesh/metrics.jsonl)" = "$(samples run/metrics.jsonl | head -n 1)" ] || fail "samples with $mesh: $(samples mesh/metrics.jsonl)"
done
many=() # a line of metrics that is longer than most
for i in $(seq 150); do many+=(--sample-prompt "the text number $i"); done
expect 0 'sample 150: the text number 150 | ' "${train[@]}" --max-steps 10 --sample-interval 5 "${many[@]}" --sample-tokens 3 --overwrite --output-dir mesh
[ "$(wc -L <mesh/metrics.jsonl)" -gt 6000 ] || fail "a long line: $(wc -L <mesh/metrics.jsonl)"
expect 0 'at step 10' "$run" train --resume mesh --max-steps 20 --sample-interval 0
grep -q 'sample 1:' out.txt && fail '--sample-interval 0 writes samples'
cmp -s plain/loss.svg mesh/loss.svg || fail 'the curve of a resumed run with samples is another'
expect 0 'step 20/20' "$run" watch mesh --once

# ---- tokens that a tokenizer made; a plan that was saved ----

"$run" tokenizer train corpus.txt --vocab-size 300 --output tk/ >/dev/null && "$run" tokenize corpus.txt --tokenizer tk --output ids/ >/dev/null || fail 'tokens'
expect 0 '  sample 1: the text | ' "$run" train "$model" --data ids "${tiny[@]}" --vocab-size 320 --max-steps 2 --sample-interval 2 --sample-prompt 'the text' \
  --output-dir tokens
"$xlmc" plan "$model" "${tiny[@]}" --hidden-size 32 --sample-interval 7 --format json --output plan.json >/dev/null || fail 'plan'
expect 0 'samples every 7 steps' "$run" train plan.json --data corpus.txt --max-steps 7 --sample-prompt if --learning-rate 1e-2 --output-dir planned
grep -q 'step 7/7  sample 1: if | ' out.txt || fail "samples of a saved plan: $(cat out.txt)"
[ "$("$run" generate plan.json --init-from run --seed 4 --max-tokens 9 --prompt a 2>err.txt)" = "$("$run" generate run --seed 4 --max-tokens 9 --prompt a 2>>err.txt)" ] ||
  fail "a saved plan with logits writes something else: $(cat err.txt)"

# ---- a model that looks ahead: whole windows ----

cat >ahead.xlm <<'END'
dim vocab  = 256
dim hidden = 8
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.1)
param unembed[hidden, vocab] ~ normal(0.1)
x = lookup(embed, tokens)
logits = (x + mean(x, over seq)) @ unembed
loss cross_entropy(logits, targets)
output logits
END
ahead=("$run" train ahead.xlm --data corpus.txt --seq-length 16 --micro-batch-size 2 --global-batch-size 4 --max-steps 4 --eval-interval 2)
expect 0 'checkpoint blind' "${ahead[@]}" --output-dir blind
expect 0 'caches and logits take 32.00 KiB of the plan' "${ahead[@]}" --sample-interval 2 --sample-prompt ab --output-dir ahead
[ "$(samples ahead/metrics.jsonl | wc -l)" = 2 ] || fail "a model that looks ahead: $(cat ahead/metrics.jsonl)"
same_weights blind/step-00000004 ahead/step-00000004

# ---- mistakes ----

bad() {
  expect 1 "$1" "${train[@]}" --max-steps 5 "${@:2}" --output-dir none
}
bad "--sample-prompt: the prompt has 100 tokens, and the context of the run 32" --sample-interval 5 --sample-prompt "$(head -c 100 corpus.txt)"
bad "is not a list of token ids" --sample-interval 5 --sample-prompt 'a b' --tokenizer ids
sed 's/^output .*//' "$model" >mute.xlm
expect 1 '--sample-interval: the model has no output [batch, seq, vocab]' "$run" train mute.xlm --data corpus.txt "${tiny[@]}" --sample-interval 5 --output-dir none
expect 0 'note: --sample-prompt goes with --sample-interval' "${train[@]}" --max-steps 1 --sample-prompt a --overwrite --output-dir mesh
exit $failed
