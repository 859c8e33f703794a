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

# Adapters alone, for PEFT: the factors of each layer, [rank, in] and [out, rank], in its names; numbers that differ by layer.
floats() { # FILE TENSOR: its numbers, one a line
  local n range
  n=$(od -An -tu8 -N8 "$1")
  read -ra range < <(head -c $((8 + n)) "$1" | tail -c +9 | sed -n "s/.*\"$2\":{[^}]*\"data_offsets\":\[\([0-9]*\),\([0-9]*\)\].*/\1 \2/p")
  [ ${#range[@]} -eq 2 ] || fail "no $2 in $1"
  od -An -v -tf4 -w4 -j $((8 + n + range[0])) -N $((range[1] - range[0])) "$1"
}
transposed() { # TENSOR ROWS COLUMNS PEFT_TENSOR: of the checkpoint, as the folder has it
  floats one/step-00000008/model.safetensors "$1" | awk -v rows="$2" -v columns="$3" '{ x[NR - 1] = $1 }
    END { if (NR != rows * columns) exit 1; for (c = 0; c < columns; c++) for (r = 0; r < rows; r++) print x[r * columns + c] }' >want.txt &&
    floats peft/adapter_model.safetensors "base_model.model.model.layers.$4.weight" | awk '{ print $1 }' | cmp -s want.txt - ||
    fail "$4 is not $1"
}
expect 0 peft "$run" export one --format peft --output peft
transposed layers.0.attention.wq.lora_a 16 4 0.self_attn.q_proj.lora_A
transposed layers.1.attention.wq.lora_b 4 16 1.self_attn.q_proj.lora_B
transposed layers.1.attention.wo.lora_a 16 4 1.self_attn.o_proj.lora_A
transposed layers.0.attention.wo.lora_b 4 16 0.self_attn.o_proj.lora_B
transposed layers.0.mlp.down.lora_a 32 2 0.mlp.down_proj.lora_A
[ "$(head -c 20000 peft/adapter_model.safetensors | grep -ao 'base_model[^"]*' | sort -u | wc -l)" = 24 ] || fail 'not the factors of 12 layers'
for line in '"r": 4' '"lora_alpha": 8' '"task_type": "CAUSAL_LM"' '"base_model_name_or_path": "base"' '"model.layers.1.mlp.up_proj": 2' \
  '"model.layers.1.mlp.up_proj": 4' '"fan_in_fan_out": false'; do
  grep -qF -- "$line" peft/adapter_config.json || fail "no '$line': $(cat peft/adapter_config.json)"
done
grep -q '"target_modules": .*"q_proj"' peft/adapter_config.json && ! grep -q '"target_modules": .*"k_proj"' peft/adapter_config.json ||
  fail "targets: $(cat peft/adapter_config.json)"
[ "$(ls peft)" = "$(printf 'adapter_config.json\nadapter_model.safetensors')" ] || fail "files: $(ls peft)"
expect 1 'there are no adapters' "$run" export base --format peft --output none
expect 1 '--type q8_0 is a type of gguf' "$run" export one --format peft --type q8_0 --output none
train wide --lora 'match=layers.*.attention.wq' --group 'match=final.* frozen=false' --max-steps 1
expect 1 'a group of the run trained parameters besides its adapters' "$run" export wide --format peft --output none
packed=("$source_dir/models/gpt2.xlm" --data corpus.txt --max-steps 1 --hidden-size 16 --set layers=1 --set heads=2 --vocab-size 256
  --seq-length 16 --global-batch-size 2 --eval-interval 0 --output-dir packed)
expect 0 'checkpoint packed/' "$run" train "${packed[@]}" --lora 'match=layers.*.attention.wq rank=2'
expect 1 "('transformer.h.0.attn.c_attn.weight' has more than it)" "$run" export packed --format peft --output none
expect 0 'checkpoint packed/' "$run" train "${packed[@]}" --overwrite --lora 'match=layers.*.mlp.* rank=2'
expect 0 gpt2 "$run" export packed --format peft --output gpt2
grep -q '"fan_in_fan_out": true' gpt2/adapter_config.json || fail "layers stored [in, out]: $(cat gpt2/adapter_config.json)"
[ ! -e none ] || fail 'a part of an export remains'

# And back: onto the weights they are for, in any layout, the same tensors and losses.
mine=("$model" --seq-length 32 --init-from base "${adapted[@]}")
expect 0 again "$run" export "${mine[@]}" --init-adapters peft --format peft --output again
for file in adapter_model.safetensors adapter_config.json; do cmp peft/$file again/$file || fail "$file is another after import and export"; done
expect 0 "$(cat adapted.txt)" "$run" eval "${mine[@]}" --micro-batch-size 2 --data some.txt --init-adapters peft
"$run" eval "${mine[@]}" --micro-batch-size 2 --data some.txt --init-adapters peft --tp 2 --pp 2 >split.txt 2>/dev/null
cat adapted.txt split.txt | awk '{ loss[NR] = $2 } END { d = loss[1] - loss[2]; exit !(NR == 2 && d <= 1e-5 && d >= -1e-5) }' ||
  fail "adapters over tp and pp: $(cat adapted.txt split.txt)"
train on "${adapted[@]}" --init-adapters peft --max-steps 1
[ "$(column loss on/metrics.jsonl)" != "$(column loss one/metrics.jsonl | head -1)" ] || fail 'training begins with other adapters'
no_adapters() { # TEXT FLAG...
  local text=$1
  shift
  expect 1 "$text" "$run" eval "$model" --seq-length 32 --micro-batch-size 2 --init-from base --data some.txt --init-adapters "$@"
}
qvo='match=layers.*.attention.w[qvo]' mlp='match=layers.*.mlp.* rank=2'
no_adapters "has rank 4 and alpha 8, and that of the run rank 8 and alpha 16: give --lora 'match=... rank=4 alpha=8'" peft --lora "$qvo rank=8" --lora "$mlp"
no_adapters 'has rank 4 and alpha 8, and that of the run rank 4 and alpha 4' peft --lora "$qvo rank=4 alpha=4" --lora "$mlp"
no_adapters "is of no adapter of the run: give a --lora that matches" peft --lora "$qvo rank=4 alpha=8"
no_adapters "it has no tensor 'base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight'" peft \
  --lora 'match=layers.*.attention.w[qkvo] rank=4 alpha=8' --lora "$mlp"
no_adapters 'there are no adapters' peft
no_adapters "cannot use the adapters of 'base'" base "${adapted[@]}"
other() { # NAME SED: the folder with another configuration
  rm -rf "$1"
  cp -r peft "$1"
  sed "$2" peft/adapter_config.json >"$1/adapter_config.json"
}
other dora 's/"bias": "none"/"bias": "none", "use_dora": true/'
no_adapters 'it uses `use_dora`' dora "${adapted[@]}"
other biases 's/"bias": "none"/"bias": "all"/'
no_adapters 'it trains biases' biases "${adapted[@]}"
other prefix 's/"LORA"/"PREFIX_TUNING"/'
no_adapters 'of the type PREFIX_TUNING' prefix "${adapted[@]}"
other root 's/"bias": "none"/"bias": "none", "use_rslora": true/' # alpha / sqrt(rank): a scale of 4
no_adapters 'has rank 4 and alpha 16' root "${adapted[@]}"
other whole 's/"\(model[.a-z_0-9]*\)": \([24]\)/"^\1": \2/' # patterns that are no names
no_adapters 'cannot use the adapters' whole "${adapted[@]}"
expect 0 gpt2 "$run" export "$source_dir/models/gpt2.xlm" --hidden-size 16 --set layers=1 --set heads=2 --vocab-size 256 --seq-length 16 \
  --init-from packed --lora 'match=layers.*.mlp.* rank=2' --init-adapters gpt2 --format peft --output gpt2_again
cmp gpt2/adapter_model.safetensors gpt2_again/adapter_model.safetensors || fail 'layers stored [in, out] are others after import and export'

# Groups freeze parameters, and except some from it.
expect 0 frozen "$build/xlmc" plan "$model" "${sizes[@]}" --group 'match=layers.* frozen'
expect 0 'layers.*  frozen' "$build/xlmc" plan "$model" "${sizes[@]}" --group 'match=layers.* frozen'
expect 0 'final.*  adamw' "$build/xlmc" plan "$model" "${sizes[@]}" "${adapted[@]}" --group 'match=final.* frozen=false'
expect 1 'all parameters are frozen' "$build/xlmc" plan "$model" "${sizes[@]}" --group 'match=* frozen'
exit $failed
