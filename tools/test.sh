#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#   tools/test.sh [--cc gcc|clang] [--sanitize] [--build DIR] [ctest arguments...]
set -eu
cd "$(dirname "$0")/.."
cc=gcc
sanitize=OFF
build=""
while [ $# -gt 0 ]; do
  case "$1" in
    --cc) cc=$2; shift 2 ;;
    --sanitize) sanitize=ON; shift ;;
    --build) build=$2; shift 2 ;;
    *) break ;;
  esac
done
[ "$cc" = clang ] && tools/deps.sh clang || tools/deps.sh
[ -n "$build" ] || build=build/test-$cc$([ $sanitize = ON ] && echo -sanitize || true)
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
cmake -G Ninja -S . -B "$build" -DCMAKE_C_COMPILER="$cc" -DXLM_SANITIZE=$sanitize -DXLM_CHECKED=ON "${launcher[@]}" >/dev/null
ninja -C "$build" | tail -n 3
ctest --test-dir "$build" --output-on-failure --timeout 600 "$@"
