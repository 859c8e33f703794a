#!/usr/bin/env bash
# xlmrun generate with models that read more than a text: an encoder's source as in transformers, images; what is given
# of one text does not reach the others; mistakes.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

# ---- an encoder: the texts of transformers (tools/parity/t5_generate.py) ----

small=(--preset nano --set gated=true --set hidden=64 --set heads=4 --set head=16 --set ffn=96 --set layers=2 --set source=24 --set spread=1)
expect 0 'checkpoint t5' "$run" train "$source_dir/models/t5.xlm" "${small[@]}" --data synthetic --seq-length 32 \
  --micro-batch-size 2 --max-steps 1 --learning-rate 0 --weight-decay 0 --eval-interval 0 --output-dir t5
[ -z "${XLM_KEEP:-}" ] || cp -r t5/step-00000001 "$XLM_KEEP"
golden=$source_dir/tests/decode/t5_generate.jsonl
sed 's/.*"tokens": //; s/ //g; s/}$//' "$golden" >want.txt
sed 's/, "tokens".*/}/' "$golden" >sources.jsonl
write() { "$run" generate "$@" 2>err.txt || fail "generate $*: $(cat err.txt)"; }
tokens() { sed -n 's/.*"tokens": \(\[[0-9,]*\]\).*/\1/p'; }
greedy() { write t5 --tokenizer ids --temperature 0 --max-tokens 31 --format json "$@"; }
greedy --prompts sources.jsonl | tokens | cmp -s - want.txt || fail "not the texts of transformers: $(greedy --prompts sources.jsonl)"
# A slot takes one text after the other; layouts that take sums in another order come to the same choices.
for same in '--slots 1' '--slots 3' '--slots 3 --prefill-chunk 1' '--tp 2' '--dp 2 --slots 3' '--pp 2' '--threads 2'; do
  # shellcheck disable=SC2086
  greedy --prompts sources.jsonl $same | tokens | cmp -s - want.txt || fail "another text with $same"
done
sed 's/"source"/"words"/' sources.jsonl >words.jsonl # the input's own name
greedy --prompts words.jsonl | tokens | cmp -s - want.txt || fail 'another text under another name'
third=$(sed -n '3s/.*"source": \[\([^]]*\)\].*/\1/p' "$golden")
greedy --input "source=$third" --start-token 7 | tokens | cmp -s - <(sed -n 3p want.txt) || fail "--input: another text"
echo "$third" >third.txt
greedy --input words=@third.txt --samples 2 | tokens | cmp -s - <(sed -n '3p;3p' want.txt) || fail "--input @FILE: another text"
# What is written so far goes on as it would.
begin=$(sed -n '3s/^\[\(\([0-9]*,\)\{9\}[0-9]*\).*/\1/p' want.txt)
[ "$(greedy --prompt "$begin" --input "source=$third" --max-tokens 21 | tokens)" = "[$(sed -n '3s/^\[\([0-9]*,\)\{10\}//p' want.txt)" ] ||
  fail 'a text that has begun goes on otherwise'
greedy --prompts sources.jsonl >all.txt
grep -q '"speed": {"slots": 7, "encode_sequences": 7, "encode_sequences_per_s": [0-9.e+]*, "prefill_tokens": 7, ' all.txt || fail "speed: $(tail -n 1 all.txt)"
grep -qE '^encode 7 sequences, [0-9.e+]+/s   prefill 7 tokens, ' err.txt || fail "speed: $(cat err.txt)"
"$(dirname "$program")/xlmc" plan "$source_dir/models/t5.xlm" "${small[@]}" --seq-length 32 --program decode --micro-batch-size 2 --format json --output plan.json >/dev/null ||
  fail 'no plan'
write plan.json --init-from t5 --tokenizer ids --temperature 0 --max-tokens 31 --format json --prompts sources.jsonl | tokens | cmp -s - want.txt || fail 'a saved plan: another text'
# Bytes, without a tokenizer of its own.
write t5 --input 'source=a source of bytes' --temperature 0 --max-tokens 3 --format json | grep -q '"prompt_tokens": 1, ' || fail 'a text of bytes'

# ---- images: keys of what is seen, and features in the places of some tokens ----

