#!/usr/bin/env bash
# Every kernel file compiles for a GPU, one architecture after the other, with warnings as errors; XLM_EXHAUSTIVE=1: for
# each of them. Skipped without a CUDA toolkit.
set -eu
command -v nvcc >/dev/null || { echo "no nvcc"; exit 77; }
grep -qE 'XLM_SANITIZE(_THREAD)?:BOOL=ON' "$2/CMakeCache.txt" && { echo "done by the build without sanitizers"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$1"
archs=(80 90a)
nvcc --list-gpu-arch | grep -q compute_100 && archs+=(100)
# Without optimization: that takes a tenth of the time, and warnings do not depend on it.
export flags="-std=c++17 -O0 -Xcicc -O0 -Xptxas -O0 -Werror all-warnings \
-Xcompiler -Wall,-Wextra,-Wno-unused-function,-Wno-missing-field-initializers -I."
compile() { # ARCHITECTURES FILE OUT
  local arch for=''
  for arch in ${1//,/ }; do for+=" -gencode=arch=compute_$arch,code=sm_$arch"; done
  # shellcheck disable=SC2086
  nvcc $flags $for -c "$2" -o "$3/$(basename "$2").o" || { echo "$2 does not compile" >&2; return 255; }
}
export -f compile
number=0
for file in ops/cuda/*.cu tests/emulate/*.cu; do
  chosen=${archs[number++ % ${#archs[@]}]}
  [ -z "${XLM_EXHAUSTIVE:-}" ] || chosen=$(IFS=,; echo "${archs[*]}")
  echo "$chosen $file"
done | xargs -P "$(nproc)" -L 1 bash -c 'compile "$1" "$2" "$0"' "$out"
twice=$(for o in "$out"/*.o; do nm "$o" | awk '$2 ~ /^[TVW]$/ { print $3 }' | sort -u; done | grep -vE '^(_ZN?K?St|_Zn|_Zd|_ZN4dim3|__|DW\.)' | sort | uniq -d | c++filt)
[ -z "$twice" ] || { echo "in several files: $twice" >&2; exit 1; }
