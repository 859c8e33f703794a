#!/usr/bin/env bash
# Several `repeat .. over pp` in one model, cut in every way: an encoder that all rounds of the decoder read, two towers
# with connections between their rounds, loops of blocks and of layers, and weights shared by rounds of all stages. Every cut and
# schedule is verified and gives the bits of one rank.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

cat >encdec.xlm <<'END'
model encdec
dim vocab  = 256
dim hidden = 32
dim ffn    = 64
dim enc    = 3
dim dec    = 4
dim seq    = 32
dim source = seq
let eps    = 1e-5
dim layers = 4
shard batch over dp
shard ffn over tp
block norm[t](x[batch, t, hidden]) -> [batch, t, hidden] {
  param scale[hidden] ~ ones
  return rmsnorm(x, eps) * scale
}
block mlp[t](x[batch, t, hidden]) -> [batch, t, hidden] {
  param up[hidden, ffn]   ~ normal(0.02)
  param down[ffn, hidden] ~ normal(0.02)
  return gelu(x @ up) @ down
}
block cross(x[batch, seq, hidden], y[batch, source, hidden]) -> [batch, seq, hidden] {
  param wq[hidden, ffn] ~ normal(0.02)
  param wk[hidden, ffn] ~ normal(0.02)
  s = softmax(contract(x @ wq, y @ wk, over ffn), over source)
  return contract(s, y, over source)
}
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.02)
m = rename(lookup(embed, tokens), seq -> source)
repeat enc as i over pp {
  m = m + mlp(norm(m))
}
m = norm.enc_final(m)
h = lookup(embed, tokens)
repeat dec as i over pp {
  h = h + cross(norm.c(h), m)
  h = h + mlp(norm.f(h))
}
loss cross_entropy(norm.final(h) @ embed, targets)
metric spread = max(abs(m))
output h
END
cat >towers.xlm <<'END'
model towers
dim vocab  = 256
dim hidden = 32
dim a      = 3
dim b      = 3
dim seq    = 32
block layer(x[batch, seq, hidden], r) -> [batch, seq, hidden] {
  param w[hidden] ~ ones
  return x + tanh(x * w) * (r + 1)
}
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.02)
param other[vocab, hidden] ~ normal(0.02)
x = lookup(embed, tokens)
repeat a as i over pp {
  x = layer(x, i)
  v[i] = x
}
y = lookup(other, tokens)
repeat b as j over pp {
  y = layer(y, j) + v[a - 1 - j]
  loss 0.1 * mean(square(y))
}
metric top = max(y)
loss cross_entropy((x + y) @ embed, targets)
output x, y
END
cat >loops.xlm <<'END'
model loops
dim vocab  = 256
dim hidden = 32
dim layers = 3
dim seq    = 32
let loops  = 2
block stack(x[batch, seq, hidden]) -> [batch, seq, hidden] {
  repeat layers as i over pp {
    param w[hidden] ~ ones
    state seen[hidden] ~ zeros
    update seen = seen + mean(x, over batch, seq)
    x = x + tanh(x * w)
  }
  return x
}
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.02)
x = lookup(embed, tokens)
x = stack.one(x)
x = stack.two(x)
repeat loops as l shared {
  repeat layers as i over pp {
    param w[hidden] ~ ones
    x = x + tanh(x * w) * (l + 1)
  }
}
loss cross_entropy(x @ embed, targets)
END
cat >back.xlm <<'END'
# a loop: the same weights in every round of both repeats, one of them projected after each step wherever it is
model back
dim vocab  = 256
dim hidden = 32
dim seq    = 32
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.02)
param gate[hidden] ~ ones
x = lookup(embed, tokens)
first = x
repeat 3 as i over pp shared {
  param w[hidden] ~ ones
  update w = w * rsqrt(mean(square(w), over hidden))
  x = x + tanh(x * w * gate)
}
mid = x
repeat 3 as i over pp shared {
  x = x + tanh(mid * gate) + first
}
g = mean(x, over hidden)
loss cross_entropy((x * g + mid + first) @ embed, targets)
END

