#!/usr/bin/env bash
# --skip-spikes: steps with an outlying or non-finite gradient norm change nothing, by the same rule in every layout, with every
# optimizer and over a resume.
. "$(dirname "$0")/xlmrun_lib.sh"
train=("$run" train "$model" --data corpus.txt "${sizes[@]}" --set layers=4 --micro-batch-size 1 --global-batch-size 4 --learning-rate 1e-2
  --log-interval 1 --eval-interval 0 --save-interval 0 --max-steps 24 --skip-spikes 1.02)

expect 0 'skipped)' "${train[@]}" --save-interval 13 --keep-checkpoints 0 --output-dir one
column skipped one/metrics.jsonl | tr '\n' ' ' >one.txt

# The rule, computed once more from the norms of the metrics. Norms that are as good as on the limit do not count.
paste <(column grad_norm one/metrics.jsonl) <(column skipped one/metrics.jsonl) | awk '{
    limit = 1.02 * mean; spike = NR > 10 && $1 > limit
    if (spike != $2 && ($1 > 1.0001 * limit || $1 < 0.9999 * limit)) print "step", NR, "norm", $1, "limit", limit, "skipped", $2
    norm = NR > 10 && $1 > limit ? limit : $1
    share = NR < 50 ? 1 / NR : 1 / 50
    mean = NR == 1 ? $1 : mean + share * (norm - mean)
    skipped += $2
  } END { if (skipped < 3 || skipped > 13) print skipped, "steps were skipped" }' >wrong.txt
[ ! -s wrong.txt ] || fail "another rule: $(cat wrong.txt)"

# A skipped step changes nothing: one after the other, the weights before and after it are the same.
for optimizer in adamw sgd lion muon adafactor; do
  expect 0 'checkpoint' "${train[@]}" --optimizer $optimizer --save-interval 1 --keep-checkpoints 0 --output-dir $optimizer
  column skipped $optimizer/metrics.jsonl | awk '{ print NR, $1 }' | while read -r step skipped; do
    [ "$step" -gt 10 ] || continue
    before=$optimizer/step-$(printf %08d $((step - 1))) after=$optimizer/step-$(printf %08d "$step")
    cmp -s $before/model.safetensors $after/model.safetensors
    [ $? = $((1 - skipped)) ] || echo "$optimizer, step $step, skipped $skipped"
  done >wrong.txt
  [ ! -s wrong.txt ] || fail "weights changed or stayed: $(cat wrong.txt)"
  grep -q '"skipped": 1' $optimizer/metrics.jsonl || fail "$optimizer: nothing was skipped"
done

# The same in every layout.
other() {
  expect 0 'checkpoint' "${train[@]}" --output-dir "$@"
  column skipped "$1/metrics.jsonl" | tr '\n' ' ' | cmp -s - one.txt || fail "$*: skipped $(column skipped "$1/metrics.jsonl" | tr '\n' ' ')"
  paste <(column loss one/metrics.jsonl) <(column loss "$1/metrics.jsonl") | awk '{ d = ($1 - $2) / $1; if (d > 1e-5 || d < -1e-5) exit 1 }' ||
    fail "$*: other losses"
}
other stages --pp 2
other chunks --pp 2 --pipeline-schedule interleaved --dp 2
other data --dp 2 --zero 1
other split --tp 2 --dp 2 --zero 3

# Resumed: bit for bit.
mkdir part && cp -r one/step-00000013 part/ && cp one/metrics.jsonl part/
expect 0 'resumed' "$run" train --resume part
same_weights one/step-00000024 part/step-00000024
column skipped part/metrics.jsonl | tr '\n' ' ' | cmp -s - one.txt || fail "skipped after a resume: $(column skipped part/metrics.jsonl | tr '\n' ' ')"

# ---- steps that are not finite ----

# 40 records of 6 bytes, one of which has a zero, whose logarithm is not finite.
header='{"bytes":{"dtype":"U8","shape":[40,6],"data_offsets":[0,240]},"label":{"dtype":"U8","shape":[40],"data_offsets":[240,280]}}'
{
  printf "\\x$(printf %02x ${#header})\0\0\0\0\0\0\0%s" "$header"
  head -c 100 corpus.txt && printf '\0' && head -c 240 corpus.txt | tail -c 139
  for _ in $(seq 20); do printf '\0\1'; done
} >records.safetensors
cat >logarithm.xlm <<'END'
model logarithm
dim classes = 2
dim hidden  = 8
dim columns = 6
input bytes[batch, columns]   from bytes
input label[batch] of classes from label
param embed[columns, hidden]   ~ normal(0.1)
param unembed[hidden, classes] ~ normal(0.1)
loss mean(token_cross_entropy(gelu((log(bytes) / 4 - 1) @ embed) @ unembed, label))
END
bad=("$run" train logarithm.xlm --data records.safetensors --valid-fraction 0 --eval-interval 0 --global-batch-size 4 --micro-batch-size 2
  --log-interval 1 --max-steps 30 --learning-rate 1e-2)
expect 2 'is not finite at step' "${bad[@]}" --output-dir without
expect 0 'checkpoint with/step-00000030' "${bad[@]}" --skip-spikes 1000 --output-dir with
[ "$(grep -c '"loss": null.*"skipped": 1' with/metrics.jsonl)" = 3 ] || fail "not one step of each epoch: $(cat with/metrics.jsonl)"
tail -n 1 with/metrics.jsonl | grep -q 'null' && fail "the run did not go on: $(tail -n 1 with/metrics.jsonl)"

# A run of which nothing is left ends with a word, and with weights that are finite.
expect 2 '--skip-spikes has left out 100 steps in a row' "$run" train "$model" --data corpus.txt "${tiny[@]}" --learning-rate 1e6 --warmup-steps 5 \
  --grad-clip 0 --optimizer sgd --max-steps 200 --skip-spikes 1e9 --save-interval 50 --output-dir wild
expect 0 'nats' "$run" eval wild
expect 1 'skip_spikes is 0.5; it must be above 1' "${train[@]}" --skip-spikes 0.5 --output-dir refused
exit $failed
