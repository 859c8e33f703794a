#!/usr/bin/env bash
# The speed of decoding on this CPU: tokens/s of `xlmrun generate`, the bytes/s of weights that this is, a plain read of as
# many bytes by the same threads (bench_rows), llama.cpp on the same weights, eight sequences at once, and the Parallel
# Loop Transformer with one loop, two, and two that wait for one another. Weights are random. Each round runs everything once,
# what is compared one after the other, so that a drift of the machine's speed meets all alike; the tables have
# medians over the rounds, of ratios those of the same round. Five minutes on two cores.
#
#   tools/bench/decode.sh BUILD [--rounds N] [--threads N] [--tokens N] [--python PYTHON] [--large] [--dir DIR]
#
# BUILD has xlmrun, xlmc and bench_rows (ninja xlmrun xlmc bench_rows). PYTHON has llama_cpp (pip install
# llama-cpp-python); without it there is no such column. --large adds a Llama of 1.2 B parameters, which takes
# 8 GiB of memory, 14 GB of disk and ten minutes. --dir DIR keeps the weights there, for the next time.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
models=$(realpath --relative-to=. "$here/../../models")
usage() { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 1; }
[ $# -ge 1 ] && [ -x "$1/xlmrun" ] || usage
build=$1 rounds=5 threads=2 tokens=48 python=python3 large='' dir=''
shift
while [ $# -gt 0 ]; do
  case $1 in
  --large) large=yes; shift; continue ;;
  esac
  [ $# -gt 1 ] || usage
  case $1 in
  --rounds) rounds=$2 ;;
  --threads) threads=$2 ;;
  --tokens) tokens=$2 ;;
  --python) python=$2 ;;
  --dir) dir=$2 ;;
  *) usage ;;
  esac
  shift 2
done
rows=$build/tools/bench_rows
[ -x "$rows" ] || { echo "decode.sh: no $rows: ninja -C $build bench_rows" >&2; exit 1; }
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
: "${dir:=$log}"
mkdir -p "$dir"
peer=
if "$python" -c 'import llama_cpp' 2>/dev/null; then peer=yes; else echo "decode.sh: $python has no llama_cpp" >&2; fi

quietly() { "$@" >"$log/out" 2>&1 || { cat "$log/out" >&2; exit 1; }; }

# make NAME MODEL FLAGS..: a checkpoint of random weights, DIR/NAME, after one step with a learning rate of nothing
make() {
  local at=$dir/$1
  [ -d "$at" ] || quietly "$build/xlmrun" train "$models/$2" "${@:3}" --seq-length 512 --data synthetic --num-train-samples 2 --optimizer sgd \
    --micro-batch-size 1 --global-batch-size 1 --max-steps 1 --eval-interval 0 --threads "$threads" --output-dir "$at"
  rm -f "$at"/*.svg
}
# gguf NAME TYPE: DIR/NAME-TYPE.gguf
gguf() { [ -f "$dir/$1-$2.gguf" ] || quietly "$build/xlmrun" export "$dir/$1" --format gguf --type "$2" --output "$dir/$1-$2.gguf"; }

# ours NAME SEQUENCES FLAGS..: tokens/s
ours() {
  local name=$1 prompts=() i
  for i in $(seq "$2"); do prompts+=(--prompt "$i 6 7 8"); done
  "$build/xlmrun" generate "$dir/$name" "${@:3}" --seq-length 512 --threads "$threads" --slots "$2" "${prompts[@]}" --max-tokens "$tokens" \
    --temperature 0 --format json 2>/dev/null | sed -n 's/.*"decode_tokens_per_s": \([0-9.e+-]*\).*/\1/p'
}
theirs() { "$python" "$here/llama_decode.py" "$dir/$1-$2.gguf" "$threads" "$tokens" 2>/dev/null | sed 's/ tokens.*//'; }
plain() { "$rows" "$threads" read "$1" | sed 's/ GB.*//'; } # MIB: GB/s

# mib MODEL FLAGS..: what the products of a token read
mib() {
  "$build/xlmc" plan "$models/$1" "${@:2}" --seq-length 512 --program decode --micro-batch-size 1 |
    sed -n 's/^ *contract.* \([0-9.]*\) \([KMG]\)iB .*/\1 \2/p' |
    awk '{ n += $1 * ($2 == "K" ? 1 / 1024 : $2 == "G" ? 1024 : 1) } END { printf "%d", n }'
}
# caches MODEL FLAGS..: bytes per sequence and per token
caches() { "$build/xlmc" plan "$models/$1" "${@:2}" --seq-length 512 --program decode --micro-batch-size 1 | sed -n 's/^caches  //p' | head -n 1; }

note() { printf '%s\n' "$3" >>"$log/$1.$2"; } # ROW COLUMN NUMBER
median() { # ROW COLUMN FORMAT
  [ -s "$log/$1.$2" ] || { printf '%s' -; return; }
  sort -n "$log/$1.$2" | awk -v f="$3" '{ r[NR] = $1 } END { printf f, NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2 }'
}
over() { awk -v x="$1" -v y="$2" 'BEGIN { if (y <= 0) exit 1; printf "%.4f", x / y }'; }

