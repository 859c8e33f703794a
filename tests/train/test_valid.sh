#!/usr/bin/env bash
# Validation sees the same held-out windows, each once, whatever the layout and the micro batch: training and eval give one
# number, to rounding, when the last batch is not full, too.
. "$(dirname "$0")/xlmrun_lib.sh"

train=("$run" train "$model" --data corpus.txt --hidden-size 16 --set layers=2 --set heads=4 --intermediate-size 32 --vocab-size 256
  --seq-length 32 --global-batch-size 12 --learning-rate 1e-3 --lr-schedule constant --warmup-steps 2 --log-interval 1 --seed 5
  --max-steps 3 --eval-batches 2)

# near NAME VALUE: as the first value of that name was, within 1e-6.
declare -A first
near() {
  : "${first[$1]:=$2}"
  awk -v a="${first[$1]}" -v b="$2" 'BEGIN { d = (a - b) / a; exit !(a > 1 && d < 1e-6 && d > -1e-6) }' || fail "$1: ${first[$1]} and $2"
}
loss_of() {
  "$run" eval "$@" >out.txt 2>err.txt || fail "eval $*: $(cat err.txt)"
  awk '{ print $2 }' out.txt
}
for layout in '--micro-batch-size 12' '--micro-batch-size 1' '--micro-batch-size 4 --dp 3' '--micro-batch-size 6 --pp 2 --tp 2'; do
  # shellcheck disable=SC2086
  expect 0 'validation loss' "${train[@]}" $layout --output-dir v --overwrite
  near part "$(column val_loss v/metrics.jsonl | tail -n 1)"
done
for layout in '--micro-batch-size 5' '--micro-batch-size 40' '--micro-batch-size 7 --dp 3'; do
  # shellcheck disable=SC2086
  near part "$(loss_of v --eval-batches 2 $layout)"
  # shellcheck disable=SC2086
  near all "$(loss_of v $layout)"
done
# Losses with counts of their own: weights, in front of the sum and inside of it, and targets that do not count.
counts=("$run" train "$source_dir/tests/layouts/counts.xlm" --preset nano --data corpus.txt --global-batch-size 12 --max-steps 2 --seed 5
  --learning-rate 1e-3 --log-interval 1 --eval-batches 2)
for layout in '--micro-batch-size 12' '--micro-batch-size 1' '--micro-batch-size 4 --dp 3'; do
  # shellcheck disable=SC2086
  expect 0 'validation loss' "${counts[@]}" $layout --output-dir c --overwrite
  near counts "$(column val_loss c/metrics.jsonl | tail -n 1)"
done
for layout in '--micro-batch-size 1' '--micro-batch-size 5 --tp 2' '--micro-batch-size 40'; do
  # shellcheck disable=SC2086
  near counts "$(loss_of c --eval-batches 2 $layout)"
  # shellcheck disable=SC2086
  near all_counts "$(loss_of c $layout)"
done
[ "${first[part]}" != "${first[all]}" ] || fail 'a part of the windows and all of them give one loss'
exit $failed
