#!/usr/bin/env bash
# `xlmrun data` says what is in the files that training reads, of every format.
. "$(dirname "$0")/xlmrun_lib.sh"

# row NAME TEXT: the last output has a row of that name which holds the text.
row() {
  grep -E "^  $1 " out.txt | grep -qF -- "$2" || fail "no row '$1' with '$2': $(cat out.txt)"
}

# Documents.
printf '{"text": "one", "n": 1}\n{"text": "two \\u00e9 \\u001b[31m", "n": 2}\n' >a.jsonl
gzip -k a.jsonl
for file in a.jsonl a.jsonl.gz; do
  form='JSON lines'
  [ $file = a.jsonl ] || form+=' in gzip'
  expect 0 "$form, 1 file" "$run" data $file
  row documents '2, the longest of 12 bytes'
  row text '15 bytes'
  row sample '"one"'
done
expect 0 'JSON lines, 2 files' "$run" data 'a.js*' --tokenizer "$source_dir/tests/tokenizer/gpt2.json"
row documents 4
row tokens 'bytes per token'
row ids 'to'
expect 1 "a.jsonl', line 1: its \"n\" is a number" "$run" data a.jsonl --text-field n
# Text: bytes, or with a tokenizer documents. Control characters are not printed.
printf 'a\033[31mb' >colour.txt
expect 0 'text, a token per byte' "$run" data colour.txt
row sample '"a\u001b[31mb"'
row documents '1, the longest of 7 tokens'
expect 0 'colour.txt' "$run" data colour.txt --tokenizer "$source_dir/tests/tokenizer/gpt2.json"
row tokens 'the longest document has'

# Tokens: made here, plain, with headers of others.
"$run" tokenize a.jsonl --tokenizer "$source_dir/tests/tokenizer/gpt2.json" --output tokens/ >out.txt || fail "$(cat out.txt)"
expect 0 'Megatron-LM, 16-bit ids, 1 file' "$run" data tokens/
row documents '2, the longest of'
row ids '0 to'
row ids 'all below 400'
row 'made from' '1 file'
row tokenizer 'gpt2.json, 400 ids, 0 ends a document'
row sample '"one<|endoftext|>two é \u001b[31m<|endoftext|>"'
expect 1 'are not below 100: the first is' "$run" data tokens/ --vocab-size 100
rm tokens/tokens.json # the index still has the documents
expect 0 'Megatron-LM' "$run" data tokens/
row documents '2, the longest of'
printf '\1\0\2\0\7\0\3\0\7\0' >plain.bin
expect 0 'plain, 16-bit ids, 1 file' "$run" data plain.bin
row documents 'unknown: nothing says where they end (--document-end ID)'
row ids '1 to 7'
row sample '1 2 7 3 7'
expect 0 'plain' "$run" data plain.bin --document-end 7
row documents '2, the longest of 3 tokens'
expect 1 '2 ids of 5 are not below 5: the first is 7, token 2' "$run" data plain.bin --vocab-size 5
expect 0 'plain, 16-bit ids' "$run" data plain.bin plain.bin
printf 'LITPKDS\1\0\0\0\0\0\0\0\10\3\0\0\0\0\0\0\0\1\0\2\0\3\0' >packed.bin
expect 0 'PackedDataset, 16-bit ids, 1 file' "$run" data packed.bin
row tokens 3
{
  printf '\210\330\64\1\1\0\0\0\2\0\0\0'
  head -c 1012 /dev/zero
  printf '\5\0\6\0'
} >llm.bin
expect 0 'llm.c, 16-bit ids, 1 file' "$run" data llm.bin
row ids '5 to 6'

# Records.
header='{"label":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"image":{"dtype":"F32","shape":[3,2],"data_offsets":[3,27]}}'
{
  printf "\\$(printf %o ${#header})"'\0\0\0\0\0\0\0%s\1\4\2' "$header"
  head -c 24 /dev/zero
} >r.safetensors
expect 0 'records (safetensors), 1 file' "$run" data r.safetensors
row records 3
row image 'numbers [records, 2]'
row label 'integers [records]'
row ids '1 to 4'
expect 1 '`label`: 1 id of 3 are not below 4: the first is 4, record 1' "$run" data r.safetensors --vocab-size 4

# What is none.
expect 1 'which files?' "$run" data
expect 1 "there is no data file 'nothing'" "$run" data nothing
expect 1 'unknown flag' "$run" data plain.bin --vocab-sice 5
printf '\211HDF\r\n\32\n' >x.h5
expect 1 'an HDF5 file' "$run" data x.h5
exit $failed
