#!/usr/bin/env bash
# Every kernel file compiles for the GPUs, with warnings as errors. Skipped without a CUDA toolkit.
set -eu
command -v nvcc >/dev/null || { echo "no nvcc"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$1"
archs=(-gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90a,code=sm_90a)
nvcc --list-gpu-arch | grep -q compute_100 && archs+=(-gencode=arch=compute_100,code=sm_100)
for f in ops/cuda/*.cu tests/emulate/*.cu; do
  [ -f "$f" ] || continue
  nvcc -std=c++17 -O3 "${archs[@]}" -Werror all-warnings -Xcompiler -Wall,-Wextra,-Wno-unused-function,-Wno-missing-field-initializers -I. -c "$f" -o "$out/$(basename "$f").o" || {
    echo "$f does not compile" >&2
    exit 1
  }
done
twice=$(for o in "$out"/*.o; do nm "$o" | awk '$2 ~ /^[TVW]$/ { print $3 }' | sort -u; done | grep -vE '^(_ZN?K?St|_Zn|_Zd|_ZN4dim3|__|DW\.)' | sort | uniq -d | c++filt)
[ -z "$twice" ] || { echo "in several files: $twice" >&2; exit 1; }
