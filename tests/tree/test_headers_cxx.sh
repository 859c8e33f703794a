#!/usr/bin/env bash
# Public headers of the folders that .cu files include are also valid C++, each by itself, and their functions
# have C linkage.
set -u
source_dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source_dir" || exit 1
failed=0 tried=0

headers=$(ls runtime/{base,plan,device,exec,comm}/*.h | grep -v '_priv\.h$')
for h in $headers; do
  echo "#include \"$h\""
  [ "$h" = runtime/base/cxx.h ] || grep -q '^XLM_C_BEGIN$' "$h" || { echo "$h lacks XLM_C_BEGIN and XLM_C_END" >&2; failed=1; }
done >"$work/all.cu"
cp "$work/all.cu" "$work/all.cc"
# A call of a function of each folder, to check the name of its symbol.
cat >>"$work/all.cc" <<'EOF2'
void *const names[] = {(void *)xlm_fail, (void *)xlm_mesh_ranks, (void *)xlm_device_find, (void *)xlm_exec_open, (void *)xlm_comm_local};
void *const *use() { return names; }
EOF2

for cxx in g++ clang++; do
  command -v $cxx >/dev/null || continue
  tried=1
  for h in $headers; do
    echo "#include \"$h\"" >"$work/one.cc"
    $cxx -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I. "$work/one.cc" || failed=1
  done
  $cxx -std=c++17 -c -I. -o "$work/all.o" "$work/all.cc" || failed=1
  for name in xlm_fail xlm_mesh_ranks xlm_device_find xlm_exec_open xlm_comm_local; do
    nm -u "$work/all.o" | grep -qw "$name" || { echo "$cxx looks for $name under another name"; failed=1; }
  done
done
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null)
if [ -n "$nvcc" ]; then
  tried=1
  "$nvcc" -std=c++17 -Werror all-warnings -I. -c -o "$work/all.cu.o" "$work/all.cu" || failed=1
fi
[ $tried = 1 ] || exit 77
exit $failed
