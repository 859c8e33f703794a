#!/usr/bin/env bash
# Files that change under a run: token ids that are out of range from now on, an output folder that is removed or
# becomes a file, a model file and settings that go. (Data that is truncated: tests/train/test_cut_data.sh.)
. "$(dirname "$0")/../train/xlmrun_lib.sh"

cp "$model" my.xlm
cp -r "$source_dir/models/blocks" blocks
printf 'train:\n  seed: 5\n' >run.yaml
head -c 200000 corpus.txt | tr -d '\0' >text.bin # pairs of bytes: ids below 32768

# begin FLAGS...: a run without end, past its first checkpoint.
begin() {
  rm -rf run log.txt
  "$run" train my.xlm --config run.yaml --hidden-size 16 --set layers=1 --set heads=2 --intermediate-size 32 --seq-length 32 \
    --global-batch-size 32 --micro-batch-size 32 --threads 1 --max-steps 1000000 --log-interval 1 --eval-interval 0 --save-interval 4 \
    --output-dir run "$@" >log.txt 2>&1 &
  pid=$!
  wait_for 'saved run/step-00000004' log.txt
}

# between_saves COMMAND...: while the run stands still in one of the steps that no save follows.
between_saves() {
  for _ in $(seq 600); do
    kill -STOP $pid
    sleep 0.05
    tail -n 1 log.txt | grep -qE '^step [0-9]*([02468][159]|[13579][37])/' && break # 1 more than a multiple of 4
    kill -CONT $pid
  done
  "$@"
  kill -CONT $pid
}

# must_fail CODE TEXT
must_fail() {
  wait $pid
  code=$?
  [[ $code == $1 ]] || fail "exit code $code, not $1: $(tail -n 3 log.txt)"
  [ "$(grep -c '^xlmrun: ' log.txt)" = 1 ] || fail "not one error: $(grep -v '^s' log.txt)"
  grep -qE "^xlmrun: $2" log.txt || fail "$(tail -n 3 log.txt)"
}

begin --data text.bin --vocab-size 32768
head -c 200000 /dev/zero | tr '\0' '\377' | dd of=text.bin conv=notrunc 2>dd.txt
must_fail 1 '.*text.bin.*65535'
expect 1 '65535' "$run" train --resume run

# A folder that is removed is made again by the next save, with all of a checkpoint.
begin --data corpus.txt --vocab-size 256
between_saves rm -r run my.xlm blocks run.yaml
for _ in $(seq 600); do ls run/step-*/manifest.json >manifests.txt 2>/dev/null && break; sleep 0.05; done
kill -TERM $pid
wait $pid || fail "a folder that was removed: $(tail -n 3 log.txt)"
expect 0 'loss ' "$run" eval run --eval-batches 1
expect 0 'resumed from run/step-' "$run" train --resume run --max-steps 1

cp "$model" my.xlm && cp -r "$source_dir/models/blocks" blocks && : >run.yaml
begin --data corpus.txt --vocab-size 256
becomes_a_file() { mv run away && : >run; }
between_saves becomes_a_file
must_fail '[12]' "(cannot create the folder 'run/.writing-.*|'run' exists and is not a folder)"
expect 0 'loss ' "$run" eval away --eval-batches 1
exit $failed
