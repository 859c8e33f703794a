#!/usr/bin/env bash
# Runs with every optimizer and with groups: interrupted, resumed and from a saved plan they are the same;
# checkpoints store the choice, and what cannot be resumed is reported.
. "$(dirname "$0")/xlmrun_lib.sh"

train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --log-interval 1 --lr-schedule constant --warmup-steps 3 --eval-interval 0
  --keep-checkpoints 0)
groups=(--group 'match=embed lr=0.5 optimizer=sgd' --group 'match=*.attention.* weight_decay=0.3')
for optimizer in $("$run" settings | sed -n 's/^| `--optimizer`.*: \(.*\) |$/\1/p' | tr -d '`,'); do
  expect 0 'checkpoint whole/step-00000006' "${train[@]}" --max-steps 6 --save-interval 3 --optimizer "$optimizer" "${groups[@]}" --output-dir whole
  expect 0 'checkpoint other/step-00000006' "$run" train --resume whole/step-00000003 --output-dir other --max-steps 6
  same_weights whole/step-00000006 other/step-00000006
  first=$(column loss whole/metrics.jsonl | head -n 1) last=$(column loss whole/metrics.jsonl | tail -n 1)
  awk "BEGIN { exit !($last < $first) }" || fail "$optimizer does not learn: $first, $last"
  "${2%/}/xlmc" plan "$model" "${sizes[@]}" --global-batch-size 4 --optimizer "$optimizer" "${groups[@]}" --format json --output plan.json >out.txt 2>&1 ||
    fail "$optimizer: no plan: $(cat out.txt)"
  expect 0 'checkpoint planned/step-00000006' "$run" train plan.json --data corpus.txt --learning-rate 1e-2 --max-steps 6 --lr-schedule constant \
    --warmup-steps 3 --eval-interval 0 --output-dir planned
  same_weights whole/step-00000006 planned/step-00000006
  rm -r other planned
  [ "$optimizer" = adamw ] && mv whole first
  rm -rf whole
done

expect 1 "it has no state 'lion.m/" "$run" train --resume first --optimizer lion --max-steps 8
exit $failed
