#!/usr/bin/env bash
# The tool as a person uses it: train, evaluate, generate, bench, run files, and every exit code. (Resuming and signals have
# tests of their own.)
. "$(dirname "$0")/xlmrun_lib.sh"

# ---- train: from a run file, and the same from flags ----

cat >run.yaml <<EOF2
model: $model
set: { hidden_size: 16, layers: 2, heads: 2, intermediate_size: 32, vocab_size: 256 }
data: { train: [corpus.txt], valid_fraction: 0.2 }
train:
  seq_length: 32
  micro_batch_size: 2
  global_batch_size: 4
  max_steps: 99
  learning_rate: 1.0e-2
  lr_schedule: linear
  recompute: full
  seed: 3
output: { dir: whole, save_interval: 10, eval_interval: 10, eval_batches: 2, log_interval: 5 }
EOF2
expect 0 'loss curve whole/loss.svg' "$run" train --config run.yaml --max-steps 20
expect 0 'checkpoint flags/step-00000020' "$run" train "$model" --data corpus.txt --valid-fraction 0.2 "${tiny[@]}" \
  --max-steps 20 --lr-schedule linear --seed 3 --eval-interval 10 --output-dir flags --metrics flags.jsonl --curve flags.svg
same_weights whole/step-00000020 flags/step-00000020
# The same on a device whose memory is out of reach.
for device in cpu cpu-far; do
  expect 0 "checkpoint $device/step-00000004" "$run" train --config run.yaml --max-steps 4 --tp 2 --device $device --output-dir $device
  "$run" generate $device --prompt 'a rule' --max-tokens 4 --seed 4 --device $device >$device.txt || fail "no text on $device"
done
same_weights cpu/step-00000004 cpu-far/step-00000004
cmp cpu.txt cpu-far.txt || fail 'other text on cpu-far'
for key in step loss lr grad_norm tokens val_loss; do
  [ "$(column $key whole/metrics.jsonl)" = "$(column $key flags.jsonl)" ] || fail "$key differs between run file and flags"
done
[ ! -e flags/metrics.jsonl ] && [ ! -e flags/loss.svg ] || fail '--metrics and --curve name other files'

# ---- metrics and the curve ----

[ "$(column step whole/metrics.jsonl | tr '\n' ' ')" = '1 5 10 15 20 ' ] || fail "steps: $(cat whole/metrics.jsonl)"
[ "$(column val_loss whole/metrics.jsonl | wc -l)" = 2 ] || fail "validation losses: $(cat whole/metrics.jsonl)"
number='(-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?)'
for key in step loss lr grad_norm tokens tokens_per_s mfu; do
  [ "$(grep -cE "\"$key\": $number[,}]" whole/metrics.jsonl)" = 5 ] || fail "$key is not in every line: $(cat whole/metrics.jsonl)"
done
grep -qvE "^\{\"[a-z_]+\": $number(, \"[a-z_]+\": $number)*\}$" whole/metrics.jsonl && fail "no JSON: $(cat whole/metrics.jsonl)"
column loss whole/metrics.jsonl | grep -qE '^[0-9]\.[0-9]{8}$' || fail 'losses have fewer than 9 digits'
[ "$(column tokens whole/metrics.jsonl | tail -n 1)" = $((20 * 4 * 32)) ] || fail 'the number of tokens is wrong'
column loss whole/metrics.jsonl | awk 'NR == 1 { first = $1 } END { exit !($1 < first - 0.2) }' || fail 'nothing was learnt'

# Elements of the curve close in the order they open, and both lines have their points.
awk '
  BEGIN { RS = "<" }
  NR > 1 {
    name = $1; sub(/[\/>].*/, "", name)
    if ($0 ~ /^\//) { name = $0; gsub(/^\/|>.*/, "", name); if (open[depth--] != name) bad = 1 }
    else if ($0 !~ /\/>/) open[++depth] = name
  }
  END { exit bad || depth || NR < 20 }' whole/loss.svg || fail 'the curve is not well-formed'
[ "$(sed -n "s/.*class='train' points='\([^']*\)'.*/\1/p" whole/loss.svg | wc -w)" = 5 ] || fail 'training losses in the curve'
[ "$(sed -n "s/.*class='valid' points='\([^']*\)'.*/\1/p" whole/loss.svg | wc -w)" = 2 ] || fail 'validation losses in the curve'

# ---- every model, both element types, other optimizers and data ----

