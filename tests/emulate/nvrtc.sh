#!/usr/bin/env bash
# Every kernel that the op cases make at load compiles with the real NVRTC. Skipped without one.
set -eu
library=$(ldconfig -p | sed -n 's/.*libnvrtc\.so\.[0-9]* .*=> //p' | head -1)
[ -n "$library" ] || for dir in /usr/local/cuda/lib64 /usr/local/cuda/lib; do
  [ -e "$dir/libnvrtc.so" ] && { library=$dir/libnvrtc.so; export LD_LIBRARY_PATH=$dir:${LD_LIBRARY_PATH:-}; break; }
done
[ -n "$library" ] || { echo "no NVRTC"; exit 77; }
XLM_TEST_NVRTC=sm_80,sm_90,sm_100 "$1/test_cuda_ops" fused
