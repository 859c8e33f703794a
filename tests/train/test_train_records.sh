#!/usr/bin/env bash
# Training on records: the loss falls, layouts and microbatches change rounding only, a resumed run continues exactly, and
# what does not fit is said before the first step.
. "$(dirname "$0")/xlmrun_lib.sh"

# little_endian N: 8 bytes.
little_endian() {
  local n=$1 i
  for ((i = 0; i < 8; i++)); do printf "\\x$(printf %02x $((n >> (8 * i) & 255)))"; done
}
# shard FILE RECORDS SEED [NAME SHAPE]: pictures of 4 x 6 bytes, brighter on one side or the other by their label.
shard() {
  local n=$2 name=${4:-picture} shape=${5:-4,6}
  local size=$((${shape//,/*}))
  local header='{"'$name'":{"dtype":"U8","shape":['$n,$shape'],"data_offsets":[0,'$((size * n))']},'
  header+='"label":{"dtype":"U8","shape":['$n'],"data_offsets":['$((size * n))','$(((size + 1) * n))']},'
  header+='"weight":{"dtype":"U8","shape":['$n'],"data_offsets":['$(((size + 1) * n))','$(((size + 2) * n))']}}'
  {
    little_endian ${#header}
    printf %s "$header"
    LC_ALL=C awk -v n="$n" -v seed="$3" -v size=$size 'BEGIN {
      srand(seed)
      for (i = 0; i < n; i++) {
        label[i] = 1 + int(rand() * 2)
        for (k = 0; k < size; k++) printf "%c", 1 + int(rand() * 60) + (k % 6 < 3 == (label[i] == 1) ? 60 : 0)
      }
      for (i = 0; i < n; i++) printf "%c", label[i]
      for (i = 0; i < n; i++) printf "%c", 1 + i % 3
    }'
  } >"$1"
}
mkdir pictures
shard pictures/a.safetensors 30 1
shard pictures/b.safetensors 45 2
echo '{"shards": [{"file": "a.safetensors", "records": 30}, {"file": "b.safetensors", "records": 45}]}' >pictures/records.json

cat >picture.xlm <<'END'
model picture
dim classes = 4
dim hidden  = 16
dim layers  = 2
dim rows    = 4
dim columns = 6
shard batch  over dp
shard hidden over tp
block mlp(x[batch, hidden]) -> [batch, hidden] {
  param w[hidden, wide]   ~ normal(0.1)
  param out[wide, hidden] ~ normal(0.1)
  return gelu(x @ w) @ out
}
dim wide = 16
input picture[batch, rows, columns] from picture
input label[batch] of classes       from label
input weight[batch]                 from weight
param embed[rows, columns, hidden] ~ normal(0.1)
param unembed[hidden, classes]     ~ normal(0.1)
h = (picture / 128 - 0.5) @ embed
repeat layers over pp {
  h = h + mlp(h)
}
loss sum(token_cross_entropy(h @ unembed, label) * weight) / sum(weight)
END

train=("$run" train picture.xlm --data pictures --global-batch-size 12 --learning-rate 4e-3 --lr-schedule constant --log-interval 1
  --seed 5 --max-steps 20)
expect 0 'validation loss' "${train[@]}" --micro-batch-size 12 --output-dir one
grep -q '75 records' out.txt || fail "75 records: $(cat out.txt)"
column loss one/metrics.jsonl >one.txt
column val_loss one/metrics.jsonl >valid.txt
awk 'NR == 1 { a = $1 } END { exit !(a > 1.2 && $1 < 0.5) }' one.txt || fail "the loss does not fall: $(tr '\n' ' ' <one.txt)"

# near FILE: the losses are those of one rank, within 1e-5.
near() {
  paste one.txt "$1" | awk '{ d = ($1 - $2) / $1; bad += !(d < 1e-5 && d > -1e-5) } END { exit !(NR == 20 && !bad) }' ||
    fail "losses differ: $(paste one.txt "$1")"
}
for layout in '--micro-batch-size 3' '--micro-batch-size 1 --dp 2' '--micro-batch-size 2 --dp 3 --pp 2' '--micro-batch-size 6 --tp 2'; do
  # shellcheck disable=SC2086
  expect 0 'validation loss' "${train[@]}" $layout --output-dir many --overwrite
  column loss many/metrics.jsonl >many.txt
  near many.txt
  column val_loss many/metrics.jsonl | paste valid.txt - | awk '{ d = ($1 - $2) / $1 } END { exit !(NR == 1 && d < 1e-5 && d > -1e-5) }' ||
    fail "validation: $(cat valid.txt), $(column val_loss many/metrics.jsonl)"
done

# Interrupted after the first epoch and resumed.
expect 0 'checkpoint' "${train[@]}" --micro-batch-size 3 --output-dir whole
expect 0 'checkpoint' "${train[@]}" --micro-batch-size 3 --output-dir part --max-steps 9
expect 0 'resumed' "${train[@]}" --micro-batch-size 3 --output-dir part --resume part
same_weights whole/step-00000020 part/step-00000020
expect 0 'loss' "$run" eval one --data pictures/b.safetensors

# The shipped classifier of images on bytes, by a class token and by the mean of the patches.
shard images.safetensors 64 3 image 1,6,6
for token in true false; do
  expect 0 'checkpoint' "$run" train "$source_dir/models/vit.xlm" --data images.safetensors --num-labels 4 --num-channels 1 --image-size 6 \
    --patch-size 3 --hidden-size 16 --set heads=2 --set layers=2 --set token=$token --batch-size 16 --global-batch-size 16 --learning-rate 1e-2 \
    --lr-schedule constant --log-interval 1 --max-steps 30 --eval-interval 0 --output-dir vit-$token
  column loss vit-$token/metrics.jsonl | awk 'NR == 1 { a = $1 } END { exit !(a > 1.2 && $1 < 0.3) }' ||
    fail "vit, token=$token: $(column loss vit-$token/metrics.jsonl | tr '\n' ' ')"
done

# generate: a mask that only the loss reads does no harm, an input that the output depends on is refused.
cat >words.xlm <<'END'
model words
dim vocab  = 256
dim hidden = 16
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
input mask[batch, seq] from mask
param embed[vocab, hidden]   ~ normal(0.1)
param unembed[hidden, vocab] ~ normal(0.1)
param learned[vocab]         ~ normal(0.1)
logits = lookup(embed, tokens) @ unembed
loss sum(token_cross_entropy(logits, targets) * f32(mask)) / sum(mask) + 0.001 * mean(square(learned))
output logits
END
expect 0 'checkpoint' "$run" train words.xlm --data synthetic --seq-length 8 --max-steps 2 --output-dir words
expect 0 '' "$run" generate words --prompt abc --max-tokens 3
sed 's/lookup(embed, tokens)/(lookup(embed, tokens) * mask)/' words.xlm >masked.xlm
expect 0 'checkpoint' "$run" train masked.xlm --data synthetic --seq-length 8 --max-steps 2 --output-dir masked
expect 1 'the outputs depend on the input `mask`' "$run" generate masked --prompt abc --max-tokens 3
expect 0 'checkpoint' "$run" train "$source_dir/models/t5.xlm" --preset nano --data synthetic --set hidden=16 --set heads=2 --set ffn=16 \
  --set layers=1 --set source=8 --seq-length 8 --max-steps 1 --output-dir t5
expect 1 'the model reads `words` (ids [source 8]) of every text: give it with --input words=TEXT' "$run" generate t5 --prompt abc --max-tokens 3
expect 1 '--sample-interval: the model reads `words` of every text besides its tokens' "$run" train "$source_dir/models/t5.xlm" --preset nano --data synthetic \
  --set hidden=16 --set heads=2 --set ffn=16 --set layers=1 --set source=8 --seq-length 8 --max-steps 1 --sample-interval 1 --output-dir no

# Further ahead in a stream than the next token.
sed 's/^input mask.*/input after[batch, seq] of vocab from tokens shifted 3/; s/^loss.*/loss cross_entropy(logits, targets) + cross_entropy(logits, after)/
  /^param learned/d' words.xlm >ahead.xlm
expect 0 'checkpoint' "$run" train ahead.xlm --data corpus.txt --seq-length 32 --max-steps 12 --learning-rate 1e-1 --log-interval 1 --output-dir ahead
column loss ahead/metrics.jsonl | awk 'NR == 1 { a = $1 } END { exit !(NR == 12 && $1 < 0.9 * a) }' || fail "ahead: $(column loss ahead/metrics.jsonl)"

# Documents and places in them, of a stream: text has its ends, other tokens need to be told.
sed 's/^input mask.*/input place[batch, seq] of seq from positions\ninput document[batch, seq] of seq from documents/
  s/^logits = .*/logits = (lookup(embed, tokens) + lookup(at, place) + lookup(of, document)) @ unembed/
  s/^loss.*/loss cross_entropy(logits, targets)/; s/^param learned.*/param at[places, hidden] ~ normal(0.1)\nparam of[places, hidden] ~ normal(0.1)/
  s/^dim hidden.*/dim hidden = 16\ndim seq = 8\ndim places = seq/' words.xlm >places.xlm
mkdir texts
head -n 20 corpus.txt >texts/a.txt
tail -n 30 corpus.txt >texts/b.txt
expect 0 'checkpoint' "$run" train places.xlm --data texts --max-steps 3 --output-dir places
expect 0 'abc' "$run" generate places --prompt abc --max-tokens 12
head -c 20000 corpus.txt >corpus.bin
expect 1 'give the token that ends them, --document-end ID' "$run" train places.xlm --data corpus.bin --data-format u16 --output-dir none
expect 0 'checkpoint' "$run" train places.xlm --set vocab=65536 --data corpus.bin --data-format u16 --document-end 8224 --max-steps 3 --output-dir ends

# Other data.
expect 1 'give records' "$run" train picture.xlm --data corpus.txt --max-steps 1 --output-dir none
sed 's/from picture/from image/' picture.xlm >image.xlm
expect 1 'has no tensor `image`, which the model reads; it has: label, picture, weight' "$run" train image.xlm --data pictures --output-dir none
expect 1 'and the model reads [records, 5, 6]' "${train[@]}" --set rows=5 --output-dir none
expect 1 'takes 0 to 1' "${train[@]}" --set classes=2 --output-dir none
expect 0 'records (synthetic)' "$run" train picture.xlm --data synthetic --max-steps 2 --output-dir made
expect 0 'token_cross_entropy_bwd' "$run" bench picture.xlm --steps 2
exit $failed