train() {
  expect 0 "checkpoint $1/step-00000003" "$run" train "${@:2}" --hidden-size 16 --set layers=2 --set heads=2 --vocab-size 256 \
    --seq-length 16 --micro-batch-size 2 --global-batch-size 4 --max-steps 3 --log-interval 1 --output-dir "$1"
}
for name in gpt2 qwen3 mixtral freestyle mamba2 retnet gla; do
  shrink=(--intermediate-size 32)
  case $name in
    qwen3) shrink+=(--num-key-value-heads 1 --head-dim 8) ;;
    mixtral) shrink+=(--num-key-value-heads 1 --num-local-experts 4) ;;
    freestyle) shrink+=(--sliding-window 5) ;;
    mamba2) shrink=(--head-dim 8 --state-size 8) ;;
  esac
  train $name "$source_dir/models/$name.xlm" "${shrink[@]}" --data corpus.txt --dtype bf16
done
train sgd "$model" --intermediate-size 32 --optimizer sgd --lr-schedule wsd --grad-clip 0 --data synthetic
grep -q '(synthetic)' out.txt || fail "no word about synthetic tokens: $(cat out.txt)"

# Tokens of two bytes, as other tools write them: the same text, the same losses.
iconv -f latin1 -t utf-16le corpus.txt >corpus.bin
train text "$model" --intermediate-size 32 --data corpus.txt
train ids "$model" --intermediate-size 32 --data corpus.bin
[ "$(column loss text/metrics.jsonl)" = "$(column loss ids/metrics.jsonl)" ] || fail 'u16 tokens train differently'
mkdir folder && cp corpus.txt folder/a.txt && cp run.yaml folder/b.txt
train folder "$model" --intermediate-size 32 --data folder

# ---- data that is not what it seems to be ----

refused() { # TEXT FLAGS...: no run begins
  expect 1 "$1" "$run" train "$model" "${tiny[@]}" --max-steps 1 --output-dir refused "${@:2}"
  [ ! -e refused ] || fail "a run was begun: $*"
}
refused 'no data given: --data FILE... trains on text or tokens, --data synthetic on generated tokens'
refused 'synthetic tokens or files, not both' --data synthetic corpus.txt
refused "'corpus.txt' is text, of which every byte is a token, and the model has a vocabulary of 32,000" --data corpus.txt --vocab-size 32000
refused 'or a model of bytes with a vocabulary of 256' --data folder --vocab-size 32000
refused "'corpus.txt' is text" --data corpus.bin --valid corpus.txt --vocab-size 32000
expect 0 'checkpoint told/' "$run" train "$model" "${tiny[@]}" --max-steps 1 --data corpus.txt --vocab-size 32000 --tokenizer bytes \
  --output-dir told
expect 0 'nats per byte' "$run" eval told
{ printf '\xfd7zXZ\0\0\4' && cat corpus.txt; } >corpus.txt.xz
refused "'corpus.txt.xz' is compressed with xz: unpack it" --data corpus.txt.xz
refused 'is compressed with xz' --data corpus.txt --valid corpus.txt.xz
expect 0 'checkpoint raw/' "$run" train "$model" "${tiny[@]}" --max-steps 1 --data corpus.txt.xz --data-format bytes --output-dir raw
mkdir half && cp corpus.txt.xz half/ && cp corpus.txt half/
expect 0 "1 file of the data is left out: 'half/corpus.txt.xz' is compressed with xz" "$run" train "$model" "${tiny[@]}" \
  --max-steps 1 --data half --output-dir half.out
cp corpus.txt.xz half/more.xz
expect 0 "2 files of the data are left out, the first because 'half/" "$run" eval half.out --data half --eval-batches 1
rm half/corpus.txt half/more.xz
refused "has no text or token file; 'half/corpus.txt.xz' is compressed with xz: unpack it" --data half
mkfifo pipe pipe.json
refused "'pipe' is a pipe, not a file" --data pipe
expect 1 "'pipe' is a pipe, not a file" timeout 300 "$run" train pipe --data corpus.txt
expect 1 "'pipe' is a pipe, not a file" timeout 300 "$run" train "$model" --config pipe
expect 1 "'pipe.json' is a pipe, not a file" timeout 300 "$run" train pipe.json --data corpus.txt
expect 1 "'pipe' is a pipe, not a file" timeout 300 "$run" eval "$model" "${sizes[@]}" --data corpus.txt --init-from pipe
: >void.txt
refused "the data file 'void.txt' is empty" --data corpus.txt void.txt
head -c 2000 corpus.bin >records.bin # 1000 tokens
refused 'not a whole number of records of 7' --data records.bin --record-length 7

# ---- eval ----