cat >look.xlm <<'END'
dim vocab   = 256
dim hidden  = 16
dim patches = 3
dim pixels  = 4
input tokens[batch, seq]              of vocab from tokens
input targets[batch, seq]             of vocab from tokens shifted 1
input image[batch, patches, pixels]   from image
input tone[batch]                     from tone
param embed[vocab, hidden]  ~ normal(1)
param unembed[hidden, vocab] ~ normal(1)
param see[pixels, hidden]   ~ normal(1)
seen  = image @ see
place = i32(min(max(cumsum(f32(tokens == 35), over seq) - 1, 0), 2))
h = where(tokens == 35, lookup(seen, place, over patches), lookup(embed, tokens))
h = h + attend(h, h, h, causal)
h = h + attend(h, seen, seen, kv_seq = patches) * tone
logits = h @ unembed
loss cross_entropy(logits, targets)
output logits
END
line_of() { printf '{"prompt": "%s", "image": %s, "tone": [1.5]}\n' "$@"; }
expect 0 'checkpoint look' "$run" train look.xlm --data synthetic --seq-length 16 --max-steps 1 --learning-rate 0 --eval-interval 0 --output-dir look
a='[[1,2,-1,0.5],[0,1,0.25,-2],[3,-1,0,1]]' b='[[-1,0,0,0.5],[2,1,-0.25,-2],[0,1,1,1]]'
line_of 'a#b' "$a" >images.jsonl
line_of 'a#b' "$b" >>images.jsonl
line_of 'ab' "$a" >>images.jsonl
line_of 'a#b##' "$b" >>images.jsonl
look() { write look --temperature 0 --max-tokens 8 --format json "$@" | tokens; }
# The texts of images.jsonl, all different and those of each line alone, in together.txt.
each_alone() { # COMMAND WHAT
  "$1" --prompts images.jsonl --slots 4 >together.txt
  while IFS= read -r line; do
    echo "$line" >one.jsonl
    "$1" --prompts one.jsonl
  done <images.jsonl >alone.txt
  cmp -s together.txt alone.txt || fail "$2: not the texts of each alone: $(diff together.txt alone.txt)"
  [ "$(sort -u together.txt | wc -l)" = 4 ] || fail "$2 change nothing: $(cat together.txt)"
}
each_alone look images
look --prompts images.jsonl --slots 1 | cmp -s - together.txt || fail 'images: another text in one slot'
# The same numbers as a file: 1, 2, -1, 0.5, 0, 1, 0.25, -2, 3, -1, 0, 1 as f32, and with a header.
raw='\0\0\200\77\0\0\0\100\0\0\200\277\0\0\0\77\0\0\0\0\0\0\200\77\0\0\200\76\0\0\0\300\0\0\100\100\0\0\200\277\0\0\0\0\0\0\200\77'
printf "$raw" >a.f32
header='{"image":{"dtype":"F32","shape":[1,3,4],"data_offsets":[0,48]}} '
{ printf '\100\0\0\0\0\0\0\0%s' "$header"; printf "$raw"; } >a.safetensors
printf '\0\0\300\77' >tone.f32
for file in a.f32 a.safetensors; do
  look --prompt 'a#b' --input image=$file --input tone=tone.f32 | cmp -s - <(sed -n 1p together.txt) || fail "$file: another text: $(cat err.txt)"
done
printf '{"prompt": "a#b", "image": "a.f32", "tone": [1.5]}\n' >one.jsonl
look --prompts one.jsonl | cmp -s - <(sed -n 1p together.txt) || fail 'a file named in JSON: another text'

# ---- before the text: an image and a prompt that is learned; of both only what is learned ----

