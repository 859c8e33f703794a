#!/usr/bin/env bash
# Checks and measures xlm on an NVIDIA GPU.
#
#   tools/gpu_check.sh prepare [DIR]   where the CUDA toolkit is; needs no GPU: builds what the other machine needs
#                                      into DIR (default build/gpu): programs, libraries, models, the CPU's loss curve;
#                                      for the cards of $ARCHS (default 90a-real: H100, H200)
#   DIR/gpu_check.sh [PHASE...]        where the GPU is; needs a driver and bash. Phases, in this order by default:
#     probe      the GPU, driver and libraries that are found
#     ops        every op case against the float64 reference, repeated with equal bits
#     sanitize   compute-sanitizer over op cases: memcheck, racecheck, initcheck, synccheck
#     train      loss curve against the CPU's; equal bits again, and as graphs or one by one; results checked for NaN
#     layouts    two and four ranks on this GPU against one
#     bench      cluster.yaml, this GPU as `xlmc plan --cluster` takes it; tokens/s of the models in gpu_rows.txt
#     torch      the same models in PyTorch, eager and compiled (python3 with torch)
#
# Results go to $OUT (default DIR/out): report.txt, and a log per step. Exit code 1: something failed. $FLAGS: more flags
# for all short runs of `train` and `layouts`, for trials.
set -u

here=$(cd "$(dirname "$0")" && pwd)

# ---- where the toolkit is

# The shared libraries of a program that a bare machine may lack.
libraries() {
  ldd "$1" | awk '/=> \// { print $3 }' | grep -E 'lib(jansson|yaml|xxhash|z|zstd|cmocka)' || true
}

prepare() {
  local source dir build
  source=$(cd "$here/.." && pwd) dir=${1:-$here/../build/gpu}
  mkdir -p "$dir/bin" "$dir/lib" "$dir/models" || return 1
  dir=$(cd "$dir" && pwd) build=$dir/../gpu-build
  cmake -G Ninja -S "$source" -B "$build" -DXLM_CUDA=ON -DXLM_CUDA_ARCHS="${ARCHS:-90a-real}" -DXLM_CHECKED=OFF \
    -DCMAKE_CUDA_FLAGS='-Xfatbin -compress-all' -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON >"$dir/cmake.log" || { tail "$dir/cmake.log"; return 1; }
  ninja -C "$build" xlmrun gpu_ops gpu_cluster >"$dir/build.log" || { grep -A 20 -m 1 FAILED "$dir/build.log"; return 1; }
  install -s "$build/xlmrun" "$dir/bin/xlmrun" && install -s "$build/tests/gpu_ops" "$dir/bin/gpu_ops" &&
    install -s "$build/tests/gpu_cluster" "$dir/bin/gpu_cluster" || return 1
  for library in $(libraries "$dir/bin/gpu_ops") $(libraries "$dir/bin/xlmrun"); do cp "$library" "$dir/lib/"; done
  cp -r "$source"/models/. "$dir/models/"
  cp "$source/tools/gpu_check.sh" "$source/tools/bench/gpu_rows.txt" "$source/tools/bench/torch_train.py" "$dir/"
  cat "$source"/docs/*.md >"$dir/corpus.txt"
  rm -rf "$dir/cpu"
  (cd "$dir" && train cpu --device cpu) >"$dir/cpu.log" 2>&1 || { tail "$dir/cpu.log"; return 1; }
  rm -r "$dir"/cpu/step-* # the curve is enough
  du -sh "$dir" | sed 's/\t.*/ to carry: /' | tr -d '\n'
  echo "$dir"
}

# ---- where the GPU is

# A short run of nano in folder OUT of the current one. train OUT FLAGS...
train() {
  local out=$1
  shift
  "${dir:-$here}/bin/xlmrun" train "${dir:-$here}/models/gpt2.xlm" --preset nano --data "${dir:-$here}/corpus.txt" \
    --global-batch-size 16 --micro-batch-size 4 --seq-length 128 --max-steps 40 --learning-rate 1e-3 --seed 3 \
    --eval-interval 0 --log-interval 1 --output-dir "$out" "$@" ${FLAGS:-}
}

losses() { sed -n 's/.*"loss": \([^,}]*\).*/\1/p' "$1/metrics.jsonl"; }

