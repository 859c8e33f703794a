#!/usr/bin/env bash
# tools/gpu_check.sh on the fake card: its phases pass, and say so; a broken curve is noticed.
# gpu_check.sh SOURCE XLMRUN GPU_OPS GPU_CLUSTER XLMC: the programs on the fake card, and one that needs none.
set -u
source_dir=$1 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/lib" "$work/path"
ln -s "$2" "$work/bin/xlmrun" && ln -s "$3" "$work/bin/gpu_ops" && ln -s "$4" "$work/bin/gpu_cluster"
cp -r "$source_dir/models" "$source_dir/tools/gpu_check.sh" "$source_dir/tools/bench/gpu_rows.txt" "$work/"
cat "$source_dir"/grammar/xlm.* >"$work/corpus.txt"
printf '#!/bin/sh\necho a fake card, 0.0\n' >"$work/path/nvidia-smi" && chmod +x "$work/path/nvidia-smi"
export PATH=$work/path:$PATH
export FLAGS='--vocab-size 256 --hidden-size 16 --layers 2 --heads 2 --seq-length 16 --global-batch-size 8 --max-steps 3 --threads 1'
failed=0
expect() { # CODE TEXT PHASES...
  local code=$1 text=$2 got
  shift 2
  rm -rf "$work/out"
  "$work/gpu_check.sh" "$@" >"$work/log" 2>&1
  got=$?
  [ $got = "$code" ] && grep -q "$text" "$work/log" || { echo "FAILED: exit $got: $*"; cat "$work/log"; failed=1; }
}
# The CPU's curve, as `prepare` makes it.
(cd "$work" && bin/xlmrun train models/gpt2.xlm --preset nano --data corpus.txt --global-batch-size 16 --micro-batch-size 4 \
  --seq-length 128 --max-steps 40 --learning-rate 1e-3 --seed 3 --eval-interval 0 --log-interval 1 --output-dir cpu $FLAGS) >"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
expect 0 'PASS again.bits .*: the same 3 losses, bit by bit' train
grep -c PASS "$work/log" | grep -qx 7 || { echo "FAILED: not seven steps"; cat "$work/log"; failed=1; }
expect 0 'PASS zero3 .*: 3 steps, largest relative difference' layouts
SIZES='16 32 64' expect 0 'PASS cluster .*: cluster.yaml: flops_bf16 [0-9.e+]*,gemm_small [0-9.e-]*,attention [0-9.e-]*,memory_b' cluster
"$5" plan "$source_dir/models/gpt2.xlm" --preset nano --cluster "$work/out/cluster.yaml" >"$work/log" 2>&1 ||
  { echo "FAILED: no cluster"; cat "$work/log" "$work/out/cluster.yaml"; failed=1; }
rm "$work/bin/gpu_ops" # few cases: all of them are test_gpu_ops
printf '#!/bin/sh\nexec %s rmsnorm\n' "$3" >"$work/bin/gpu_ops" && chmod +x "$work/bin/gpu_ops"
expect 0 'PASS ops .* cases passed' ops
printf '#!/bin/sh\necho "[  FAILED  ] one"\nexit 1\n' >"$work/bin/gpu_ops"
expect 1 'FAIL ops .*exit code 1' ops
sed -i 's/"loss": 5/"loss": 6/' "$work/cpu/metrics.jsonl"
expect 1 'FAIL dp2 .*largest relative difference' layouts
expect 1 "no phase 'nonsense'" nonsense
exit $failed
