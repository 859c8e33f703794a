#!/usr/bin/env bash
# xlmrun generate with many prompts: each text is the one that it would be alone, in any number of slots and any layout;
# stop texts, samples, a context that is full, JSON lines, and mistakes.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

expect 0 'checkpoint m' "$run" train "$model" --data corpus.txt "${tiny[@]}" --hidden-size 32 --max-steps 60 --eval-interval 0 --output-dir m
write() { "$run" generate m --seed 3 --max-tokens 40 "$@" 2>err.txt || fail "generate $*: $(cat err.txt)"; }
printf 'static \nint x\n\n \t\r\nreturn (\r\nif\n%%token ' >prompts.txt
prompts=('static ' 'int x' 'return (' 'if' '%token ')

# ---- each text is its own ----

for p in "${prompts[@]}"; do
  write --prompt "$p" --temperature 0
done >alone.txt
write --prompts prompts.txt --temperature 0 --slots 2 | sed '/^==> prompt [1-5] <==$/d' >together.txt
sed '/^$/d' alone.txt >a.txt
sed '/^$/d' together.txt >b.txt
cmp -s a.txt b.txt || fail "not the texts of each alone: $(diff a.txt b.txt)"
[ "$(write --prompts prompts.txt --max-tokens 1 | grep '^==>' | tr '\n' ' ')" = \
  '==> prompt 1 <== ==> prompt 2 <== ==> prompt 3 <== ==> prompt 4 <== ==> prompt 5 <== ' ] || fail 'headings'

# The first text comes as it is written, not at its end, which is far away.
[ "$(timeout 300 "$run" generate m --prompt a --prompt b --max-tokens 1000000000 2>err.txt | head -c 40 | wc -c)" = 40 ] || fail "no stream: $(cat err.txt)"

json() { write --prompts prompts.txt --format json --samples 2 "$@" | grep -v '"speed"'; }
json >one.json
[ "$(sed 's/, "prompt".*//' one.json | tr '\n' ' ')" = "$(for i in 0 1 2 3 4; do for k in 0 1; do printf '{"index": %d, "sample": %d ' $i $k; done; done)" ] ||
  fail "order: $(cat one.json)"
[ "$(sed 's/.*"text": //' one.json | sort -u | wc -l)" = 10 ] || fail "samples are alike: $(cat one.json)"
for same in '--slots 1' '--slots 3' '--threads 1' '--tp 2' '--pp 2' '--dp 2 --slots 3' '--dp 2 --tp 2 --slots 1'; do
  # shellcheck disable=SC2086
  json $same >other.json
  cmp -s one.json other.json || fail "another text with $same: $(diff one.json other.json)"
done
write --prompts prompts.txt --format json | grep -v '"speed"' >first.json
grep '"sample": 0' one.json | cmp -s - first.json || fail '--samples changes the first sample'
json --seed 4 | cmp -s - one.json && fail 'two seeds, one text'
[ "$(write --prompt 'static ')" = "$(write --prompt 'static ' --format json --prompt if | sed -n '1s/.*"text": "\(.*\)", "finish.*/static \1/p' | sed 's/\\n/\n/g; s/\\\(.\)/\1/g')" ] ||
  fail 'JSON has another text'

# ---- the speed ----

write --prompts prompts.txt --max-tokens 5 --format json | tail -n 1 >speed.json
grep -qE '^\{"speed": \{"slots": 5, "prefill_tokens": 29, "prefill_tokens_per_s": [0-9.e+]+, "decode_tokens": 20, "decode_tokens_per_s": [0-9.e+]+\}\}$' speed.json ||
  fail "speed: $(cat speed.json)"
grep -qE '^prefill 29 tokens, [0-9.e+]+ tokens/s   decode 20 tokens, [0-9.e+]+ tokens/s$' err.txt || fail "speed: $(cat err.txt)"

# ---- ends ----

write --prompts prompts.txt --format json --slots 3 | grep -v speed >whole.json
stop=$(sed -n '1s/.*"text": \(".*"\), "finish.*/\1/p' whole.json | grep -o '[a-z][a-z]' | sed -n 2p) # two tokens
write --prompts prompts.txt --format json --stop nowhere --stop "$stop" --slots 3 | grep -v speed >stopped.json
grep -q '"finish": "length"' stopped.json || fail "--stop '$stop' stopped all: $(cat whole.json)"
paste stopped.json whole.json | awk -F '\t' -v stop="$stop" '{
  match($2, /"text": "(\\.|[^"\\])*"/); text = substr($2, RSTART + 9, RLENGTH - 10); match($1, /"text": "(\\.|[^"\\])*"/)
  got = substr($1, RSTART + 9, RLENGTH - 10); at = index(text, stop); if (got != (at ? substr(text, 1, at - 1) : text)) bad = 1
  if ((at > 0) != ($1 ~ /"finish": "stop"/)) bad = 1; stopped += at > 0 } END { exit bad || !stopped }' || fail "--stop '$stop': $(cat stopped.json whole.json)"