# differ A B LIMIT: the largest relative difference of two loss curves; fails above LIMIT.
differ() {
  paste <(losses "$1") <(losses "$2") | awk -v limit="$3" '
    NF != 2 { bad = 1 }
    { d = ($1 > $2 ? $1 - $2 : $2 - $1) / ($1 > 0 ? $1 : 1); if (d > most) most = d }
    END { printf "%d steps, largest relative difference %.2e (limit %s)\n", NR, most, limit; exit bad || !NR || most > limit }'
}

say() { printf '%s\n' "$*" | tee -a "$out/report.txt"; }

# step NAME SECONDS COMMAND...: PASS or FAIL with the last line of its output.
step() {
  local name=$1 limit=$2 code begin=$SECONDS
  shift 2
  timeout "$limit" bash -c 'source "$0" as-library; out=$1; shift; "$@"' "$here/gpu_check.sh" "$out" "$@" >"$out/$name.log" 2>&1
  code=$?
  [ $code = 124 ] && echo "not finished after $limit s" >>"$out/$name.log"
  if [ $code = 0 ]; then say "PASS $name ($((SECONDS - begin)) s): $(tail -n 1 "$out/$name.log")"; return; fi
  failed=$((failed + 1))
  say "FAIL $name ($((SECONDS - begin)) s, exit code $code): $(tail -n 3 "$out/$name.log" | tr '\n' ' ')"
}

run_ops() {
  "$here/bin/gpu_ops" "$@" >"$out/ops.all" 2>&1
  local code=$?
  grep -vE '^\[ +(RUN|OK) +\]' "$out/ops.all" | head -200
  grep -cE '^\[ +OK +\]' "$out/ops.all" | sed 's/$/ cases passed/'
  return $code
}

run_sanitizer() { # TOOL CASE...
  local tool=$1 code=0 name
  shift
  for name in "$@"; do
    compute-sanitizer --tool "$tool" --error-exitcode 9 "$here/bin/gpu_ops" "$name" >"$out/$tool.$name.log" 2>&1 || {
      code=1
      grep -E '=========' "$out/$tool.$name.log" | head -20
      echo "$tool: $name"
    }
  done
  [ $code = 0 ] && echo "nothing found in: $*"
  return $code
}

compared() { # NAME REFERENCE LIMIT FLAGS...
  local name=$1 reference=$2 limit=$3
  shift 3
  rm -rf "$out/$name.run"
  train "$out/$name.run" "$@" && differ "$reference" "$out/$name.run" "$limit"
}

same_bits() { # A B
  cmp <(losses "$out/$1.run") <(losses "$out/$2.run") && echo "the same $(losses "$out/$1.run" | wc -l) losses, bit by bit"
}

tokens_per_second() { sed -n 's/^\([0-9.,]*\) tokens\/s.*/\1/p' "$1" | tr -d ,; }

run_bench() { # NAME FLAGS...
  local name=$1 peak=()
  shift
  [ ! -f "$out/cluster.yaml" ] || peak=(--cluster "$out/cluster.yaml")
  (cd "$here/models" && "$here/bin/xlmrun" bench "$@" --dtype bf16 --recompute none --device cuda --steps 20 "${peak[@]}") >"$out/$name.bench" 2>&1
  local code=$?
  cat "$out/$name.bench"
  grep -m 1 'tokens/s' "$out/$name.bench"
  return $code
}

run_torch() { # NAME MODE FLAGS...
  local name=$1 mode=$2
  shift 2
  python3 "$here/torch_train.py" "$@" $([ "$mode" = compile ] && echo --compile) 2>"$out/$name.torch-$mode.err" | tee "$out/$name.torch-$mode"
  [ "${PIPESTATUS[0]}" = 0 ] || { tail -n 3 "$out/$name.torch-$mode.err"; return 1; }
}

# $SIZES: of products, for trials.
run_cluster() {
  "$here/bin/gpu_cluster" "$here/models" ${SIZES:-} >"$out/cluster.part" && mv "$out/cluster.part" "$out/cluster.yaml" || return 1
  cat "$out/cluster.yaml"
  echo "cluster.yaml: $(sed -n 's/^  \(flops_bf16\|gemm_small\|attention\|memory_bandwidth\|launch\): \([^ ]*\).*/\1 \2/p' "$out/cluster.yaml" | paste -sd ,)"
}

# rows FUNCTION COLUMN: calls FUNCTION NAME WORDS... for every row.
rows() {
  local name words
  while IFS='|' read -r name xlm torch; do
    case $name in '#'* | '') continue ;; esac
    if [ "$2" = xlm ]; then words=$xlm; else words=$torch; fi
    "$1" $name $words
  done <"$here/gpu_rows.txt"
}

