#!/usr/bin/env bash
# Checkpoints in several files, written by several ranks at once and asynchronously: a run resumed from them
# has the same bits as an uninterrupted one.
. "$(dirname "$0")/xlmrun_lib.sh"
export ASAN_OPTIONS=detect_leaks=0 # MPI keeps what it allocates

train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --micro-batch-size 1 --log-interval 1 --lr-schedule constant --warmup-steps 2
  --keep-checkpoints 0 --seed 5 --eval-interval 0 --threads 2)
layout=(--dp 2 --tp 2 --zero 1)
expect 0 'checkpoint whole/step-00000008' "${train[@]}" "${layout[@]}" --max-steps 8 --save-interval 4 --output-dir whole

# goes_on NAME FLAG...: four steps saved in such a way, four more saved as one file.
goes_on() {
  local name=$1 launch=()
  shift
  if [ "$1" = mpi ]; then
    launch=(mpirun --allow-run-as-root --oversubscribe -n 4)
    shift
  fi
  expect 0 "saved $name/step-00000004" "${launch[@]}" "${train[@]}" "${layout[@]}" --max-steps 4 --save-interval 2 --output-dir "$name" "$@"
  expect 0 "resumed from $name/step-00000004" "${launch[@]}" "$run" train --resume "$name" --max-steps 8 --async-save false --checkpoint-shards 1
  same_weights whole/step-00000008 "$name/step-00000008"
}
goes_on sharded --checkpoint-shards 3
[ -f sharded/step-00000004/model-00003-of-00003.safetensors ] || fail "no third file: $(ls sharded/step-00000004)"
grep -q '"model.norm.weight": "model-0000[123]-of-00003.safetensors"' sharded/step-00000004/model.safetensors.index.json ||
  fail "the index: $(cat sharded/step-00000004/model.safetensors.index.json)"
goes_on behind --async-save true
grep -q 'asynchronous saves: copies of the states take' <("${train[@]}" --max-steps 1 --async-save true --output-dir said 2>&1) || fail 'no word about the memory'
goes_on both --async-save true --checkpoint-shards 4
if command -v mpirun >/dev/null && ldd "$run" | grep -q libmpi; then
  goes_on mpi_sharded mpi --checkpoint-shards 3
  goes_on mpi_both mpi --async-save true --checkpoint-shards 4
  for i in 1 2 3 4; do
    cmp -s {,mpi_}both/step-00000004/model-0000$i-of-00004.safetensors || fail "processes write another file $i than threads"
  done
  # A shard that some of the processes read is damaged: all of them go on from the step before.
  rm -r mpi_both/step-0000000[68] && printf xlm | dd of=mpi_both/step-00000004/model-00003-of-00004.safetensors bs=1 seek=3000 conv=notrunc 2>/dev/null
  expect 0 'resumed from mpi_both/step-00000002 at step 2' mpirun --allow-run-as-root --oversubscribe -n 4 "$run" train --resume mpi_both \
    --max-steps 8 --async-save false --checkpoint-shards 1
  [ "$(grep -c "^xlmrun: skipped mpi_both/step-00000004: .*model-00003-of-00004.safetensors' is damaged" out.txt)" = 1 ] ||
    fail "told otherwise than once: $(cat out.txt)"
  same_weights whole/step-00000008 mpi_both/step-00000008
fi

# One rank reads what four wrote, and the other way round.
expect 0 'nats per byte' "$run" eval both/step-00000004 --data corpus.txt --eval-batches 1
cp out.txt four.txt
mkdir one && cp -r both/step-00000004 one/
expect 0 'at step 4' "$run" train --resume one --tp 1 --micro-batch-size 1 --checkpoint-shards 1 --async-save false --max-steps 4
expect 0 '' "$run" eval one --data corpus.txt --eval-batches 1
diff <(grep nats four.txt) <(grep nats out.txt) >diff.txt || fail "another loss in another layout: $(cat diff.txt)"

# Told to stop while saves are under way: the last step is saved whole.
"${train[@]}" --max-steps 100000 --save-interval 1 --async-save true --checkpoint-shards 2 --dp 2 --output-dir stopped >log.txt 2>&1 &
pid=$!
wait_for saved log.txt
kill -TERM $pid
wait $pid || fail "stopped: $(cat log.txt)"
last=$(column step stopped/metrics.jsonl | tail -n 1)
expect 0 "resumed from stopped/$(printf 'step-%08d' "$last")" "$run" train --resume stopped --max-steps "$last"
[ -z "$(ls -d stopped/.writing* 2>/dev/null)" ] || fail "left behind: $(ls -a stopped)"
exit $failed
