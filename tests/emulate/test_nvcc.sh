#!/usr/bin/env bash
# Every kernel file compiles for the GPUs, with warnings as errors. Skipped without a CUDA toolkit.
set -eu
command -v nvcc >/dev/null || { echo "no nvcc"; exit 77; }
grep -qE 'XLM_SANITIZE(_THREAD)?:BOOL=ON' "$2/CMakeCache.txt" && { echo "done by the build without sanitizers"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$1"
archs=(-gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90a,code=sm_90a)
nvcc --list-gpu-arch | grep -q compute_100 && archs+=(-gencode=arch=compute_100,code=sm_100)
# Without optimization: that takes a tenth of the time, and warnings do not depend on it.
export flags="-std=c++17 -O0 -Xcicc -O0 -Xptxas -O0 ${archs[*]} -Werror all-warnings \
-Xcompiler -Wall,-Wextra,-Wno-unused-function,-Wno-missing-field-initializers -I."
compile() { # FILE OUT
  # shellcheck disable=SC2086
  nvcc $flags -c "$1" -o "$2/$(basename "$1").o" || { echo "$1 does not compile" >&2; return 255; }
}
export -f compile
printf '%s\n' ops/cuda/*.cu tests/emulate/*.cu | xargs -P "$(nproc)" -I{} bash -c 'compile {} "$0"' "$out"
twice=$(for o in "$out"/*.o; do nm "$o" | awk '$2 ~ /^[TVW]$/ { print $3 }' | sort -u; done | grep -vE '^(_ZN?K?St|_Zn|_Zd|_ZN4dim3|__|DW\.)' | sort | uniq -d | c++filt)
[ -z "$twice" ] || { echo "in several files: $twice" >&2; exit 1; }