expect 0 'bits per byte' "$run" eval whole
expect 0 'nats per byte' "$run" eval whole --data run.yaml
expect 0 "loss $(column val_loss whole/metrics.jsonl | tail -n 1) nats" "$run" eval whole --eval-batches 2
"$run" eval whole >a.txt
evaluate=("$run" eval "$model" "${sizes[@]}" --data corpus.txt --valid-fraction 0.2)
expect 0 "$(cat a.txt)" "${evaluate[@]}" --init-from whole/step-00000020/model.safetensors
expect 0 "$(cat a.txt)" "${evaluate[@]}" --init-from whole
expect 0 'loss' "${evaluate[@]}" --init-from whole/step-00000010
grep -qF "$(cat a.txt)" out.txt && fail 'other weights evaluate the same'
expect 0 'checkpoint start/step-00000001' "$run" train "$model" --data corpus.txt "${tiny[@]}" --max-steps 1 \
  --init-from whole/step-00000020/model.safetensors --learning-rate 0 --output-dir start
cmp -s whole/step-00000020/model.safetensors start/step-00000001/model.safetensors || fail '--init-from does not start from there'

# ---- generate ----

generate() {
  "$run" generate whole --prompt 'xlm' --max-tokens 20 "$@"
}
generate --seed 3 >a.txt || fail 'generate'
generate --seed 3 >b.txt
cmp -s a.txt b.txt || fail 'one seed, two texts'
generate --seed 4 >b.txt
cmp -s a.txt b.txt && fail 'two seeds, one text'
[ "$(head -c 3 a.txt)" = xlm ] || fail 'the prompt is missing'
generate --temperature 0 >a.txt
for same in '--temperature 0 --seed 9' '--temperature 5 --top-k 1' '--top-p 1e-9' '--temperature 0 --threads 1'; do
  # shellcheck disable=SC2086
  generate $same >b.txt
  cmp -s a.txt b.txt || fail "'$same' is not the likeliest text"
done
letter=$(head -c 4 a.txt | tail -c 1)
[ "$(generate --temperature 0 --stop "$letter")" = xlm ] || fail "--stop '$letter' did not stop"
[ "$(generate --temperature 0 --stop nowhere --stop "$letter")" = xlm ] || fail "the second --stop '$letter' did not stop"
"$run" generate whole --prompt "$(head -c 100 corpus.txt)" --max-tokens 5 --temperature 0 >b.txt || fail 'a prompt longer than seq'
[ "$(wc -c <b.txt)" -ge 102 ] || fail "a long prompt: $(cat b.txt)"

# ---- bench ----

expect 0 'MFU' "$run" bench "$model" "${sizes[@]}" --steps 2 --warmup 1
for op in contract attend_bwd fused adamw '(between)'; do
  grep -qF -- "$op" out.txt || fail "no $op in the profile: $(cat out.txt)"
done

# ---- a loss that is no number ----

expect 2 'is not finite at step' "$run" train "$model" --data corpus.txt "${tiny[@]}" --learning-rate 1e6 --warmup-steps 5 \
  --grad-clip 0 --optimizer sgd --max-steps 50 --save-interval 1 --output-dir wild
grep -q "first bad tensor is '[^']*' (.*[.]xlm:[0-9]" out.txt || fail "no bad tensor is named: $(cat out.txt)"
kept=$(sed -n 's/.*the last good checkpoint is \([^;]*\);.*/\1/p' out.txt)
[ -n "$kept" ] && [ "$(ls -d wild/step-* | tail -n 1)" = "$kept" ] || fail "the last good checkpoint: $(cat out.txt; ls wild)"
expect 0 'nats' "$run" eval "$kept"
grep -q nan wild/metrics.jsonl && fail 'NaN in the metrics'

# ---- mistakes ----

