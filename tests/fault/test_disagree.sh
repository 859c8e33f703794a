#!/usr/bin/env bash
# Processes that do not match, or that lack something: the run does not start, or ends, with one message that
# says why; no incomplete file is left under the name of a checkpoint.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
. "$source_dir/tests/layouts/mpi_lib.sh"

train=("$run" train "$model" --data corpus.txt --hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40
  --vocab-size 256 --seq-length 32 --global-batch-size 8 --micro-batch-size 1 --log-interval 1 --eval-interval 0 --max-steps 3
  --seed 5 --dp 2 --threads 1)

# apart TEXT FLAGS...: the second process has these flags in addition.
apart() {
  local text=$1
  shift
  expect 2 "$text" timeout 300 mpirun -n 1 "${train[@]}" --output-dir n : -n 1 "${train[@]}" --output-dir n "$@"
  [ "$(grep -c '^xlmrun: ' out.txt)" = 1 ] || fail "told more than once: $(cat out.txt)"
  [ ! -d n ] || [ -z "$(ls -d n/step-* 2>/dev/null)" ] || fail "$*: it ran"
}
apart '--learning-rate is not the same in process 1' --learning-rate 5e-3
apart '--seed is not the same in process 1' --seed 6
apart '--pipeline-schedule is not the same in process 1' --pipeline-schedule gpipe
apart '--zero is not the same in process 1' --zero 1
apart '--save-interval is not the same in process 1' --save-interval 2
sed 's/normal(0.02)/normal(0.03)/' "$model" >other.xlm
another=("${train[@]}")
another[2]=other.xlm
expect 2 'process 1 has another model text' timeout 300 mpirun -n 1 "${train[@]}" --output-dir n : -n 1 "${another[@]}" --output-dir n
apart 'process 1 would run kernels for base' --arch base
# Saved plans of one size and model that differ in one number.
"$2/xlmc" plan "${train[2]}" --hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40 --vocab-size 256 \
  --seq-length 32 --global-batch-size 8 --micro-batch-size 1 --dp 2 --threads 1 --format json --output one.json ||
  fail "no plan"
sed 's/"base": 10000.0/"base": 20000.0/' one.json >two.json
cmp -s one.json two.json && fail "the plan has no base"
saved=("$run" train --data corpus.txt --log-interval 1 --eval-interval 0 --max-steps 3 --threads 1 --output-dir n)
expect 2 'process 1 has another plan' timeout 300 mpirun -n 1 "${saved[@]}" one.json : -n 1 "${saved[@]}" two.json
apart 'process 1 reads other data' --data "$source_dir/grammar/xlm.l"
expect 0 'checkpoint m/step-00000003' timeout 300 mpirun -n 1 "${train[@]}" --output-dir m : \
  -n 1 "${train[@]}" --output-dir elsewhere --threads 2 --comm-timeout 30 # what may differ

# One process that was started and never arrives.
missing=(timeout 300 mpirun -n 1 "${train[@]}" --output-dir n --comm-timeout 2 : -n 1)
expect 2 'not all processes of this run have arrived' "${missing[@]}" sleep 100
[ "$(grep -c '^xlmrun: ' out.txt)" = 1 ] || fail "told more than once: $(cat out.txt)"

# One that ends before it arrives: mpirun ends the run itself when xlmrun was in MPI_Init already, with its
# own message or with none; else xlmrun's limit does.
for other in true 'sleep 1'; do
  "${missing[@]}" $other >out.txt 2>&1
  got=$?
  [ $got = 1 ] || [ $got = 2 ] || fail "exit code $got without a process: $(cat out.txt)"
  [ "$(grep -c '^xlmrun: ' out.txt)" -le 1 ] || fail "told more than once: $(cat out.txt)"
  [ $got = 1 ] || grep -q 'not all processes of this run have arrived' out.txt || fail "no reason: $(cat out.txt)"
  [ ! -d n ] || [ -z "$(ls -d n/step-* 2>/dev/null)" ] || fail "it ran without a process"
done

# Not enough memory for the arena of one rank: the limit is between what MPI uses and what the plan needs.
if ! grep -q __asan_init "$run"; then # sanitizers reserve more
  big=("${train[@]}" --hidden-size 1024 --intermediate-size 4096 --set heads=8 --output-dir n)
  expect 2 'rank 1' timeout 300 mpirun -n 1 "${big[@]}" : -n 1 bash -c 'ulimit -v 700000; exec "$@"' - "${big[@]}"
  [ "$(grep -c '^xlmrun: ' out.txt)" = 1 ] || fail "told more than once: $(cat out.txt)"
fi

# A full disk, and a file that must not grow: earlier checkpoints stay complete, and no incomplete one is
# left.
full() { # FOLDER COMMAND...
  local folder=$1
  shift
  expect 2 'cannot write' timeout 300 "$@" --output-dir "$folder" --save-interval 1 --keep-checkpoints 0 --max-steps 100
  [ -z "$(find "$folder" -name '.writing-*')" ] || fail "leftovers: $(ls -a "$folder")"
  for checkpoint in "$folder"/step-*; do
    expect 0 'loss' "$run" eval "$checkpoint" --eval-batches 1
  done
}
mkdir small
if mount -t tmpfs -o size=2m none small 2>mount.txt; then
  trap 'umount "$work/small"; rm -rf "$work"' EXIT
  full small/processes mpirun -n 2 "${train[@]}"
  rm -r small/processes
  full small/threads "${train[@]}"
else
  echo "no small file system can be mounted here: $(cat mount.txt)"
fi
grown() { # the metrics are short; the weights are longer than the limit
  (
    ulimit -f 100
    "${train[@]}" --output-dir grown
  )
}
expect 2 'File too large' grown
[ -z "$(ls -d grown/step-* 2>/dev/null)" ] || fail 'a checkpoint of files that could not be written'
exit $failed
