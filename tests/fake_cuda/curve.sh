#!/usr/bin/env bash
# curve.sh SOURCE BUILD MODEL: a run of the nano preset, narrower, on the fake card has the CPU's curve: the loss of every
# step and every evaluation, within 1e-5. On the card it is killed past its middle and resumed from the checkpoint there.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
steps=48
# Of letters only: the first steps of a byte that is rare turn rounding into a hundredth of the gradient, on the CPU alone,
# too.
tr 'A-Z' 'a-z' <corpus.txt | tr -cs 'a-z\n' ' ' >letters.txt
case $3 in
  llama) narrow=(--set heads=4 --set ffn=96) ;;
  mixtral) narrow=(--set ffn=48) ;;
  *) narrow=() ;;
esac
train=("$run" train "$source_dir/models/$3.xlm" --preset nano --data letters.txt --hidden-size 32 --seq-length 32
  --global-batch-size 4 --micro-batch-size 2 --learning-rate 3e-3 --warmup-steps 4 --seed 7 --log-interval 1 --eval-interval 12
  --eval-batches 2 --max-steps $steps --threads 1 "${narrow[@]}")

# same KEY LIMIT: numbers of the two runs, which may differ by this part of the CPU's.
same() {
  paste <(column "$1" cpu/metrics.jsonl) <(column "$1" card/metrics.jsonl) >"$1.txt"
  awk -v limit="$2" '
    { d = ($1 > $2 ? $1 - $2 : $2 - $1) / $1; if (d > most) most = d }
    NF != 2 || d > limit { bad = 1 }
    END { printf "%d times, largest difference %.1e\n", NR, most; exit bad || !NR }' "$1.txt" >difference.txt ||
    fail "$1: $(cat difference.txt "$1.txt")"
  echo "$1: $(cat difference.txt)"
}

expect 0 "checkpoint cpu/" "${train[@]}" --output-dir cpu
"${train[@]}" --device cuda --output-dir card --save-interval $((steps / 2)) >log.txt 2>&1 &
pid=$!
wait_for "saved card/" log.txt && kill -9 $pid
wait $pid 2>/dev/null
[ $? = 137 ] || fail "it was over before it was killed: $(cat log.txt)"
expect 0 "resumed from card/step-000000$((steps / 2))" "$run" train --resume card --device cuda
grep -qF "checkpoint card/step-000000$steps" out.txt || fail "not finished: $(cat out.txt)"

[ "$(column step card/metrics.jsonl | tr '\n' ' ')" = "$(seq -s ' ' $steps) " ] || fail "steps: $(cat card/metrics.jsonl)"
same loss 1e-5
same val_loss 1e-5
same grad_norm 3e-5
same lr 0
[ "$(column val_loss card/metrics.jsonl | wc -l)" = 4 ] || fail "evaluations: $(cat card/metrics.jsonl)"
awk 'NR == 1 { first = $2 } END { printf "loss %s to %s\n", first, $2; exit $2 > 0.75 * first }' loss.txt ||
  fail "it does not learn: $(cat loss.txt)"
exit $failed
