#!/usr/bin/env bash
# Installs missing packages, builds, and runs all tests.
#   tools/test.sh [--cc gcc|clang] [--sanitize | --sanitize-thread] [--build DIR] [ctest arguments...]
# --sanitize: address and undefined behaviour; --sanitize-thread: data races, in the tests of ranks and threads only.
set -euo pipefail
cd "$(dirname "$0")/.."
cc=gcc
sanitize=OFF
thread=OFF
build=""
while [ $# -gt 0 ]; do
  case "$1" in
    --cc) cc=$2; shift 2 ;;
    --sanitize) sanitize=ON; shift ;;
    --sanitize-thread) thread=ON; shift ;;
    --build) build=$2; shift 2 ;;
    *) break ;;
  esac
done
packages=(libopenmpi-dev openmpi-bin libdnnl-dev g++ nodejs valgrind neovim) # optional for users: plans under mpirun, a benchmark, GPU
                                                                        # kernels on the CPU, what pages draw, instructions of planning,
                                                                        # the language server in an editor
if [ "$cc" = clang ]; then packages+=(clang); fi
tools/deps.sh "${packages[@]}"
if [ -z "$build" ]; then
  build=build/test-$cc
  if [ $sanitize = ON ]; then build=$build-sanitize; fi
  if [ $thread = ON ]; then build=$build-thread; fi
fi
# Tests with several threads; others have nothing to find here.
threaded=(test_pool test_any_plan test_comm test_collectives test_overlap test_context_parallel test_comm_fault test_train)
targets=()
if [ $thread = ON ]; then
  targets=("${threaded[@]}")
  set -- -R "^($(IFS='|'; echo "${threaded[*]}"))\$" "$@"
fi
# With sanitizers, scripts of many whole runs are for the nightly switch.
if [ $sanitize = ON ] && [ -z "${XLM_EXHAUSTIVE:-}" ]; then set -- -LE whole_runs "$@"; fi
launcher=()
if command -v ccache >/dev/null; then launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache); fi
cmake -G Ninja -S . -B "$build" -DCMAKE_C_COMPILER="$cc" -DXLM_SANITIZE=$sanitize -DXLM_SANITIZE_THREAD=$thread -DXLM_CHECKED=ON "${launcher[@]}" >/dev/null
ninja -C "$build" "${targets[@]}" >"$build/build.log" || { grep -A 20 -m 1 FAILED "$build/build.log" >&2; exit 1; }
ctest --test-dir "$build" --output-on-failure --timeout 900 -j 2 "$@"
