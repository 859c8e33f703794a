#!/usr/bin/env bash
# A user's texts become the data of a run: `xlmrun tokenize`, training on documents directly, patterns, mixtures.
. "$(dirname "$0")/xlmrun_lib.sh"

# Documents of one line each: JSON lines, packed, and a text with separators.
grep -v '^[[:space:]]*$' corpus.txt >lines.txt
sed 's/\\/\\\\/g; s/"/\\"/g; s/\t/\\t/g; s/.*/{"id": 1, "text": "&"}/' lines.txt >docs.jsonl
head -n 200 docs.jsonl | gzip >part.jsonl.gz
sed 's/$/<|e|>/' lines.txt | tr -d '\n' >docs.txt
documents=$(wc -l <docs.jsonl)
tokenizer=$source_dir/tests/tokenizer/gpt2.json

# Mistakes.
expect 1 'which documents?' "$run" tokenize --tokenizer bytes --output out/
expect 1 'where to? --output' "$run" tokenize docs.jsonl --tokenizer bytes
expect 1 'which tokenizer? --tokenizer FILE' "$run" tokenize docs.jsonl --output out/
expect 1 "docs.jsonl', line 1: the object has no \"body\"; it has \"id\", \"text\": --text-field" \
  "$run" tokenize docs.jsonl --text-field body --tokenizer bytes --output out/
expect 1 'unknown flag' "$run" tokenize docs.jsonl --tokenizer bytes --output out/ --text-feild x
expect 1 "no file matches 'none*.jsonl'" "$run" tokenize 'none*.jsonl' --tokenizer bytes --output out/
rm -rf out

# The same documents in two forms are the same tokens.
expect 0 ' documents  ' "$run" tokenize docs.jsonl --tokenizer "$tokenizer" --output tokens/
expect 0 'train on them with: xlmrun train MODEL --data text-*.bin' "$run" tokenize docs.txt --text-separator '<|e|>' --tokenizer "$tokenizer" --output text
for kind in bin idx; do cmp -s tokens/tokens-00000.$kind text-00000.$kind || fail "JSON lines and text differ: .$kind"; done
expect 0 'they were there already' "$run" tokenize docs.jsonl --tokenizer "$tokenizer" --output tokens/
expect 1 'another tokenizer or other settings' "$run" tokenize docs.jsonl --tokenizer bytes --output tokens/
grep -q "\"documents\": $documents," tokens/tokens.json || fail "the manifest: $(cat tokens/tokens.json)"

# No room for the output: an error, and the same command goes on when there is.
(
  ulimit -f 8
  expect 2 'cannot write the tokens: File too large' "$run" tokenize docs.jsonl --tokenizer "$tokenizer" --output full/
  exit $failed
) || failed=1
[ ! -e full/tokens.json ] || fail "a manifest of tokens that are not there"
expect 0 'train on them with' "$run" tokenize docs.jsonl --tokenizer "$tokenizer" --output full/
cmp -s tokens/tokens-00000.bin full/tokens-00000.bin || fail "other tokens after a full disk"

