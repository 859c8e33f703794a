#!/usr/bin/env bash
# What runs is exactly the plan: a plan that was saved trains as the model it was made from, bit for bit, and nothing beside it may
# say otherwise; its checkpoints are like any other; a plan that is damaged, or for another run, is refused before anything runs.
. "$(dirname "$0")/xlmrun_lib.sh"
compile=$2/xlmc

sizes=(--hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40 --vocab-size 256 --seq-length 32
  --global-batch-size 8 --micro-batch-size 1)
settings=(--data corpus.txt --learning-rate 1e-2 --log-interval 1 --eval-interval 2 --eval-batches 2 --save-interval 2
  --keep-checkpoints 0 --lr-schedule constant)

same_curve() {
  for key in step loss lr grad_norm tokens val_loss; do
    [ "$(column $key "$1/metrics.jsonl")" = "$(column $key "$2/metrics.jsonl")" ] || fail "$key differs: $1, $2"
  done
}
same_settings() { # all that the checkpoint keeps but the folder
  diff <(grep -vE '"(output.dir|checksum)"' "$1/manifest.json") <(grep -vE '"(output.dir|checksum)"' "$2/manifest.json") >diff.txt ||
    fail "the manifests of $1 and $2 differ: $(cat diff.txt)"
}

silent() { # COMMAND...: succeeds
  "$@" >out.txt 2>&1 || fail "exit code $?: $*: $(cat out.txt)"
}

# ---- the same as the model, in every layout ----

processes=()
if command -v mpirun >/dev/null && ldd "$run" | grep -q libmpi; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 ASAN_OPTIONS=detect_leaks=0
  processes=(timeout 300 mpirun -n)
fi

