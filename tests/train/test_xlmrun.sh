#!/usr/bin/env bash
# The tool as a person uses it: train, stop, resume, evaluate, generate, and every exit code.
set -u
source_dir=$1
run=$2/xlmrun
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

fail() {
  echo "FAILED: $*"
  failed=1
}

# expect CODE TEXT COMMAND...: the command ends with CODE and its output holds TEXT.
expect() {
  local code=$1 text=$2 got
  shift 2
  "$@" >out.txt 2>&1
  got=$?
  [ $got -eq "$code" ] || fail "exit code $got, not $code: $*: $(cat out.txt)"
  grep -qF -- "$text" out.txt || fail "no '$text' from: $*: $(cat out.txt)"
}

cat "$source_dir"/grammar/xlm.y "$source_dir"/grammar/xlm.l >corpus.txt
model=$source_dir/models/llama.xlm
sizes=(--hidden-size 16 --set layers=2 --set heads=2 --intermediate-size 32 --vocab-size 256 --seq-length 32 --micro-batch-size 2)
tiny=("${sizes[@]}" --global-batch-size 4 --learning-rate 1e-2 --log-interval 5 --eval-batches 2)

# A run file, with a flag on top.
cat >run.yaml <<EOF
model: $model
set: { hidden_size: 16, layers: 2, heads: 2, intermediate_size: 32, vocab_size: 256 }
data: { train: [corpus.txt] }
train: { seq_length: 32, micro_batch_size: 2, global_batch_size: 4, max_steps: 99, learning_rate: 1.0e-2 }
output: { dir: whole, save_interval: 10, eval_interval: 10, eval_batches: 2, log_interval: 5 }
EOF
expect 0 'loss curve whole/loss.svg' "$run" train --config run.yaml --max-steps 20
for key in step loss lr grad_norm tokens tokens_per_s mfu; do
  grep -q "\"$key\": " whole/metrics.jsonl || fail "no $key in the metrics"
done
[ "$(grep -c val_loss whole/metrics.jsonl)" = 2 ] || fail "validation losses: $(cat whole/metrics.jsonl)"
grep -q '</svg>' whole/loss.svg || fail 'no loss curve'

# Resume from the middle, with another number of threads: the same bits.
mkdir half && cp -r whole/step-00000010 half/ && cp whole/metrics.jsonl half/
expect 0 'resumed from half/step-00000010 at step 10' "$run" train --resume half --threads 1
for file in model optimizer; do
  cmp -s whole/step-00000020/$file.safetensors half/step-00000020/$file.safetensors || fail "$file differs after a resume"
done
cut -d, -f1-4 whole/metrics.jsonl >a.txt
cut -d, -f1-4 half/metrics.jsonl >b.txt
cmp -s a.txt b.txt || fail 'metrics differ after a resume'

# A damaged checkpoint is passed over, with a note; chosen by name it is refused.
printf 'x' | dd of=half/step-00000020/model.safetensors bs=1 seek=2000 conv=notrunc 2>/dev/null
expect 0 'is damaged: its checksum is wrong' "$run" train --resume half --threads 1
cmp -s whole/step-00000020/model.safetensors half/step-00000020/model.safetensors || fail 'no recovery from damage'
printf 'x' | dd of=half/step-00000020/model.safetensors bs=1 seek=2000 conv=notrunc 2>/dev/null
expect 1 'is damaged' "$run" generate half/step-00000020

# A signal: the step is finished and saved, and the run can go on.
"$run" train "$model" --data corpus.txt "${tiny[@]}" --max-steps 1000000 --output-dir stopped >log.txt 2>&1 &
pid=$!
for _ in $(seq 200); do
  grep -qs '^step 1/' log.txt && break
  sleep 0.05
done
kill -INT $pid
wait $pid
code=$?
[ $code -eq 0 ] || fail "exit code $code after SIGINT: $(cat log.txt)"
grep -q 'go on with: xlmrun train --resume stopped' log.txt || fail "no hint how to resume: $(cat log.txt)"
ls stopped/step-*/manifest.json >/dev/null 2>&1 || fail 'nothing saved after SIGINT'

# Evaluate and generate from a checkpoint; weights as other tools name them.
expect 0 'bits per byte' "$run" eval whole
expect 0 'nats per byte' "$run" eval whole --data run.yaml
"$run" eval whole >a.txt
"$run" eval "$model" "${sizes[@]}" --data corpus.txt --valid-fraction 0.1 \
  --init-from whole/step-00000020/model.safetensors >b.txt 2>&1
cmp -s a.txt b.txt || fail "imported weights evaluate differently: $(cat a.txt b.txt)"
expect 0 "$(cat a.txt)" "$run" eval "$model" "${sizes[@]}" --data corpus.txt --valid-fraction 0.1 --init-from whole
"$run" generate whole --prompt 'xlm' --max-tokens 20 --seed 3 >a.txt || fail 'generate'
"$run" generate whole --prompt 'xlm' --max-tokens 20 --seed 3 >b.txt
cmp -s a.txt b.txt || fail 'one seed, two texts'
[ "$(head -c 3 a.txt)" = xlm ] || fail 'the prompt is missing'
"$run" generate whole --prompt 'xlm' --max-tokens 20 --temperature 0 >a.txt
letter=$(head -c 4 a.txt | tail -c 1)
"$run" generate whole --prompt 'xlm' --max-tokens 20 --temperature 0 --stop "$letter" >b.txt
[ "$(cat b.txt)" = xlm ] || fail "--stop '$letter' did not stop: $(cat b.txt)"
expect 0 'MFU' "$run" bench "$model" "${sizes[@]}" --steps 2 --warmup 1

# Mistakes.
expect 1 '--resume goes on with it' "$run" train --config run.yaml
expect 1 "did you mean '--max-steps'?" "$run" train "$model" --max-step 5
expect 1 "did you mean '--hidden-size'?" "$run" train "$model" --hiden-size 5
expect 1 "did you mean 'train'?" "$run" trian
expect 1 'which model?' "$run" train
expect 1 'there is no data file' "$run" train "$model" "${tiny[@]}" --data nothing.txt --output-dir n
expect 1 'no multiple of the micro batch size' "$run" train "$model" "${tiny[@]}" --micro-batch-size 3 --output-dir n
expect 1 'runs on one rank' "$run" train "$model" --tp 2 --output-dir n
expect 1 'without weights' "$run" generate "$model"
expect 1 'cannot read the folder' "$run" generate nowhere
expect 3 'there are 1.00 MiB' "$run" train "$model" "${tiny[@]}" --memory-limit 1MiB --output-dir n
expect 2 'cannot create the folder' "$run" train "$model" "${tiny[@]}" --output-dir /proc/none
head -c 2000 /dev/zero | tr '\0' '\377' >ids.bin
expect 1 "ids.bin' holds token id 65535 at byte" "$run" train "$model" "${tiny[@]}" --data ids.bin --output-dir n
expect 0 'max_steps: 10000' "$run" train --print-config
expect 0 '--top-p' "$run" generate --help
exit $failed
