#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test.
#   tools/test.sh [--cc gcc|clang] [--sanitize] [--build DIR] [ctest arguments...]
set -euo pipefail
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
packages=(libopenmpi-dev openmpi-bin) # optional for users; the tests run plans under mpirun too
if [ "$cc" = clang ]; then packages+=(clang); fi
tools/deps.sh "${packages[@]}"
if [ -z "$build" ]; then
  build=build/test-$cc
  if [ $sanitize = ON ]; then build=$build-sanitize; fi
fi
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache); fi
cmake -G Ninja -S . -B "$build" -DCMAKE_C_COMPILER="$cc" -DXLM_SANITIZE=$sanitize -DXLM_CHECKED=ON "${launcher[@]}" >/dev/null
ninja -C "$build" >"$build/build.log" || { grep -A 20 -m 1 FAILED "$build/build.log" >&2; exit 1; }
ctest --test-dir "$build" --output-on-failure --timeout 900 -j 2 "$@"
