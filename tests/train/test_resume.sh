#!/usr/bin/env bash
# A run that was interrupted in any way resumes as if it had not been.
. "$(dirname "$0")/xlmrun_lib.sh"

train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --log-interval 1 --lr-schedule constant --warmup-steps 3
  --eval-interval 10 --keep-checkpoints 0 --seed 5)
expect 0 'checkpoint whole/step-00000020' "${train[@]}" --max-steps 20 --save-interval 5 --output-dir whole

# 10 steps and 10 more.
expect 0 'checkpoint half/step-00000010' "${train[@]}" --max-steps 10 --output-dir half
same_weights whole/step-00000010 half/step-00000010
expect 0 'resumed from half/step-00000010 at step 10' "$run" train --resume half --max-steps 20
same_weights whole/step-00000020 half/step-00000020
[ "$(column step half/metrics.jsonl | tr '\n' ' ')" = "$(seq -s ' ' 20) " ] || fail "steps in the metrics: $(cat half/metrics.jsonl)"
for key in step loss lr grad_norm tokens val_loss; do
  [ "$(column $key whole/metrics.jsonl)" = "$(column $key half/metrics.jsonl)" ] || fail "$key differs after a resume"
done

# From the middle, with another number of threads and the folder's name left out; what came after step 10 is written again.
mkdir back && cp -r whole/step-00000010 back/ && cp whole/metrics.jsonl back/
expect 0 'at step 10' "$run" train --resume --output-dir back --threads 1
same_weights whole/step-00000020 back/step-00000020
[ "$(column step back/metrics.jsonl | wc -l)" = 20 ] || fail "repeated steps: $(cat back/metrics.jsonl)"
expect 0 'resumed from whole/step-00000005 at step 5' "$run" train --resume whole/step-00000005 --output-dir other --max-steps 10
same_weights whole/step-00000010 other/step-00000010

# What a new run would begin with is no matter for one that goes on, and that is said.
expect 0 "--init-from elsewhere is for a new run" "$run" train --resume half --max-steps 20 --init-from elsewhere

# Nothing left to do.
expect 0 'at step 20' "$run" train --resume half
same_weights whole/step-00000020 half/step-00000020

# Killed again and again, in the middle of steps and of saving (a checkpoint after every step). XLM_KILLS says how often.
last=$((40 + 20 * ${XLM_KILLS:-6}))
expect 0 'checkpoint long/step-' "${train[@]}" --max-steps $last --output-dir long
"${train[@]}" --max-steps $last --save-interval 1 --output-dir killed >log.txt 2>&1 &
pid=$! kills=0
for i in $(seq "${XLM_KILLS:-6}"); do # every third before its first step, the others anywhere in the steps and in the saving
  if [ $((i % 3)) = 0 ]; then wait_for resumed log.txt; else wait_for saved log.txt; fi
  sleep 0.0$((RANDOM % 10))
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  [ $? = 137 ] && kills=$((kills + 1))
  rm log.txt
  "$run" train --resume killed --save-interval 1 >log.txt 2>&1 &
  pid=$!
  wait_for 'resumed from killed/' log.txt
  ! grep -q '^xlmrun: ' log.txt || fail "kill $i: a damaged checkpoint: $(cat log.txt)"
done
wait $pid || fail "no resume after kill -9: $(cat log.txt)"
echo "$kills kills in $last steps"
[ $kills -gt $((${XLM_KILLS:-6} / 2)) ] || fail "the run was over before most kills came"
same_weights "$(printf long/step-%08d $last)" "$(printf killed/step-%08d $last)"
[ "$(column step killed/metrics.jsonl | tr '\n' ' ')" = "$(seq -s ' ' $last) " ] || fail "metrics after kill -9: $(cat killed/metrics.jsonl)"
[ -z "$(find killed -name '.writing-*')" ] || fail "leftovers: $(ls -a killed)"

