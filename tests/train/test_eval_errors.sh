#!/usr/bin/env bash
# Evaluation tasks as a newcomer types them: what is missing or wrong is said, with file and line; a task file of
# one's own; a model of bytes; bf16; processes under MPI.
. "$(dirname "$0")/xlmrun_lib.sh"
data=$source_dir/tests/train/tasks
gpt2=("$source_dir/models/gpt2.xlm" --init-from "$data/gpt2" --seq-length 64 --threads 1)
raw=(--task-data "$data/raw")

expect 0 'piqa             PIQA, which of two ways' "$run" eval --tasks list
expect 1 "no task 'hellaswg'; did you mean 'hellaswag'" "$run" eval "${gpt2[@]}" --tasks hellaswg "${raw[@]}"
expect 1 'There are arc_challenge, arc_easy, ' "$run" eval "${gpt2[@]}" --tasks mmlu "${raw[@]}"
expect 1 'Give a folder that has hellaswag_val.jsonl' "$run" eval "${gpt2[@]}" --tasks hellaswag
expect 1 "no file or folder 'nowhere'" "$run" eval "${gpt2[@]}" --tasks piqa --task-data nowhere
expect 1 'looked for hellaswag_val.jsonl and others there and in its folder' "$run" eval "${gpt2[@]}" --tasks hellaswag --task-data "$data/raw/piqa"
expect 1 'is the data of which task?' "$run" eval "${gpt2[@]}" --tasks hellaswag,piqa --task-data "$data/raw/lambada_test.jsonl"
expect 1 'line 1: the record has no "activity_label"; it has "text"' "$run" eval "${gpt2[@]}" --tasks hellaswag --task-data "$data/raw/lambada_test.jsonl"
expect 1 'no row begins a document' "$run" eval "${gpt2[@]}" --tasks wikitext --task-data "$data/raw/lambada_test.jsonl"
expect 1 'this task reads records' "$run" eval "${gpt2[@]}" --tasks piqa --task-data "$data/raw/wiki.test.raw"
expect 1 '--task-data: this is for tasks' "$run" eval "${gpt2[@]}" "${raw[@]}"
expect 1 'tasks have data of their own' "$run" eval "${gpt2[@]}" --tasks piqa "${raw[@]}" --data corpus.txt
expect 1 'name its tokenizer.json' "$run" eval "${gpt2[@]}" --tokenizer ids --tasks piqa "${raw[@]}"
expect 1 'its output `logits` is [batch, classes]' "$run" eval "$source_dir/models/vit.xlm" --init-from "$data/gpt2" --tasks piqa "${raw[@]}"

expect 1 '--shots: lambada_openai has no examples for its prompts' "$run" eval "${gpt2[@]}" --tasks lambada_openai "${raw[@]}" --shots 1
expect 1 "beside '$data/raw/piqa/valid.jsonl': there is no '$data/raw/piqa/train.jsonl'" "$run" eval "${gpt2[@]}" --tasks piqa "${raw[@]}" --shots 1
expect 1 'there are only 30 examples' "$run" eval "${gpt2[@]}" --tasks winogrande "${raw[@]}" --shots 31

# bad RECORD MESSAGE: PIQA's second record
bad() {
  printf '%s\n' '{"goal": "g", "sol1": "a", "sol2": "b", "label": 0}' "$1" >bad.jsonl
  expect 1 "'bad.jsonl', line 2: $2" "$run" eval "${gpt2[@]}" --tasks piqa --task-data bad.jsonl
}
bad '{"goal": "g", "sol1": ["a"], "sol2": "b", "label": 1}' '"sol1" of the record is a list, not a text'
bad '{"goal": {"a": 1}, "sol1": "a", "sol2": "b", "label": 1}' '"goal" of the record is an object, not text'
bad '{"goal": "g", "sol1": "a", "sol2": "b", "label": 2}' "the answer '2' is none of the 2 choices"
bad '{"goal": "g", "sol1": "a", "sol2": "b", "label": ""}' 'there is no answer: is this the part of the data that has them?'
bad '{"goal": "g", "sol1": "a", "sol2": "b"}' 'the record has no "label"; it has "goal", "sol1", "sol2", so the answers are read from a file beside the data: cannot open '"'bad-labels.lst'"
bad '{"goal": "g", "sol1": "a"' 'column'
bad '[1]' 'this is no JSON object'
printf '{"goal": "g", "sol1": "%s", "sol2": "b", "label": 1}\n' "$(seq -s ' ' 200)" >long.jsonl
expect 1 "'long.jsonl', record 1: what follows the prompt has 692 tokens, and the model's window has 64" "$run" eval "${gpt2[@]}" --tasks piqa --task-data long.jsonl
: >empty.jsonl
expect 1 "'empty.jsonl' has no records" "$run" eval "${gpt2[@]}" --tasks piqa --task-data empty.jsonl

printf 'one\n = \xff\n' >latin.txt
expect 1 "'latin.txt', line 2: this is not UTF-8" "$run" eval "${gpt2[@]}" --tasks wikitext --task-data latin.txt
expect 2 'nowhere' "$run" eval "${gpt2[@]}" --tasks piqa "${raw[@]}" --samples /proc/nowhere/x