expect 1 '--resume continues it' "$run" train --config run.yaml
expect 0 'checkpoint whole/step-00000001' "$run" train --config run.yaml --overwrite --max-steps 1
expect 1 "did you mean '--max-steps'?" "$run" train "$model" --max-step 5
expect 1 "did you mean '--hidden-size'?" "$run" train "$model" --hiden-size 5
expect 1 'did you mean `train`?' "$run" trian
expect 1 '`xlmc plan` shows' "$run" plan llama
expect 1 'a run is as long as --max-steps says' "$run" train "$model" --data corpus.txt --epochs 3
expect 1 'given with --prompts' "$run" generate told --prompt-file prompts.txt
expect 1 "unknown flag '-o'" "$run" train "$model" --data corpus.txt -o run
expect 1 "no flag '--epochs'" "$run" train --data corpus.txt llama --epochs 3
expect 1 'a text to continue is given as --prompt' "$run" generate 'Once upon a time'
expect 1 'as in `xlmrun generate run`' "$run" generate
expect 1 'as in `xlmrun export run`' "$run" export
expect 1 'is a model without weights' "$run" eval llama
expect 1 'settings takes no arguments' "$run" settings more
expect 1 "--max-steps" "$run" train "$model" --max-steps many
expect 1 'cosine' "$run" train "$model" --lr-schedule cosin
expect 1 'which model?' "$run" train
expect 1 "there is no device 'gpu'; this build has: cpu, cpu-far" "$run" bench "$model" "${sizes[@]}" --device gpu
expect 1 'nothing.xlm' "$run" train nothing.xlm
expect 1 'there is no data file' "$run" train "$model" "${tiny[@]}" --data nothing.txt --output-dir n
expect 1 'no multiple of the micro batch size' "$run" train "$model" "${tiny[@]}" --micro-batch-size 3 --output-dir n
expect 1 'without weights' "$run" generate "$model"
expect 1 "there is no checkpoint 'nowhere'" "$run" generate nowhere
expect 1 'which checkpoint? there is no folder ./checkpoints' "$run" eval
expect 1 'is a flag of other commands' "$run" generate whole --max-steps 3
cat >classifier.xlm <<'END'
dim vocab  = 256
dim hidden = 8
dim seq    = 16
input tokens[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.02)
logits = mean(lookup(embed, tokens), over seq)
loss mean(square(logits))
output logits
END
"$run" train classifier.xlm --data corpus.txt --max-steps 1 --global-batch-size 4 --output-dir classes >out.txt 2>&1
expect 1 'its output `logits` is [batch, hidden]' "$run" generate classes
expect 3 'there are 512.00 KiB' "$run" train "$model" "${tiny[@]}" --memory-limit 512KiB --output-dir n
expect 2 'cannot create the folder' "$run" train "$model" "${tiny[@]}" --data corpus.txt --output-dir /proc/none
head -c 2000 /dev/zero | tr '\0' '\377' >ids.bin
expect 1 "ids.bin' holds token id 65535 at byte" "$run" train "$model" "${tiny[@]}" --data ids.bin --output-dir ids65535
head -c 20 corpus.txt >short.txt
expect 1 'has 18 tokens, but one sample takes 33' "$run" train "$model" "${tiny[@]}" --data short.txt --output-dir n
sed 's/else unembed/else unembd/' "$model" >typo.xlm
expect 1 '`unembed`' "$run" train typo.xlm "${tiny[@]}" --output-dir n

# yaml TEXT LINE...: a run file of these lines is refused with the text.
yaml() {
  printf '%s\n' "${@:2}" >wrong.yaml
  expect 1 "$1" "$run" train "$model" --config wrong.yaml --output-dir n
}
yaml "wrong.yaml:2: unknown key 'max_step' in \`train\`; did you mean 'max_steps'?" 'train:' '  max_step: 5'
yaml "did you mean 'train'?" 'trian: { max_steps: 5 }'
yaml 'it belongs in the section `train:`' 'max_steps: 5'
yaml "is given twice" 'train:' '  seed: 5' '  seed: 6'
yaml 'wrong.yaml:2' 'train: [1, 2'
yaml "wrong.yaml:1: 'soon' is not a whole number" 'train: { max_steps: soon }'
yaml 'must have keys and values' 'train: 5'
expect 1 'nowhere.yaml' "$run" train --config nowhere.yaml
expect 0 'max_steps: 10000' "$run" train --print-config
"$run" train --config run.yaml --max-steps 7 --print-config >printed.yaml
expect 0 'max_steps: 7' "$run" train --config printed.yaml --print-config
cmp -s out.txt printed.yaml || fail "--print-config does not read back: $(diff out.txt printed.yaml)"
expect 0 "model: \"$model\"" "$run" train "$model" --print-config

# A dim of the model comes from the strongest that gives it: flag, run file, checkpoint, preset; the others stay.
cat >merged.yaml <<EOF2
model: $model
preset: nano
set: { hidden_size: 16, layers: 1, heads: 2, intermediate_size: 32 }
train: { max_steps: 1, seq_length: 32, micro_batch_size: 2, global_batch_size: 2 }
output: { dir: merged }
EOF2
expect 0 'set: ["hidden_size=16", "heads=2", "intermediate_size=32", "num_hidden_layers=2"]' "$run" train --config merged.yaml \
  --num-hidden-layers 2 --print-config
expect 0 'llama nano  13.4 k parameters' "$run" train --config merged.yaml --num-hidden-layers 2 --data corpus.txt
expect 0 'llama nano  13.4 k parameters' "$run" train --resume --output-dir merged --data corpus.txt --max-steps 2 --set layers=2
expect 1 "did you mean '--hidden-size'" "$run" train "$model" --hiden-size 5 --print-config
expect 0 '--top-p' "$run" generate --help
[ ! -e n ] || fail 'a refused run left a folder'
exit $failed
