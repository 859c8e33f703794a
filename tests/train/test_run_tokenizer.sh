#!/usr/bin/env bash
# A run with a tokenizer: its checkpoints have it, and generate and eval use it from there.
. "$(dirname "$0")/xlmrun_lib.sh"
model=$source_dir/models/llama.xlm
small=(--hidden 16 --layers 1 --heads 2 --seq-length 16 --global-batch-size 4 --micro-batch-size 2)

"$run" tokenizer train corpus.txt --vocab-size 300 --output tk/ >/dev/null || fail "train a tokenizer"
expect 1 'the model'"'"'s vocabulary has 256' "$run" train "$model" --vocab 256 "${small[@]}" --data corpus.txt --tokenizer tk --max-steps 2 --output-dir few
expect 0 'saved run/' "$run" train "$model" --vocab 320 "${small[@]}" --data corpus.txt --tokenizer tk --max-steps 2 --eval-interval 0 --output-dir run
step=run/step-00000002
for file in tokenizer.json tokenizer_config.json special_tokens_map.json; do
  cmp -s tk/$file $step/$file || fail "$step/$file is not the tokenizer's"
  grep -q "\"$file\"" $step/manifest.json || fail "$file is not in the manifest"
done
# ids LINE...: of the tokens in both files that transformers reads
ids() {
  for file in config.json generation_config.json; do
    for line in "$@"; do grep -qE "^  $line,?$" "$step/$file" || fail "no '$line' in $step/$file: $(cat "$step/$file")"; done
  done
}
ids '"bos_token_id": 0' '"eos_token_id": 0' '"pad_token_id": null'
"$run" tokenizer encode tk 'one two' >ids.txt
mv tk gone

# the tokenizer of the checkpoint, from here on
expect 0 'one two' "$run" generate run --prompt 'one two' --max-tokens 3
grep -av '^prefill ' out.txt >first.txt
expect 0 'one two' "$run" generate run --prompt 'one two' --max-tokens 3
grep -av '^prefill ' out.txt | cmp -s - first.txt || fail "generate is not the same again: $(cat out.txt first.txt)"
expect 0 'saved run/' "$run" train --resume run --max-steps 4
[ -s run/step-00000004/tokenizer.json ] || fail "a resumed run lost its tokenizer"
step=run/step-00000004
ids '"eos_token_id": 0'
expect 0 'per byte of text: ' "$run" eval run --eval-batches 2
awk '/nats per token/ { loss = $2; tokens = $(NF - 1) } /per byte of text/ { bits = $5; bytes = $(NF - 4) }
  { gsub(",", "") } END { want = loss * tokens / bytes / log(2); exit !(want > 0 && (bits - want) ^ 2 < 1e-6) }' <(tr -d , <out.txt) ||
  fail "bits per byte: $(cat out.txt)"
expect 1 'it is not the tokenizer of this model' "$run" generate run --tokenizer "$source_dir/tests/tokenizer/gpt2.json"
expect 0 ' ' "$run" generate run --tokenizer ids --prompt "$(awk '/tokens of/ { exit } { printf "%s ", $1 }' ids.txt)" --max-tokens 2
grep -q "^$(awk '/tokens of/ { exit } { printf "%s ", $1 }' ids.txt)" out.txt || fail "ids: $(cat out.txt)"

# A checkpoint whose tokenizer was changed is a damaged one.
printf ' ' >>run/step-00000004/tokenizer.json
expect 0 'step-00000002' "$run" eval run --eval-batches 1

# Nothing that a terminal would obey, and whole characters only.
if command -v script >/dev/null; then
  script -qc "'$run' generate run --max-tokens 60 --temperature 5 --seed 3" /dev/null </dev/null >tty.txt
  tr -d '\r\n\t' <tty.txt | grep -qP '[\x00-\x1f\x7f]' && fail "control characters: $(cat -v tty.txt)"
  iconv -f utf-8 -t utf-8 tty.txt >/dev/null 2>&1 || fail "not UTF-8: $(cat -v tty.txt)"
fi
exit $failed
