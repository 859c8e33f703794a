#!/usr/bin/env bash
# xlmrun export: folders in every type come back, GGUF has what its section says, nothing is half-written.
. "$(dirname "$0")/xlmrun_lib.sh"

expect 0 'checkpoint run/' "$run" train "$model" --data corpus.txt --max-steps 2 "${sizes[@]}" --global-batch-size 2 --eval-interval 0 --output-dir run
step=run/step-00000002
head -c 4000 corpus.txt >some.txt
evaluate=("$run" eval "$model" --data some.txt --seq-length 32 --micro-batch-size 2)
loss() { "$@" 2>/dev/null | cut -c 1-10; }
there=$(loss "$run" eval run --data some.txt)

expect 0 plain "$run" export run --output plain
cmp plain/model.safetensors $step/model.safetensors || fail 'f32 is not the checkpoint'
cmp plain/config.json $step/config.json || fail 'config.json is not the checkpoint'
cmp plain/generation_config.json $step/generation_config.json || fail 'generation_config.json is not the checkpoint'
declare -A names=([bf16]=bfloat16 [f16]=float16)
for type in bf16 f16; do
  expect 0 $type "$run" export run --format safetensors --dtype $type --output $type
  grep -q "\"torch_dtype\": \"${names[$type]}\"" $type/config.json || fail "$type: $(cat $type/config.json)"
  [ "$(loss "${evaluate[@]}" --init-from $type)" = "$there" ] || fail "$type: another loss"
  [ "$(stat -c %s $type/model.safetensors)" -lt "$(($(stat -c %s plain/model.safetensors) * 3 / 4))" ] || fail "$type is not small"
done
# The same from a layout, and from a folder.
expect 0 again "$run" export "$model" --init-from bf16 --seq-length 32 --dtype bf16 --output again
cmp again/model.safetensors bf16/model.safetensors || fail 'bf16 does not come back'

# GGUF: the head's keys and tensors; the same bytes every time.
expect 0 model.gguf "$run" export run --format gguf --type q8_0 --output model.gguf
expect 0 model.gguf "$run" export run --format gguf --output new/model.gguf
for word in llama.block_count blk.1.ffn_gate.weight output.weight tokenizer.ggml.tokens; do
  grep -qaF $word model.gguf || fail "no $word in the file"
done
cp model.gguf old.gguf
expect 0 model.gguf "$run" export run --format gguf --type q8_0 --output model.gguf
cmp old.gguf model.gguf || fail 'two exports differ'