# one NAME MODEL DTYPE FLAGS..: a round of a model; FLAGS as of its plan
one() {
  local row=$1-$3 size one many read after theirs=
  size=$(mib "$2" "${@:4}" --dtype "$3")
  read=$(plain "$size") one=$(ours "$1" 1 --dtype "$3") after=$(plain "$size")
  [ -n "$one" ] || { echo "decode.sh: no figure from xlmrun generate" >&2; exit 1; }
  note "$row" mib "$size"
  note "$row" one "$one"
  note "$row" gbs "$(over "$(awk -v s="$size" -v t="$one" 'BEGIN { print s * t * 1048576 }')" 1e9)"
  note "$row" read "$(over "$(awk -v a="$read" -v b="$after" 'BEGIN { print a + b }')" 2)"
  note "$row" share "$(over "$(tail -n 1 "$log/$row.gbs")" "$(tail -n 1 "$log/$row.read")")"
  if [ -n "$peer" ]; then
    theirs=$(theirs "$1" "$3")
    [ -z "$theirs" ] || { note "$row" llama "$theirs"; note "$row" against "$(over "$one" "$theirs")"; }
  fi
  many=$(ours "$1" 8 --dtype "$3")
  note "$row" many "$many"
  note "$row" gain "$(over "$many" "$one")"
}
# loops DTYPE: R = 1, R = 2, two that wait
loops() {
  local one two wait
  one=$(ours plt 1 --dtype "$1" --set loops=1)
  two=$(ours plt 1 --dtype "$1")
  wait=$(ours plt 1 --dtype "$1" --set shifted=false --set sharing=false)
  note "plt-$1" one "$one"
  note "plt-$1" two "$two"
  note "plt-$1" wait "$wait"
  note "plt-$1" time "$(over "$one" "$two")"
  note "plt-$1" faster "$(over "$two" "$wait")"
}

make gpt2 gpt2.xlm --preset small
make plt plt.xlm --preset small
[ -z "$large" ] || make llama llama.xlm --preset l32_1b --lora 'match=layers.0.attention.wq rank=1 alpha=1'
for name in gpt2 ${large:+llama}; do
  for type in f32 bf16; do [ -z "$peer" ] || gguf "$name" "$type"; done
done
for round in $(seq "$rounds"); do
  for type in f32 bf16; do
    one gpt2 gpt2.xlm "$type" --preset small
    [ -z "$large" ] || one llama llama.xlm "$type" --preset l32_1b
    loops "$type"
  done
  [ ! -t 2 ] || printf '\rround %d/%d' "$round" "$rounds" >&2
done
[ ! -t 2 ] || printf '\r\033[K' >&2

grep -m 1 'model name' /proc/cpuinfo | sed "s/.*: /CPU: /; s/\$/, $threads threads, $rounds rounds, $tokens tokens/"
printf 'multiply-adds in registers: one thread %s, %d threads %s\n' "$("$rows" 1 peak)" "$threads" "$("$rows" "$threads" peak)"
[ -z "$peer" ] || "$python" -c 'import llama_cpp; print("llama-cpp-python", llama_cpp.__version__)'
printf '\n%-12s %9s %9s %9s %9s %8s %10s %8s %9s %7s\n' weights MiB tokens/s GB/s 'read GB/s' 'of read' llama.cpp ratio '8 texts' gain
for name in gpt2 ${large:+llama}; do
  for type in f32 bf16; do
    row=$name-$type
    printf '%-12s %9s %9s %9s %9s %8s %10s %8s %9s %7s\n' "$name $type" "$(median "$row" mib %d)" "$(median "$row" one %.2f)" \
      "$(median "$row" gbs %.2f)" "$(median "$row" read %.2f)" "$(median "$row" share %.2f)" "$(median "$row" llama %.2f)" \
      "$(median "$row" against %.2f)" "$(median "$row" many %.2f)" "$(median "$row" gain %.2f)"
  done
done
printf '\n%-12s %9s %9s %11s %16s %14s\n' loops 'R = 1' 'R = 2' sequential 'time R=2 / R=1' 'R=2 / seq.'
for type in f32 bf16; do
  printf '%-12s %9s %9s %11s %16s %14s\n' "plt $type" "$(median "plt-$type" one %.2f)" "$(median "plt-$type" two %.2f)" "$(median "plt-$type" wait %.2f)" \
    "$(median "plt-$type" time %.2f)" "$(median "plt-$type" faster %.2f)"
done
printf '\ncaches of a text of 512 tokens\n'
printf '  R = 1       %s\n' "$(caches plt.xlm --preset small --set loops=1)"
printf '  R = 2       %s\n' "$(caches plt.xlm --preset small)"
printf '  sequential  %s\n' "$(caches plt.xlm --preset small --set shifted=false --set sharing=false)"
