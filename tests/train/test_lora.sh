#!/usr/bin/env bash
# Adapters and frozen parameters: the same curve in every layout, checkpoints that go on, merged weights that compute the same.
. "$(dirname "$0")/xlmrun_lib.sh"

build=$2
adapted=(--lora 'match=layers.*.attention.w[qvo] rank=4 alpha=8' --lora 'match=layers.*.mlp.* rank=2')
expect 0 'checkpoint base/' "$run" train "$model" --data corpus.txt --max-steps 10 "${tiny[@]}" --eval-interval 0 --output-dir base
train() { # NAME FLAG...
  local name=$1
  shift
  expect 0 "checkpoint $name/" "$run" train "$model" --data corpus.txt --max-steps 8 --seq-length 32 --micro-batch-size 2 --global-batch-size 4 \
    --learning-rate 1e-2 --log-interval 1 --eval-interval 0 --init-from base --output-dir "$name" "$@"
}

# The same losses in every layout.
train one "${adapted[@]}"
for layout in '--tp 2' '--pp 2' '--dp 2 --zero 3' '--dp 2 --tp 2 --zero 1'; do
  read -ra flags <<<"$layout"
  train other --overwrite "${adapted[@]}" "${flags[@]}"
  paste <(column loss one/metrics.jsonl) <(column loss other/metrics.jsonl) |
    awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= 1e-5 * $1)) exit 1 } END { if (NR != 8) exit 1 }' ||
    fail "$layout: $(column loss one/metrics.jsonl | tr '\n' ' '), $(column loss other/metrics.jsonl | tr '\n' ' ')"
done
[ "$(column loss one/metrics.jsonl | sort -u | wc -l)" -gt 6 ] || fail "nothing was trained: $(cat one/metrics.jsonl)"
# Neither gradients nor states of the optimizer for what is frozen.
grep -qa 'adam.m/layers.0.attention.wq.lora_a' one/step-00000008/optimizer.safetensors || fail 'no moments of a factor'
! grep -qa 'adam.m/layers.0.attention.wq"' one/step-00000008/optimizer.safetensors || fail 'moments of a frozen parameter'

# A checkpoint goes on with its adapters, also as weights of another run.
train half "${adapted[@]}" --max-steps 4
expect 0 'checkpoint half/' "$run" train --resume half --max-steps 8
grep -q '"step": 8, ' half/metrics.jsonl || fail "no steps after the resume: $(cat half/metrics.jsonl)"
grep -q lora half/step-00000008/manifest.json || fail 'the manifest lacks the adapters'
head -c 3000 corpus.txt >some.txt
"$run" eval one --data some.txt >adapted.txt 2>/dev/null
expect 0 "$(cat adapted.txt)" "$run" eval "$model" --data some.txt --seq-length 32 --micro-batch-size 2 --init-from one

# Merged weights compute the same without adapters.
expect 0 merged "$run" export one --output merged
! grep -qa lora_ merged/model.safetensors || fail 'factors in merged weights'
"$run" eval "$model" --data some.txt --seq-length 32 --micro-batch-size 2 --init-from merged >merged.txt 2>/dev/null
"$run" eval base --data some.txt >before.txt 2>/dev/null
cat adapted.txt merged.txt before.txt | awk '{ loss[NR] = $2 } END { d = loss[1] - loss[2]; if (d < 0) d = -d
  exit !(NR == 3 && d <= 1e-5 && loss[3] - loss[1] > 1e-3) }' || fail "adapted, merged, before: $(cat adapted.txt merged.txt before.txt)"
expect 0 merged.gguf "$run" export one --format gguf --output merged.gguf
! grep -qa lora_ merged.gguf || fail 'factors in a merged file'

# Groups freeze parameters, and except some from it.
expect 0 frozen "$build/xlmc" plan "$model" "${sizes[@]}" --group 'match=layers.* frozen'
expect 0 'layers.*  frozen' "$build/xlmc" plan "$model" "${sizes[@]}" --group 'match=layers.* frozen'
expect 0 'final.*  adamw' "$build/xlmc" plan "$model" "${sizes[@]}" "${adapted[@]}" --group 'match=final.* frozen=false'
expect 1 'all parameters are frozen' "$build/xlmc" plan "$model" "${sizes[@]}" --group 'match=* frozen'
exit $failed
