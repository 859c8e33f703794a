#!/usr/bin/env bash
# MFU on a card is that of the peak of --cluster, for all ranks; without one it is not shown. The CPU's peak says nothing of it.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
bench=("$run" bench "$model" "${sizes[@]}" --global-batch-size 4 --steps 1 --warmup 1 --device cuda)
expect 0 'GFLOP/s of the model' "${bench[@]}"
! grep -q MFU out.txt || fail "MFU of an unknown peak: $(cat out.txt)"
expect 0 'MFU (peak 67000 GFLOP/s, h100)' "${bench[@]}" --cluster h100
expect 0 'MFU (peak 134000 GFLOP/s, h100)' "${bench[@]}" --cluster h100 --dp 2
expect 1 'there is no cluster `h1000`' "${bench[@]}" --cluster h1000
train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --device cuda --max-steps 2 --overwrite --output-dir run)
expect 0 'tok/s' "${train[@]}"
! grep -q MFU out.txt || fail "MFU of an unknown peak: $(cat out.txt)"
expect 0 'MFU' "${train[@]}" --cluster h100
expect 1 '--cluster goes with --trace FILE' "$run" bench "$model" "${sizes[@]}" --steps 1 --cluster h100
exit $failed