# flip FILE OFFSET: one bit.
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# Damage is found and named, and the checkpoint before is used; chosen by name, the damaged one is refused.
damage() {
  expect 0 "$1" "$run" train --resume half --max-steps 20 --threads 1
  grep -q 'resumed from half/step-00000010' out.txt || fail "not from the checkpoint before: $(cat out.txt)"
  same_weights whole/step-00000020 half/step-00000020
}
flip half/step-00000020/model.safetensors 3000
expect 1 'step-00000020' "$run" generate half/step-00000020
expect 1 'model.safetensors' "$run" train --resume half/step-00000020 --output-dir n
damage 'model.safetensors'
flip half/step-00000020/optimizer.safetensors 5000
damage 'optimizer.safetensors'
flip half/step-00000020/manifest.json 40
damage 'manifest.json'
truncate -s 1000 half/step-00000020/model.safetensors
damage 'model.safetensors'
rm half/step-00000020/optimizer.safetensors
damage 'optimizer.safetensors'
rm -r half/step-00000020/manifest.json
expect 0 'at step 10' "$run" train --resume half --max-steps 20
mkdir bad && cp -r half/step-00000010 bad/ && flip bad/step-00000010/model.safetensors 3000
expect 1 'model.safetensors' "$run" train --resume bad
expect 1 'nowhere' "$run" train --resume nowhere
mkdir empty
expect 1 'empty' "$run" train --resume empty

# A second run into the same folder is refused while the first lives, and hurts nothing.
"$run" train --resume whole --max-steps 100000 --output-dir locked >long.txt 2>&1 &
long=$!
wait_for loss long.txt
expect 1 "another run writes to 'locked': process $long on $(hostname)" "$run" train --resume whole --max-steps 30 --output-dir locked
kill -TERM $long
wait $long || fail "the first of two runs: $(cat long.txt)"
expect 0 'at step' "$run" train --resume locked --max-steps 1

# Other settings from here on.
expect 0 'at step 20' "$run" train --resume half --max-steps 25 --learning-rate 2e-3 --output-dir lr
[ "$(column lr lr/metrics.jsonl | sort -u)" = 0.002 ] || fail "learning rate after a change: $(cat lr/metrics.jsonl)"
[ "$(column step lr/metrics.jsonl | tr '\n' ' ')" = '21 22 23 24 25 ' ] || fail "steps of the new folder: $(cat lr/metrics.jsonl)"
# With an older checkpoint its settings count, not those of the damaged one that was planned for first.
mkdir mixed && cp -r half/step-00000010 lr/step-00000025 mixed/ && flip mixed/step-00000025/model.safetensors 3000
expect 0 "skipped mixed/step-00000025: " "$run" train --resume mixed --max-steps 12
grep -q 'resumed from mixed/step-00000010 at step 10' out.txt || fail "not from the checkpoint before: $(cat out.txt)"
[ "$(column lr mixed/metrics.jsonl | sort -u)" = 0.01 ] || fail "learning rate of the damaged checkpoint: $(cat mixed/metrics.jsonl)"

# Another plan is worth a word, and nothing more. One is the same whether a batch size was chosen or comes from the checkpoint.
! grep -q 'the plan is another' out.txt || fail "the same plan: $(cat out.txt)"
expect 0 'checkpoint plain/' "$run" train "$model" --data corpus.txt "${sizes[@]}" --max-steps 1 --eval-interval 0 --output-dir plain
expect 0 'at step 1' "$run" train --resume plain --max-steps 2
! grep -q 'the plan is another' out.txt || fail "the same plan, its batch size from the checkpoint: $(cat out.txt)"
expect 0 "the plan is another than the checkpoint's" "$run" train --resume half --max-steps 21 --dp 2 --micro-batch-size 2 --output-dir dp

mkdir micro && cp -r whole/step-00000010 micro/ && cp whole/metrics.jsonl micro/
expect 0 '4 microbatches' "$run" train --resume micro --micro-batch-size 1
paste <(column loss whole/metrics.jsonl) <(column loss micro/metrics.jsonl) |
  awk '{ d = ($1 - $2) / $1; if (d > 1e-4 || d < -1e-4) bad++ } END { exit bad || NR != 20 }' ||
  fail "another micro batch size, another curve: $(cat micro/metrics.jsonl)"
expect 1 'global batch size' "$run" train --resume micro --micro-batch-size 3 --max-steps 30
expect 1 'hidden' "$run" train --resume whole --max-steps 30 --hidden-size 32 --output-dir n
exit $failed