cat >before.xlm <<'END'
dim vocab   = 256
dim hidden  = 16
dim out     = hidden
dim patches = 3
dim pixels  = 4
dim prompts = 5
dim layers  = 2
dim all     = patches + prompts + seq
input tokens[batch, seq]              of vocab from tokens
input targets[batch, seq]             of vocab from tokens shifted 1
input image[batch, patches, pixels]   from image
input tone[batch]                     from tone
shard batch over dp
param embed[vocab, hidden]  ~ normal(1)
param unembed[hidden, vocab] ~ normal(1)
param see[pixels, hidden]   ~ normal(1)
param prompt[prompts, hidden] ~ normal(1)
h = lookup(embed, tokens)
x = concat(image @ see * tone, prompt, h, patches prompts seq -> all)
repeat layers as i over pp {
  param w[hidden, out] ~ normal(0.3)
  k = rope(x @ w, seq = all, feature = out)
  x = x + rename(attend(k, k, k, causal, window = 9, seq = all, kv_seq = all), out -> hidden)
}
h = slice(x, all -> seq, start = 8)
logits = h @ unembed
loss cross_entropy(logits, targets)
output logits
END
sed '/^input image\|^input tone\|see\[/d; s/patches + //; s/image @ see . tone, //; s/patches prompts/prompts/; s/start = 8/start = 5/' before.xlm >learned.xlm
expect 0 'checkpoint before' "$run" train before.xlm --data synthetic --seq-length 16 --max-steps 1 --learning-rate 0 --eval-interval 0 --output-dir before
before() { write before --temperature 0 --max-tokens 24 --format json "$@" | tokens; } # more than a context has
each_alone before 'images before the text'
for same in '--slots 1' '--slots 3 --prefill-chunk 1' '--slots 2 --prefill-chunk 5' '--pp 2' '--dp 2'; do
  # shellcheck disable=SC2086
  before --prompts images.jsonl $same | cmp -s - together.txt || fail "before the text: another text with $same"
done
"$(dirname "$program")/xlmc" plan before.xlm --seq-length 16 --program decode --micro-batch-size 2 --format json --output plan.json >/dev/null || fail 'no plan'
write plan.json --init-from before --temperature 0 --max-tokens 24 --format json --prompts images.jsonl | tokens | cmp -s - together.txt || fail 'before the text: a saved plan: another text'
expect 0 'checkpoint learned' "$run" train learned.xlm --data synthetic --seq-length 16 --max-steps 1 --learning-rate 0 --eval-interval 0 --sample-interval 1 --output-dir learned
write learned --prompt ab --prompt abc --temperature 0 --max-tokens 24 --format json | tokens >together.txt
for slots in 1 2; do
  write learned --prompt ab --prompt abc --temperature 0 --max-tokens 24 --slots $slots --prefill-chunk $slots --format json | tokens | cmp -s - together.txt ||
    fail "a learned prompt: another text in $slots slots"
done

# ---- mistakes ----

bad() { # TEXT FLAGS...
  expect 1 "$1" "$run" generate "${@:2}"
}
bad 'the model reads `image` (numbers [patches 3, pixels 4]) of every text: give it with --input image=FILE, or in a field `image` of --prompts' look --prompt a --input tone=tone.f32
bad '--input: the model has no input `picture` of a text; it reads `tone` (numbers []), `image` (numbers [patches 3, pixels 4])' look --prompt a --input picture=a.f32
bad "\`image\`: 'tone.f32' has 4 B, and the input is \`image\` (numbers [patches 3, pixels 4]), 12 numbers" look --prompt a --input image=tone.f32 --input tone=tone.f32
bad "nowhere.f32" look --prompt a --input image=nowhere.f32 --input tone=tone.f32
printf '{"prompt": "a", "image": [1, 2], "tone": [1]}\n' >bad.jsonl
bad 'bad.jsonl:1, `image`: the list has 2 numbers, and the input is `image`' look --prompts bad.jsonl
sed 's/\[1,3,4\]/[1,4,3]/' a.safetensors >turned.safetensors
bad "has [1, 4, 3], and the input is \`image\` (numbers [patches 3, pixels 4])" look --prompt a --input image=turned.safetensors --input tone=tone.f32
bad '`words`: 25 tokens, and `words` (ids [source 24]) has room for 24: shorten it, or make room with --set source=25' t5 --input source=aaaaaaaaaaaaaaaaaaaaaaaaa
printf '{"source": [300]}\n' >bad.jsonl
bad 'bad.jsonl:1, `words`: 300 is outside the vocabulary of 256' t5 --prompts bad.jsonl
printf '{"source": "a", "prompt": 3}\n' >bad.jsonl
bad 'bad.jsonl:1: a line of prompts is an object' t5 --prompts bad.jsonl
bad '--start-token 256 is outside the vocabulary of 256' t5 --input source=a --start-token 256
expect 0 'checkpoint plain' "$run" train "$model" --data synthetic "${tiny[@]}" --max-steps 1 --eval-interval 0 --output-dir plain
bad '--input x=3: the model reads nothing but the tokens of a text: leave it out' plain --prompt a --input x=3
exit $failed