# Training on the tokens, and on the documents themselves, which become the same tokens.
ids=("${tiny[@]}" --vocab-size 400 --max-steps 3 --log-interval 1)
expect 0 'checkpoint made/step-00000003' "$run" train "$model" --data tokens/ "${ids[@]}" --output-dir made
expect 0 'tokens made: direct/data-cache/docs.jsonl-' "$run" train "$model" --data docs.jsonl --tokenizer "$tokenizer" "${ids[@]}" --output-dir direct
[ "$(column loss made/metrics.jsonl)" = "$(column loss direct/metrics.jsonl)" ] || fail "other losses on the documents"
"$run" train "$model" --data docs.jsonl --tokenizer "$tokenizer" "${ids[@]}" --output-dir direct --overwrite >out.txt 2>&1 || fail "$(cat out.txt)"
! grep -q 'tokens made' out.txt || fail "made again: $(cat out.txt)"
echo '{"text": "one more document"}' >>docs.jsonl
expect 0 'tokens made: ' "$run" train "$model" --data docs.jsonl --tokenizer "$tokenizer" "${ids[@]}" --output-dir direct --overwrite
expect 0 'loss ' "$run" eval direct
expect 1 'the model has a vocabulary of 400: give the tokenizer' "$run" train "$model" --data docs.jsonl "${ids[@]}" --output-dir no
expect 1 "--vocab-size 400" "$run" train "$model" --data docs.jsonl --tokenizer "$tokenizer" "${tiny[@]}" --output-dir no
expect 1 'has the ids of a tokenizer with 400' "$run" train "$model" --data tokens/ "${tiny[@]}" --output-dir no
expect 1 "which is not '$source_dir/tests/tokenizer/llama2.json': leave out --tokenizer" \
  "$run" train "$model" --data tokens/ --tokenizer "$source_dir/tests/tokenizer/llama2.json" "${ids[@]}" --output-dir no
# A folder of JSON lines beside a note; bytes need no tokenizer.
mkdir mixed && cp docs.jsonl mixed/ && echo 'a note' >mixed/README.md
expect 0 'tokens made: cache/docs.jsonl-' "$run" train "$model" --data mixed --data-cache cache "${tiny[@]}" --max-steps 1 --output-dir bytes

# A model that reads documents needs no flag for tokens that were made here.
sed 's/^  input targets.*/&\n  input document[batch, seq] of seq from documents/; s/^input targets.*/&\ninput document[batch, seq] of seq from documents\ninput place[batch, seq] of seq from positions/' \
  "$model" >packed.xlm
grep -q 'from documents' packed.xlm || fail "no input of documents in the model"
expect 0 'checkpoint packed/step-00000001' "$run" train packed.xlm --data tokens/ "${ids[@]}" --max-steps 1 --output-dir packed

# Patterns, quoted and in a run file; what is mixed, in exact shares, goes on exactly and is the same in every layout.
expect 0 'checkpoint glob/step-00000001' "$run" train "$model" --data 'tok*/*.bin' "${ids[@]}" --max-steps 1 --output-dir glob
printf 'model: %s\ndata:\n  train: ["tok*/*.bin=3", "part.jsonl.gz=1"]\n' "$model" >run.yaml
mix=("$run" train --config run.yaml --tokenizer "$tokenizer" "${ids[@]}" --max-steps 8 --lr-schedule constant --warmup-steps 2)
expect 0 ' 75.0% of the samples: tok*/*.bin' "${mix[@]}" --output-dir mix
grep -q ' 25.0% of the samples: part.jsonl.gz, .* epochs' out.txt || fail "no epochs: $(cat out.txt)"
expect 0 'checkpoint half/step-00000004' "${mix[@]}" --max-steps 4 --output-dir half
expect 0 'resumed from half/step-00000004 at step 4' "$run" train --resume half --max-steps 8
same_weights mix/step-00000008 half/step-00000008
expect 0 'checkpoint dp/step-00000008' "${mix[@]}" --dp 2 --output-dir dp
paste <(column loss mix/metrics.jsonl) <(column loss dp/metrics.jsonl) |
  awk '{ d = $1 - $2; if (d > 1e-4 || d < -1e-4) bad = 1 } END { exit bad || NR != 8 }' || fail "other losses with --dp 2"
expect 1 'has no weight, others have one' "$run" train "$model" --data tokens/=1 text-00000.bin "${ids[@]}" --output-dir no
expect 1 'a weight is a number above 0' "$run" train "$model" --data tokens/=0 "${ids[@]}" --output-dir no
expect 1 'were made by different tokenizers' "$run" train "$model" --data tokens/ cache/docs*.bin "${ids[@]}" --output-dir no
cp text-00000.bin plain=2.bin # a name is a name
expect 0 'checkpoint named/step-00000001' "$run" train "$model" --data plain=2.bin "${ids[@]}" --max-steps 1 --output-dir named
exit $failed