# A tokenizer beside the weights goes along: copied, and in the file of llama.cpp.
mkdir with && cp plain/{model.safetensors,config.json} with/
tokenizer() { # PRE_TOKENIZER TOKEN=ID
  printf '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, %s}, "merges": ["a b"]}, "pre_tokenizer": %s, "added_tokens": [{"id": 3, "content": "<end>", "special": true}]}' \
    "$2" "$1" >with/tokenizer.json
}
bytes='{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}'
printf '{"eos_token": {"content": "<end>"}, "model_max_length": 1000000000000000019884624838656}' >with/tokenizer_config.json
tokenizer "$bytes" '"ab": 2'
source=("$run" export "$model" --init-from with --seq-length 32)
expect 0 along "${source[@]}" --output along
grep -q '"eos_token_id": 3' along/config.json && grep -q '"eos_token_id": 3' along/generation_config.json || fail "ids: $(cat along/config.json)"
cmp with/tokenizer.json along/tokenizer.json && cmp with/tokenizer_config.json along/tokenizer_config.json || fail 'the tokenizer is not copied'
expect 0 with.gguf "${source[@]}" --format gguf --output with.gguf
for word in '<end>' '[PAD255]' tokenizer.ggml.eos_token_id 'gpt-2'; do grep -qaF -- "$word" with.gguf || fail "no $word in the file"; done
expect 0 ids "${source[@]}" --tokenizer ids --output ids
grep -q '"eos_token_id": null' ids/config.json || fail "ids of a tokenizer that is left out: $(cat ids/config.json)"
printf '{"model": {"type": "WordPiece", "vocab": {"a": 0}}}' >with/tokenizer.json # copied, though not read here
expect 0 'note: config.json has no ids of tokens' "${source[@]}" --output unread
cmp with/tokenizer.json unread/tokenizer.json || fail 'a tokenizer that is not read is not copied'
tokenizer "$bytes" '"ab": 256'
expect 1 "has a token 256, and the model a vocabulary of 256" "${source[@]}" --format gguf --output none.gguf
expect 0 ids.gguf "${source[@]}" --format gguf --tokenizer ids --output ids.gguf
! grep -qaF '<end>' ids.gguf || fail 'a tokenizer that was to be left out'
tokenizer '{"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "x+"}}, {"type": "ByteLevel", "add_prefix_space": false}]}' '"ab": 2'
expect 1 'by a pattern without a name in llama.cpp: x+' "${source[@]}" --format gguf --output none.gguf
tokenizer '{"type": "ByteLevel"}' '"ab": 2'
expect 1 'puts a space in front of texts (add_prefix_space), which llama.cpp does not' "${source[@]}" --format gguf --output none.gguf
tokenizer "$bytes" '"ab": 2'
sed -i 's/^{/{"normalizer": {"type": "Lowercase"}, /' with/tokenizer.json
expect 1 'normalizes texts, which llama.cpp does not' "${source[@]}" --format gguf --output none.gguf
tokenizer '{"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel", "add_prefix_space": false}]}' '"ab": 2'
expect 1 'splits texts in several steps' "${source[@]}" --format gguf --output none.gguf
tokenizer '{"type": "Metaspace"}' '"ab": 2'
expect 1 'no scores of pieces do what it does: it has no piece for each byte; `--tokenizer ids` leaves' "${source[@]}" --format gguf --output none.gguf

# A tokenizer over characters: pieces with scores.
expect 0 'checkpoint spaces/' "$run" train "$model" --data corpus.txt --tokenizer "$source_dir/tests/tokenizer/sp_llama.model" --max-steps 1 \
  --seq-length 16 "${sizes[@]}" --vocab-size 1024 --global-batch-size 2 --eval-interval 0 --output-dir spaces
expect 0 spaces.gguf "$run" export spaces --format gguf --output spaces.gguf
for word in tokenizer.ggml.scores tokenizer.ggml.add_space_prefix tokenizer.ggml.unknown_token_id '<0x0A>' '[PAD1023]'; do
  grep -qaF -- "$word" spaces.gguf || fail "no $word in the file"
done
rm with/tokenizer.json && cp "$source_dir/tests/tokenizer/sp_llama.model" with/tokenizer.model
expect 1 'tokens, and the model a vocabulary of 256' "${source[@]}" --format gguf --output none.gguf

# Mistakes, and a disk that is full.
expect 1 'plain' "$run" export run --output plain
grep -q "'plain' exists" out.txt || fail "an existing folder: $(cat out.txt)"
expect 1 'where to? give --output' "$run" export run
expect 1 '--type q8_0 is a type of gguf' "$run" export run --type q8_0 --output q8
sed '/^weights gguf/,/^}/d; /^config gguf/,/^}/d' "$model" >plain.xlm
cp -r "$source_dir/models/blocks" .
expect 1 'the model `llama` has no section `weights gguf`' "$run" export plain.xlm --init-from run --seq-length 32 --format gguf --output none.gguf
(ulimit -f 8; expect 2 'full' "$run" export run --output full) >full.txt 2>&1
(ulimit -f 8; expect 2 'full' "$run" export run --format gguf --output full.gguf) >>full.txt 2>&1
grep -q FAILED full.txt && fail "$(cat full.txt)"
ls -d full* none* q8* ./*.partial* 2>/dev/null | grep -v full.txt && fail 'a part of an export remains'
exit $failed