cat >around.xlm <<'END'
# loops between layers of their own: those of the loops are cut alike, the others belong to the first and last part
model around
dim vocab  = 256
dim hidden = 32
dim seq    = 32
dim layers = 4
let loops  = 3
input tokens[batch, seq]  of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(0.02)
param every[hidden] ~ ones
block step(x[batch, seq, hidden]) -> [batch, seq, hidden] {
  param w[hidden] ~ ones
  return x + tanh(x * w * every)
}
x = lookup(embed, tokens)
repeat 1 as i over pp {
  x = step.before(x)
}
first = x
repeat loops as l shared {
  x = x + first
  repeat layers as i over pp {
    x = step(x)
    if l == 0 {
      kept[i] = x
    } else {
      param late[hidden] ~ ones
      x = x + kept[i] * late
    }
  }
}
repeat 2 as j over pp {
  x = step.after(x)
}
loss cross_entropy(x @ embed, targets)
END

settings=(--data corpus.txt --max-steps 3 --global-batch-size 12 --micro-batch-size 1 --learning-rate 1e-2 --log-interval 1
  --eval-interval 0 --threads 1 --overwrite)
# same NAME FLAGS...: the model's weights after three steps are those of one rank
same() {
  local name=$1
  shift
  "$run" train "$name.xlm" "${settings[@]}" "$@" --output-dir cut >out.txt 2>&1 || { fail "$name $*: $(tail -n 4 out.txt)"; return; }
  cmp -s "$name/step-00000003/model.safetensors" cut/step-00000003/model.safetensors || fail "$name $*: other weights"
}
for name in encdec towers loops back around; do
  expect 0 'loss curve' "$run" train "$name.xlm" "${settings[@]}" --output-dir "$name"
  same $name --pp 2
  same $name --pp 3 --pipeline-schedule zb-h1
  same $name --pp 2 --pipeline-schedule interleaved --chunks 3
  same $name --pp 5 --recompute full
done
same encdec --pp 3 --stage-rounds 1,1,5
same encdec --pp 3 --stage-rounds 5,1,1
same towers --pp 6 --pipeline-schedule gpipe

# Loops: a stage has the same layers of every loop, and their parameters once.
"$2/xlmc" plan around.xlm --pp 4 --num-microbatches 12 --micro-batch-size 1 --global-batch-size 12 >out.txt || fail 'around is not planned'
for row in '0 +0 +32.50 KiB +32.50 KiB' '1 +1 +384 B +256 B' '2 +2 +384 B +256 B' '3 +0-1,3 +32.62 KiB +576 B'; do # parameters, gradients
  grep -qE "^$row " out.txt || fail "no stage '$row' in: $(cat out.txt)"
done
grep -q 'interleaved$' out.txt || fail "another schedule: $(head -n 1 out.txt)"
# What a loop begins from is made where it begins: the first stage sends only to the second and to itself.
"$2/xlmc" dump around.xlm --after pipeline --stage 0 --pp 4 --num-microbatches 12 --micro-batch-size 1 --global-batch-size 12 >out.txt || fail 'no dump'
! grep -q 'send.*peer=[23].* fwd' out.txt || fail "$(grep 'send.*peer=[23].* fwd' out.txt)"
same around --pp 4 --num-microbatches 12
same around --pp 2 --virtual-stages 1
same around --pp 2 --virtual-stages 6 --pipeline-schedule interleaved
same around --pp 2 --stage-rounds 1,3
same around --pp 4 --pipeline-schedule gpipe
expect 1 '--virtual-stages 1' "$run" train around.xlm "${settings[@]}" --pp 4 --micro-batch-size 6 --output-dir none
expect 1 'at most 7 parts work' "$run" train encdec.xlm "${settings[@]}" --pp 8 --output-dir none
exit $failed
