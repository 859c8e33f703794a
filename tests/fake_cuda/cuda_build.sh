#!/usr/bin/env bash
# A build with CUDA kernels links, starts without a driver, and says what is missing. Skipped without a CUDA toolkit.
# Its kernels are for one kind of card: test_nvcc.sh compiles them for all.
set -eu
command -v nvcc >/dev/null || { echo "no nvcc"; exit 77; }
build=$2/with_cuda
cmake -G Ninja -S "$1" -B "$build" -DXLM_CUDA=ON -DXLM_CUDA_ARCHS=90a-real -DCMAKE_C_FLAGS_RELEASE=-O1 \
  -DCMAKE_CUDA_FLAGS_RELEASE="-O0 -Xcicc -O0 -Xptxas -O0" >/dev/null
ninja -C "$build" xlmrun >"$build/log" 2>&1 || { tail -30 "$build/log"; exit 1; }
run() {
  code=0
  CUDA_VISIBLE_DEVICES='' "$build/xlmrun" "$@" >"$build/out" 2>&1 || code=$?
}
run bench --help
[ $code = 0 ] || { echo "it does not start"; cat "$build/out"; exit 1; }
run bench "$1/models/gpt2.xlm" --preset nano --device cuda
[ $code = 2 ] || { echo "exit $code"; cat "$build/out"; exit 1; }
grep -qE 'no NVIDIA driver|finds no GPU|is for CUDA' "$build/out" || { cat "$build/out"; exit 1; }
[ "$(wc -l <"$build/out")" = 1 ] || { cat "$build/out"; exit 1; }