probe() {
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || return 1
  for name in cublasLt nvrtc nccl cudnn; do
    echo "lib$name: $(find ${LD_LIBRARY_PATH//:/ } -maxdepth 1 -name "lib$name.so*" 2>/dev/null | head -n 1)"
  done
  "$here/bin/xlmrun" bench "$here/models/gpt2.xlm" --preset nano --device cuda --steps 3 | grep 'tokens/s'
}

# The libraries that come with PyTorch, where the toolkit's are not installed.
find_libraries() {
  local found
  found=$(python3 -c 'import site, glob, os
for s in site.getsitepackages():
  print("\n".join(sorted({os.path.dirname(f) for f in glob.glob(s + "/nvidia/**/lib*.so*", recursive=True)})))' 2>/dev/null | tr '\n' ':')
  export LD_LIBRARY_PATH=$here/lib:$found${LD_LIBRARY_PATH:-/usr/local/cuda/lib64}
}

bench_row() { step "$1.bench" 120 run_bench "$@"; }
torch_row() {
  local name=$1 mode ours theirs
  shift
  for mode in eager compile; do
    step "$name.torch-$mode" 240 run_torch "$name" $mode "$@"
    ours=$(tokens_per_second "$out/$name.bench") theirs=$(tokens_per_second "$out/$name.torch-$mode")
    [ -n "$ours" ] && [ -n "$theirs" ] && say "RATIO $name: $(awk -v x="$ours" -v y="$theirs" 'BEGIN { printf "%.3f", x / y }') of torch $mode"
  done
}

phase() {
  case $1 in
    probe) step probe 60 probe ;;
    ops) step ops 300 run_ops ;;
    sanitize)
      command -v compute-sanitizer >/dev/null || { say "SKIP sanitize: no compute-sanitizer"; return; }
      for tool in memcheck racecheck initcheck synccheck; do
        step "$tool" 200 run_sanitizer $tool attend. attend_bwd. contract. sum. softmax. cross_entropy. lookup. dispatch. rmsnorm.
      done ;;
    train)
      step curve 60 compared curve "$here/cpu" 1e-3 --device cuda
      step again 60 compared again "$here/cpu" 1e-3 --device cuda
      step eager 60 compared eager "$here/cpu" 1e-3 --device cuda-eager
      step again.bits 10 same_bits curve again
      step eager.bits 10 same_bits curve eager
      step checked 90 compared checked "$here/cpu" 1e-3 --device cuda-checked
      step bf16 60 compared bf16 "$here/cpu" 2e-2 --device cuda --dtype bf16 ;;
    layouts)
      step dp2 90 compared dp2 "$here/cpu" 1e-3 --device cuda-eager --dp 2
      step tp2 90 compared tp2 "$here/cpu" 1e-3 --device cuda-eager --tp 2
      step pp2 90 compared pp2 "$here/cpu" 1e-3 --device cuda-eager --pp 2
      step cp2 90 compared cp2 "$here/cpu" 1e-3 --device cuda-eager --cp 2
      step zero3 90 compared zero3 "$here/cpu" 1e-3 --device cuda-eager --dp 2 --tp 2 --zero 3 ;;
    cluster) step cluster 120 run_cluster ;;
    bench)
      phase cluster
      rows bench_row xlm ;;
    torch) rows torch_row torch ;;
    *) echo "gpu_check.sh: no phase '$1': probe, ops, sanitize, train, layouts, cluster, bench, torch" >&2; exit 1 ;;
  esac
}

[ "${1:-}" = as-library ] && { find_libraries; return 0; }
if [ "${1:-}" = prepare ]; then
  shift
  prepare "$@"
  exit
fi
[ -x "$here/bin/xlmrun" ] || { echo "gpu_check.sh: no programs beside this script: run tools/gpu_check.sh prepare, then the copy in build/gpu" >&2; exit 1; }
out=${OUT:-$here/out} failed=0
mkdir -p "$out" && out=$(cd "$out" && pwd) && find_libraries
say "gpu_check.sh $(date -u +%Y-%m-%d) $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
[ $# -gt 0 ] || set -- probe ops sanitize train layouts bench torch
for one in "$@"; do phase "$one"; done
say "$([ $failed = 0 ] && echo 'all passed' || echo "$failed failed")"
[ $failed = 0 ]
