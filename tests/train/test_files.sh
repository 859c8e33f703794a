#!/usr/bin/env bash
# A model of several files: plans and checkpoints are complete without them, whatever the folder; messages name the
# right file.
. "$(dirname "$0")/xlmrun_lib.sh"

mkdir -p my/blocks
cat >my/model.xlm <<'END'
model probe
use "blocks/all.xlm"
dim vocab  = 256
dim hidden = 16
dim layers = 2
dim ffn    = 32
let eps    = 1e-5
shard ffn over tp
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.02)
h = lookup(embed, tokens)
repeat layers as i {
  h = h + mlp(norm(h), ffn)
}
loss cross_entropy(h @ embed, targets)
END
printf 'use "rmsnorm.xlm"\nuse "blocks/swiglu.xlm"\n' >my/blocks/all.xlm
cp "$source_dir/models/blocks/rmsnorm.xlm" my/blocks/
sizes=(--seq-length 16 --micro-batch-size 2 --global-batch-size 4)
probe=(--data corpus.txt --learning-rate 1e-2 --valid-fraction 0.2
  --eval-batches 1 --save-interval 3)
xlmc=$(dirname "$program")/xlmc

# One file that says the same gives the same weights; the folder does not count.
{ grep -v '^use' my/model.xlm; cat my/blocks/rmsnorm.xlm "$source_dir/models/blocks/swiglu.xlm"; } >one.xlm
expect 0 'loss curve' "$run" train my/model.xlm "${sizes[@]}" "${probe[@]}" --max-steps 6 --output-dir whole
expect 0 'loss curve' "$run" train one.xlm "${sizes[@]}" "${probe[@]}" --max-steps 6 --output-dir one
same_weights whole/step-00000006 one/step-00000006
hash_of() { "$xlmc" plan "$@" --format json 2>&1 | sed -n 's/.*"text_hash": "\([0-9a-f]*\)".*/\1/p'; }
cp -r my elsewhere
[ -n "$(hash_of my/model.xlm)" ] || fail "a plan has no hash"
[ "$(hash_of my/model.xlm)" = "$(hash_of elsewhere/model.xlm)" ] || fail "the hash depends on the folder"
sed -i 's/~ ones/~ constant(2)/' elsewhere/blocks/rmsnorm.xlm
[ "$(hash_of my/model.xlm)" != "$(hash_of elsewhere/model.xlm)" ] || fail "the hash does not cover a used file"

# A saved plan and a checkpoint need no file of the model.
"$xlmc" plan my/model.xlm "${sizes[@]}" --format json --output probe.json >out.txt 2>&1 ||
  fail "no plan: $(cat out.txt)"
mkdir part && cp -r whole/step-00000003 part/
mv my gone
expect 0 'resumed from part/step-00000003 at step 3' "$run" train --resume part --max-steps 6 --output-dir part
same_weights whole/step-00000006 part/step-00000006
expect 0 'loss curve' "$run" train probe.json "${probe[@]}" --max-steps 6 --output-dir planned
same_weights whole/step-00000006 planned/step-00000006
cmp -s whole/step-00000006/model.xlm planned/step-00000006/model.xlm || fail "the plan stores another text than the checkpoint"
expect 0 'probe' "$xlmc" check whole/step-00000006/model.xlm
grep -q '^#@file my/blocks/rmsnorm.xlm$' whole/step-00000006/model.xlm || fail "the checkpoint's text does not name its files"
expect 0 'models/blocks/swiglu.xlm:' "$xlmc" plan whole/step-00000006/model.xlm --tp 2 --micro-batch-size 2
exit $failed
