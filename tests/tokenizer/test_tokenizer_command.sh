#!/usr/bin/env bash
# xlmrun tokenizer: train, show, encode, decode.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

printf '{"text": "one two three"}\n{"text": "two three four <|endoftext|>"}\n' >a.jsonl
expect 0 'a vocabulary of 270 tokens' "$run" tokenizer train a.jsonl corpus.txt --vocab-size 270 --output made/ --threads 3
for file in tokenizer.json tokenizer_config.json special_tokens_map.json; do [ -s made/$file ] || fail "no made/$file"; done
cp made/tokenizer.json first.json
expect 0 'a vocabulary of 270 tokens' "$run" tokenizer train corpus.txt a.jsonl --vocab-size 270 --output again --threads 1 # a folder, too
cmp -s again/tokenizer.json first.json || fail "the tokenizer depends on threads or on the order of files"
expect 0 'note: the text has no more pairs' "$run" tokenizer train a.jsonl --vocab-size 5000 --output few.json --special-token '<a>' --special-token '<b>' --pattern gpt2
expect 0 '1 <b>' "$run" tokenizer show few.json

expect 0 'ends text    0 <|endoftext|>' "$run" tokenizer show made
"$run" tokenizer encode made 'Hello  wörld<|endoftext|>' >ids.txt || fail "encode"
grep -q '<|endoftext|>' ids.txt || fail "$(cat ids.txt)"
expect 0 'Hello  wörld<|endoftext|>' "$run" tokenizer decode made $(sed '$d' ids.txt | awk '{ print $1 }')
printf 'a\tb\033[31m\n' | "$run" tokenizer encode "$source_dir/tests/tokenizer/small.gpt2.tiktoken" >ids.txt
sed '$d' ids.txt | awk '{ print $1 }' | "$run" tokenizer decode "$source_dir/tests/tokenizer/small.gpt2.tiktoken" >text.txt
printf 'a\tb\\x1b[31m\n\n' | cmp -s - text.txt || fail "decoded: $(cat text.txt)" # nothing that a terminal would obey
grep -q "$(printf '\033')" ids.txt && fail "encode printed a control character"

expect 1 'needs 257' "$run" tokenizer train a.jsonl --vocab-size 256 --output few.json
expect 1 'gpt4' "$run" tokenizer train a.jsonl --vocab-size 300 --output few.json --pattern gpt4
expect 1 'give documents, --vocab-size and --output' "$run" tokenizer train a.jsonl
expect 1 'no-such-file' "$run" tokenizer train no-such-file --vocab-size 300 --output x.json
expect 1 'not an id' "$run" tokenizer decode made 5 x
expect 1 '270' "$run" tokenizer decode made 270
expect 1 'which tokenizer?' "$run" tokenizer show
expect 1 'train, show, encode and decode' "$run" tokenizer look made
expect 1 'tokenizer.json' "$run" tokenizer show .
exit $failed