# same NAME RANKS MODEL FLAGS...: compiled and from a file, as threads and, when there is MPI, as processes.
same() {
  local name=$1 ranks=$2 text=$3
  shift 3
  rm -rf compiled saved spread
  silent "$compile" plan "$text" "$@" --format json --output "$name.json"
  expect 0 'checkpoint compiled/step-00000004' "$run" train "$text" "$@" "${settings[@]}" --max-steps 4 --output-dir compiled
  mv "$text" away.xlm
  expect 0 'checkpoint saved/step-00000004' "$run" train "$name.json" "${settings[@]}" --max-steps 4 --output-dir saved
  mv away.xlm "$text"
  same_weights compiled/step-00000004 saved/step-00000004
  same_curve compiled saved
  same_settings compiled/step-00000004 saved/step-00000004
  for file in model.xlm config.json; do
    cmp -s compiled/step-00000004/$file saved/step-00000004/$file || fail "$name: $file differs"
  done
  [ "$ranks" -gt 1 ] && [ ${#processes[@]} -gt 0 ] || return
  expect 0 "$ranks ranks = " "${processes[@]}" "$ranks" "$run" train "$name.json" "${settings[@]}" --max-steps 4 --output-dir spread
  same_weights compiled/step-00000004 spread/step-00000004
  same_curve compiled spread
}
cp "$model" llama.xlm
cp "$source_dir/models/mixtral.xlm" .
same zero 4 llama.xlm "${sizes[@]}" --dp 2 --tp 2 --zero 1
same pipe 4 llama.xlm "${sizes[@]}" --pp 2 --tp 2 --pipeline-schedule interleaved --recompute full
same moe 4 mixtral.xlm "${sizes[@]}" --num-key-value-heads 2 --num-local-experts 4 --ep 2 --dp 2
same half 1 llama.xlm "${sizes[@]}" --dtype bf16 --optimizer sgd --grad-clip 0.5 --weight-decay 0
same one 1 llama.xlm "${sizes[@]}"

# ---- its checkpoints ----

rm llama.xlm
expect 0 'checkpoint long/step-00000006' "$run" train one.json "${settings[@]}" --max-steps 6 --output-dir long
expect 0 'resumed from saved/step-00000004 at step 4' "$run" train --resume saved --max-steps 6 # with the model text it holds
same_weights long/step-00000006 saved/step-00000006
same_settings long/step-00000006 saved/step-00000006
expect 0 'at step 4' "$run" train one.json --resume compiled --max-steps 6 # with the plan, what was begun without
same_weights long/step-00000006 compiled/step-00000006
same_settings long/step-00000006 compiled/step-00000006
expect 0 'at step 4' "$run" train zero.json --resume compiled/step-00000004 --output-dir wide --max-steps 6 # in another layout
grep -q '4 ranks = dp 2 x tp 2' out.txt || fail "not the layout of the plan: $(cat out.txt)"
expect 0 'at step 6' "$run" train --resume wide --max-steps 8
grep -q '4 ranks = dp 2 x tp 2' out.txt || fail "the checkpoint has lost the layout of the plan: $(cat out.txt)"
expect 1 "is a plan without weights" "$run" eval one.json --data corpus.txt
expect 0 'nats per byte' "$run" eval long --data corpus.txt --eval-batches 2 --micro-batch-size 8
cp out.txt of_checkpoint.txt
expect 0 "$(cut -c 1-11 of_checkpoint.txt)" "$run" eval zero.json --init-from long --data corpus.txt --eval-batches 2
expect 1 'is a plan for training, without logits: make one with `xlmc plan --program decode`' "$run" generate one.json --init-from long
expect 0 'tokens/s' "$run" bench pipe.json --steps 1 --warmup 1 --trace trace.json --trace-steps 1 --cluster "$source_dir/clusters/cpu.yaml"
grep -q interleaved trace.json || grep -q planned trace.json || fail 'the planned step is not in the trace'

# ---- what a run decides, and what the plan does ----

expect 0 'checkpoint seeded/step-00000002' "$run" train one.json "${settings[@]}" --max-steps 2 --seed 7 --output-dir seeded
[ "$(column loss seeded/metrics.jsonl | head -n 1)" != "$(column loss long/metrics.jsonl | head -n 1)" ] || fail 'the seed changes nothing'
train=("$run" train zero.json --data corpus.txt --max-steps 1 --output-dir n)
fixed() { # FLAG ...
  expect 1 "$1: the plan 'zero.json' fixes it" "${train[@]}" "$@"
}
fixed --tp 2
fixed --pp 2
fixed --zero 1
fixed --preset nano
fixed --hidden-size 32
fixed --heads 4
fixed --set layers=4
fixed --micro-batch-size 1
fixed --global-batch-size 8
fixed --seq-length 32
fixed --dtype bf16
fixed --recompute none
fixed --optimizer sgd
fixed --weight-decay 0.01
fixed --grad-clip 1
fixed --pipeline-schedule gpipe
fixed --num-microbatches 4
expect 1 "unknown flag '--hiden-size'; did you mean '--hidden-size'" "${train[@]}" --hiden-size 32
expect 1 "--threads 400: the plan 'zero.json' has room for" "${train[@]}" --threads 400
expect 3 'make a plan with a smaller --micro-batch-size' "${train[@]}" --memory-limit 100KiB

# The run file that the plan was made with goes with it; another does not.
cat >run.yaml <<EOF2
model: $model
set: { hidden_size: 32, layers: 2, heads: 2, intermediate_size: 40, vocab_size: 256 }
mesh: { tp: 2 }
train: { seq_length: 32, global_batch_size: 4, micro_batch_size: 2, max_steps: 2, seed: 11 }
data: { train: [corpus.txt] }
output: { eval_batches: 2 }
EOF2
silent "$compile" plan --config run.yaml --format json --output file.json
expect 0 'checkpoint file/step-00000002' "$run" train --config run.yaml --output-dir file
expect 0 'checkpoint both/step-00000002' "$run" train file.json --config run.yaml --output-dir both
same_weights file/step-00000002 both/step-00000002
sed 's/tp: 2/tp: 1/' run.yaml >other.yaml
expect 1 "other.yaml:3: the plan 'file.json' fixes it (2)" "$run" train file.json --config other.yaml --output-dir n
# ... and can name it, as --print-config does.
"$run" train file.json --data corpus.txt --max-steps 2 --eval-batches 2 --output-dir named --print-config >named.yaml
grep -q 'tp:' named.yaml && fail "settings of the plan in its run file: $(cat named.yaml)"
expect 0 'checkpoint named/step-00000002' "$run" train --config named.yaml
same_weights file/step-00000002 named/step-00000002

# After a list of data it is still the plan, whatever it is called; a second one is refused.
expect 0 'checkpoint after/step-00000002' "$run" train "${settings[@]:2}" --max-steps 2 --output-dir after --data corpus.txt one.json
cp one.json named_plan
expect 0 'checkpoint after2/' "$run" train "${settings[@]:2}" --max-steps 1 --output-dir after2 --data corpus.txt corpus.txt named_plan
expect 1 "one model, plan or checkpoint at a time: what is 'one.json'?" "$run" train zero.json --output-dir n --data corpus.txt one.json
expect 0 'nats per byte' "$run" eval --eval-batches 2 --data corpus.txt after
printf '{\n  "a": 1\n}\n' >data.json # text, as it has no object per line
expect 0 'checkpoint after3/' "$run" train one.json --max-steps 1 --output-dir after3 "${settings[@]:2}" --data corpus.txt data.json
expect 1 "'one.json' and --model zero.json: which of them?" "$run" train one.json --model zero.json --output-dir n
expect 1 "which of them?" "$run" train "$model" --model "$source_dir/models/gpt2.xlm" --output-dir n
expect 1 "which of them?" "$compile" check "$model" --model "$source_dir/models/gpt2.xlm"
silent "$compile" check "$model" --model "$model"

# ---- what is no plan ----

cp one.json named_otherwise
expect 0 'checkpoint renamed/step-00000001' "$run" train named_otherwise --data corpus.txt --max-steps 1 --eval-batches 1 --output-dir renamed
train=("$run" train broken.json --data corpus.txt --max-steps 1 --output-dir n)
head -c 5000 one.json >broken.json
expect 1 "'broken.json': not a plan: line" "${train[@]}"
: >broken.json
expect 1 "'broken.json': not a plan" "${train[@]}"
sed 's/"xlm_plan": 5/"xlm_plan": 1/' one.json >broken.json
expect 1 'its format is 1, and this xlm reads 5; make it again with `xlmc plan`' "${train[@]}"
sed 's/"normal", 0.02/"normal", -1/' one.json >broken.json
expect 1 '`init`: the standard deviation -1 is negative' "${train[@]}"
sed 's/"op": "rope"/"op": "rop"/' one.json >broken.json
expect 1 'unknown operation `rop`' "${train[@]}"
sed 's/{"axis": "tp", "size": 2}/{"axis": "tp", "size": 3}/' zero.json >broken.json
expect 1 'the plan was rejected: the plan is for 4 ranks' "${train[@]}"
sed 's/"key": "train.zero"/"key": "output.dir"/' zero.json >broken.json
expect 1 '`output.dir` is not a setting of a plan' "${train[@]}"
expect 1 'missing.json' "$run" train missing.json --data corpus.txt --output-dir n
if [ ${#processes[@]} -gt 0 ]; then
  expect 1 "the plan 'zero.json' is for dp 2 x tp 2 = 4 ranks: start it with \`mpirun -n 4\`" "${processes[@]}" 2 "$run" train zero.json \
    --data corpus.txt --output-dir n
  sed '0,/"line": [0-9]*/s//"line": 9999/' zero.json >broken.json
  expect 2 'process 1 has another plan' "${processes[@]}" 1 "$run" train zero.json "${settings[@]}" --output-dir n : \
    -n 3 "$run" train broken.json "${settings[@]}" --output-dir n
fi
[ ! -e n ] || fail "a run that was refused has left something: $(ls n)"
exit $failed