write --prompt abc --prompt de --when-full stop --format json | sed -n 's/.*"finish": "\([a-z]*\)", "prompt_tokens": \([0-9]*\), "rereads": \([0-9]*\).*/\1 \2 \3/p' >ends.txt
printf 'context 3 0\ncontext 2 0\n' | cmp -s - ends.txt || fail "--when-full stop: $(cat ends.txt)"
grep -qF 'note: 2 texts end where the context of 32 tokens is full' err.txt || fail "no note: $(cat err.txt)"
write --prompt abc --format json >half.json # a reader that stops at the line it looks for would end the program before its note
grep -q '"finish": "length", "prompt_tokens": 3, "rereads": 1' half.json || fail "--when-full half: $(cat half.json)"
grep -qF 'was full 1 time: its last half was read again' err.txt || fail "no note: $(cat err.txt)"
long=$(head -c 100 corpus.txt)
write --prompt "$long" --max-tokens 2 >/dev/null
grep -qF 'note: --prompt: the prompt has 100 tokens, and the context 32: only its last 16 are read' err.txt || fail "no note: $(cat err.txt)"
[ "$(write --prompt "$long" --max-tokens 6 --temperature 0 | tail -c 7)" = "$(write --prompt "${long: -16}" --max-tokens 6 --temperature 0 | tail -c 7)" ] ||
  fail 'a long prompt is not continued from its end'

# ---- prompts as JSON lines ----

printf '{"prompt": "static "}\n\n{"id": 7, "prompt": "a\\u0000\\n\\u00e4"}\n' >two.jsonl
write --prompts two.jsonl --prompt if --format json --max-tokens 2 >two.json
[ "$(sed -n 's/.*"prompt": \(".*"\), "text.*"prompt_tokens": \([0-9]*\).*/\1 \2/p' two.json | tr '\n' '|')" = '"if" 2|"static " 7|"a\u0000\nä" 5|' ] ||
  fail "prompts of JSON lines: $(cat two.json)"

# ---- a model that looks ahead; a context of one chunk; a saved plan ----

cat >ahead.xlm <<'END'
dim vocab  = 256
dim hidden = 8
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.1)
param unembed[hidden, vocab] ~ normal(0.1)
x = lookup(embed, tokens)
logits = (x + mean(x, over seq)) @ unembed
loss cross_entropy(logits, targets)
output logits
END
expect 0 'checkpoint' "$run" train ahead.xlm --data corpus.txt --seq-length 16 --max-steps 2 --eval-interval 0 --output-dir ahead
expect 0 'note: every token computes the whole context of 16 tokens: ' "$run" generate ahead --prompt abc --max-tokens 4
grep -q '(ahead.xlm:8)$' out.txt || fail "where does it look ahead? $(cat out.txt)"
write --prompt abc --max-tokens 2 >/dev/null
grep -q 'whole context' err.txt && fail "llama is computed as a whole: $(cat err.txt)"
"$(dirname "$program")/xlmc" plan "$model" "${sizes[@]}" --hidden-size 32 --program decode --micro-batch-size 3 --tp 2 --format json --output plan.json >/dev/null ||
  fail 'no plan'
"$run" generate plan.json --init-from m --prompts prompts.txt --format json --samples 2 --seed 3 --max-tokens 40 2>err.txt | grep -v speed | cmp -s - one.json ||
  fail "a saved plan: another text: $(cat err.txt)"
for chunk in 1 5 32 1000; do
  write --prompts prompts.txt --format json --samples 2 --prefill-chunk $chunk | grep -v speed | cmp -s - one.json || fail "--prefill-chunk $chunk: another text"
done

# ---- mistakes ----

bad() { # TEXT FLAGS...
  expect 1 "$1" "$run" generate m "${@:2}"
}
printf '{"prompt": "a"}\n{"prompt": a}\n' >bad.jsonl
bad 'bad.jsonl:2: no JSON' --prompts bad.jsonl
printf '{"prompt": "a"}\n\n{"text": "a"}\n' >bad.jsonl
bad 'bad.jsonl:3: a line of prompts is an object with a text in the field `prompt`' --prompts bad.jsonl
echo '["a"]' >bad.jsonl
bad 'bad.jsonl:1: a line of prompts is an object' --prompts bad.jsonl
printf '\n \n' >empty.txt
bad "--prompts: 'empty.txt' has no prompts" --prompts empty.txt
: >empty.txt
bad "--prompts: 'empty.txt' has no prompts" --prompts empty.txt
bad 'nowhere.txt' --prompts nowhere.txt
bad 'the prompt has 100 tokens, and the context 32: shorten it' --prompt "$long" --when-full stop
bad 'is not a list of token ids' --tokenizer ids --prompt 'a b'
bad 'token 300 is outside the vocabulary of 256' --tokenizer ids --prompt '1 300'
bad '--stop: a text to stop at' --tokenizer ids --prompt '1 2' --stop x
bad '--min-p' --min-p 2
bad '--repetition-penalty' --repetition-penalty 0
exit $failed
