#!/usr/bin/env bash
# The checkpoint with the lowest validation loss is kept and named; a run whose validation loss no longer falls ends, in one
# piece or resumed; what differs from a resumed run is said; a search for a learning rate.
. "$(dirname "$0")/xlmrun_lib.sh"

# A text so short that it is soon known by heart, and another one to evaluate.
head -c 600 corpus.txt >short.txt
tail -c 3000 corpus.txt >other.txt
train=("$run" train "$model" --data short.txt --valid other.txt "${sizes[@]}" --global-batch-size 8 --learning-rate 2e-2
  --lr-schedule constant --warmup-steps 2 --log-interval 5 --eval-interval 5 --eval-batches 2 --save-interval 0 --max-steps 400)

# lowest FILE: the step with the lowest validation loss of a metrics file.
lowest() {
  sed -n 's/.*"step": \([0-9]*\),.*"val_loss": \([^,}]*\).*/\2 \1/p' "$1" | sort -g | head -n 1 | cut -d ' ' -f 2
}

expect 0 'evaluations since step' "${train[@]}" --keep-best --early-stop-patience 3 --keep-checkpoints 1 --output-dir whole
best=$(lowest whole/metrics.jsonl) last=$(column step whole/metrics.jsonl | tail -n 1)
[ "$last" = $((best + 15)) ] || fail "ended at $last, 3 evaluations after $best would be $((best + 15))"
[ "$best" -gt 5 ] && [ "$last" -lt 400 ] || fail "the validation loss does not fall and rise: $(column val_loss whole/metrics.jsonl)"
name=step-$(printf %08d "$best")
[ "$(readlink whole/best)" = "$name" ] || fail "best leads to $(readlink whole/best), not $name"
[ "$(ls whole | grep -c '^step-')" = 2 ] || fail "kept besides the best and the last: $(ls whole)"
grep -qF "best       whole/best: validation loss" out.txt || fail "no word about the best: $(cat out.txt)"
expect 0 "loss $(sed -n "s/.*\"step\": $best,.*\"val_loss\": \([^,}]*\).*/\1/p" whole/metrics.jsonl) nats" "$run" eval whole/best --valid other.txt --eval-batches 2
expect 0 'ended at step' "$run" train --resume whole
[ "$(column step whole/metrics.jsonl | tail -n 1)" = "$last" ] || fail 'a run that had ended went on'

# In two parts, asynchronously and on two ranks: the best so far and the patience are in the checkpoints.
expect 0 'checkpoint' "${train[@]}" --keep-best --early-stop-patience 3 --keep-checkpoints 1 --async-save --max-steps $((best + 10)) --output-dir part
expect 0 "evaluations since step $best" "$run" train --resume part --max-steps 400
[ "$(column step part/metrics.jsonl | tail -n 1)" = "$last" ] || fail "ended at $(column step part/metrics.jsonl | tail -n 1) after a resume, not $last"
[ "$(readlink part/best)" = "$name" ] || fail "best leads to $(readlink part/best) after a resume, not $name"
same_weights whole/$name part/$name
expect 0 "evaluations since step $best" "${train[@]}" --early-stop-patience 3 --pp 2 --output-dir ranks
[ ! -e ranks/best ] || fail 'a link without --keep-best'

# A folder of someone's is not replaced, and a new run removes the link.
mkdir -p taken/best
expect 0 "cannot make 'taken/best' a link" "${train[@]}" --keep-best --max-steps 10 --output-dir taken
[ -d taken/best ] && [ ! -L taken/best ] || fail 'a folder was replaced'
expect 0 'checkpoint' "${train[@]}" --overwrite --max-steps 5 --output-dir whole
[ ! -L whole/best ] || fail 'the link of the earlier run remains'
expect 0 'note: --keep-best has no effect with --eval-interval 0' "${train[@]}" --keep-best --eval-interval 0 --max-steps 5 --output-dir idle

# What differs from the run that is resumed: what changes the result, and what does not.
"$run" train --resume part --max-steps 401 --seed 9 --save-interval 7 --pp 2 --threads 1 >out.txt 2>&1
for line in 'changed since the checkpoint: --max-steps is 401, was 400' 'changed since the checkpoint: --seed is 9, was 1' \
  'also changed, with the same result: --pp is 2, was 1' 'also changed, with the same result: --save-interval is 7, was 0' \
  'also changed, with the same result: --threads is 1, was 0'; do
  grep -qxF -- "$line" out.txt || fail "no '$line': $(cat out.txt)"
done
[ "$(grep -c 'changed' out.txt)" = 5 ] || fail "more than what changed: $(cat out.txt)"

# ---- the learning rate ----

find_rate=("$run" train "$model" --data corpus.txt "${sizes[@]}" --global-batch-size 8 --lr-find --output-dir found)
expect 0 'suggested: --learning-rate ' "${find_rate[@]}"
rate=$(sed -n 's/^suggested: --learning-rate \([^,]*\),.*/\1/p' out.txt)
[ ! -e found ] || fail "a search for a rate wrote $(ls found)"
[ "$(grep -cE '^[0-9.]+e[-+][0-9]+ +[0-9.]+$' out.txt)" = 20 ] || fail "not 20 rates: $(cat out.txt)"
awk -v r="$rate" 'BEGIN { exit !(r > 1e-4 && r < 0.5) }' || fail "the rate $rate"
cp out.txt one.txt
expect 0 "suggested: --learning-rate $rate" "${find_rate[@]}" --pp 2
# With a model that a large rate breaks, it ends where the loss is lost.
expect 0 'suggested: --learning-rate ' "${find_rate[@]}" --optimizer sgd --momentum 0.99 --grad-clip 0
grep -qE '^above .*(rises far|is not finite)$' out.txt || fail "no end of the sweep: $(cat out.txt)"
expect 1 'takes from 20 to 1,000,000 steps, not --max-steps 5' "${find_rate[@]}" --max-steps 5
expect 1 '--lr-find is for the start of a run' "$run" train --resume part --lr-find
exit $failed
