#!/usr/bin/env bash
# Metrics that are lists: how many tokens each expert got, and a mean along the sequence. They are those of the whole step: the
# same in every layout and for every size of microbatch, also when another process has them.
. "$(dirname "$0")/xlmrun_lib.sh"
sizes=(--hidden-size 16 --set layers=2 --set heads=2 --num-key-value-heads 2 --num-local-experts 4 --intermediate-size 32 --vocab-size 256 --seq-length 32)
options=(--data corpus.txt --global-batch-size 8 --log-interval 1 --eval-interval 2 --eval-batches 1 --save-interval 0)

# lists FILE: its fields that are lists, a line each, sorted: the order is that of the ranks.
lists() { grep -o '"[a-z0-9_.]*": \[[^]]*\]' "$1" | sort; }

moe=("$source_dir/models/mixtral.xlm" "${options[@]}" "${sizes[@]}" --threads 1 --max-steps 1)
expect 0 'loss curve' "$run" train "${moe[@]}" --micro-batch-size 8 --output-dir one
lists one/metrics.jsonl >one.txt
[ "$(wc -l <one.txt)" = 2 ] || fail "not a list per layer: $(cat one.txt)"
# Every token chooses two experts of each layer: 8 samples of 32 tokens.
sed 's/.*\[\(.*\)\]/\1/' one.txt | awk -F, '{ s = 0; for (i = 1; i <= NF; i++) s += $i; if (NF != 4 || s != 512) print NF, s }' >wrong.txt
[ ! -s wrong.txt ] || fail "other tokens: $(cat one.txt)"
# Each of the layers' most chosen expert over the mean is the scalar.
most=$(sed 's/.*\[\(.*\)\]/\1/' one.txt | tr ',' '\n' | sort -n | tail -1)
awk -v x="$(column expert_load_max one/metrics.jsonl)" -v most="$most" 'BEGIN { exit x == most / 128 ? 0 : 1 }' || fail "the largest is $most"
same() { # NAME COMMAND...
  local name=$1
  shift
  expect 0 'loss curve' "$@" --output-dir "$name"
  lists "$name/metrics.jsonl" | diff one.txt - || fail "$*"
}
i=0
for layout in '--micro-batch-size 2' '--micro-batch-size 1 --dp 2' '--micro-batch-size 2 --ep 2' '--micro-batch-size 2 --tp 2' \
  '--micro-batch-size 2 --pp 2' '--micro-batch-size 2 --pp 2 --ep 2 --dp 2'; do
  same "layout$((i++))" "$run" train "${moe[@]}" $layout
done
# A list of means, and one that is a function of a mean; both of the whole batch.
cat >means.xlm <<'END'
model means
dim vocab = 256
dim hidden = 16
dim seq = 8
shard batch over dp
input tokens[batch, seq] of vocab
input targets[batch, seq] of vocab
param embed[vocab, hidden] ~ normal(1)
h = lookup(embed, tokens)
each = mean(square(h), over batch, hidden)
metric size = each
metric root = sqrt(each)
loss cross_entropy(h @ embed, targets)
END
mean=("$run" train means.xlm "${options[@]}" --threads 1 --max-steps 3)
expect 0 'loss curve' "${mean[@]}" --micro-batch-size 8 --output-dir whole
expect 0 'loss curve' "${mean[@]}" --micro-batch-size 1 --dp 2 --output-dir parts
lists whole/metrics.jsonl | tr -d ' ' | tr '[:,]' '\n\n' | tr -d '[]' >whole.txt
lists parts/metrics.jsonl | tr -d ' ' | tr '[:,]' '\n\n' | tr -d '[]' | paste whole.txt - |
  awk '$1 ~ /^[0-9]/ { n++; if ($1 < 0.3 || $1 > 3 || ($1 - $2) ^ 2 > 1e-10) print } END { if (n != 48) print n, "numbers" }' >wrong.txt
[ ! -s wrong.txt ] || fail "other means: $(cat wrong.txt)"
grep '^"size' -A8 whole.txt | awk '/^[0-9]/ { print sqrt($1) }' | sort >roots.txt
grep '^"root' -A8 whole.txt | awk '/^[0-9]/ { print $1 }' | sort | paste - roots.txt | awk '($1 - $2) ^ 2 > 1e-9' >wrong.txt
[ ! -s wrong.txt ] || fail "no roots: $(cat wrong.txt)"

# Lists of the second process, which the first one writes. Last: it ends the test where there is no MPI.
[ $failed = 0 ] || exit 1
. "$source_dir/tests/layouts/mpi_lib.sh"
same processes job 2 "$run" train "${moe[@]}" --micro-batch-size 2 --pp 2
exit $failed