# mistakes in a task file, with their lines
mine() {
  printf '%s\n' "${@:2}" >mine.yaml
  expect 1 "mine.yaml:$1" "$run" eval "${gpt2[@]}" --tasks mine.yaml --task-data quiz.jsonl
}
echo '{"q": "Two and two?", "options": ["five", "four"], "right": "B"}' >quiz.jsonl
whole=('type: choice' 'prompt: "Q: {q} A:"' 'choices: "{options}"' 'answer: "{right}"' 'measures: [acc]')
mine "1: \`type\` is choice" 'type: quiz'
mine "6: a task has no key 'promt'; did you mean 'prompt'?" "${whole[@]}" 'promt: "{q}"'
mine "6: a task of type choice has no key 'text'" "${whole[@]}" 'text: "{q}"'
mine "2: there is no filter 'capitalise'; did you mean 'capitalize'?" 'type: choice' 'prompt: "{q|capitalise}"'
mine "2: '{q' has a { without }" 'type: choice' 'prompt: "{q"'
mine "1: 'perplexity' is not measured by such a task: there are acc, acc_norm, acc_bytes" 'measures: perplexity' "${whole[@]:0:4}"
mine "6: the regular expression '(' is wrong" "${whole[@]}" 'clean: [regex: ["(", ""]]'
mine " the key 'answer' is missing" "${whole[@]:0:3}" 'measures: acc'
printf '%s\n' "${whole[@]}" >mine.yaml
expect 1 "'quiz.jsonl', line 1: the answer 'B' is none of the 2 choices" "$run" eval "${gpt2[@]}" --tasks mine.yaml --task-data quiz.jsonl

printf '%s\n' "${whole[@]}" 'labels: [A, B]' >mine.yaml
expect 0 'mine        1  acc ' "$run" eval "${gpt2[@]}" --tasks mine.yaml --task-data quiz.jsonl

# a task file of one's own, and the scores of its records
cat >mine.yaml <<'EOF'
type: choice
fields: { question: [stem, q] }
prompt: "Q: {question}\nA:"
choices: "{options}"
answer: "four"
measures: [acc, acc_bytes]
EOF
expect 0 'acc_bytes' "$run" eval "${gpt2[@]}" --tasks mine.yaml --task-data quiz.jsonl --samples quiz.out
grep -qF '"task": "mine", "record": 1, "prompt": "Q: Two and two?\nA:", "texts": [" five", " four"]' quiz.out || fail "samples: $(cat quiz.out)"
grep -qF '"answer": 1' quiz.out || fail "answer: $(cat quiz.out)"
expect 0 'piqa        2  acc' "$run" eval "${gpt2[@]}" --tasks piqa "${raw[@]}" --limit 2

# tokens that are bytes, from a checkpoint; another type of numbers
"$run" train "$model" "${tiny[@]}" --data corpus.txt --max-steps 2 --eval-interval 0 --output-dir run >/dev/null 2>&1 || fail 'train'
expect 0 'bits_per_byte' "$run" eval run --tasks wikitext,lambada_openai --task-data "$data/raw" --seq-length 128
"$run" train "$source_dir/models/gpt2.xlm" --hidden 16 --layers 1 --heads 2 --vocab 256 --seq-length 256 --micro-batch-size 2 --global-batch-size 2 \
  --data corpus.txt --max-steps 2 --eval-interval 0 --output-dir learned >/dev/null 2>&1 || fail 'train with learned positions'
expect 0 '"length": 96' "$run" eval learned --tasks piqa --task-data "$data/raw" --format json
expect 1 'give --seq-length 256' "$run" eval learned --data corpus.txt --seq-length 64
expect 0 'acc_norm' "$run" eval "${gpt2[@]}" --dtype bf16 --tasks arc_easy "${raw[@]}"

if command -v mpirun >/dev/null && "$run" --version | grep -q MPI; then
  export ASAN_OPTIONS=detect_leaks=0 # MPI keeps what it allocates
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  layout=("$source_dir/models/llama.xlm" --init-from "$data/llama" --seq-length 64 --threads 1 --tasks piqa,lambada_openai --format json)
  # alike A B: the same words, and numbers that differ by rounding
  alike() {
    paste -d '\n' <(grep -oE '[^ ,]+' "$1") <(grep -oE '[^ ,]+' "$2") |
      awk 'NR % 2 { a = $0; next } a != $0 { d = a - $0; if (d < 0) d = -d; if (!(a + 0) || d > 1e-5 * a) bad = 1 } END { exit bad || NR < 60 }'
  }
  "$run" eval "${layout[@]}" "${raw[@]}" >alone.json || fail 'one process'
  for axes in '--tp 2' '--dp 2' '--pp 2'; do
    timeout 300 mpirun -n 2 "$run" eval "${layout[@]}" "${raw[@]}" $axes >two.json 2>err.txt || fail "mpirun $axes: $(cat err.txt)"
    alike alone.json two.json || fail "mpirun $axes: $(diff alone.json two.json)"
  done
  cp -r "$data/raw" other && sed -i '1s/wet book/dry book/' other/piqa/valid.jsonl
  timeout 300 mpirun -n 1 "$run" eval "${layout[@]}" --tp 2 "${raw[@]}" : -n 1 "$run" eval "${layout[@]}" --tp 2 --task-data other >two.json 2>err.txt
  grep -q 'process 1 has other tasks, data or another tokenizer than process 0' err.txt || fail "other data went unnoticed: $(cat err.txt)"
fi
exit $failed
