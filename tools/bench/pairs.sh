#!/usr/bin/env bash
# Compares two builds: runs `xlmrun bench` of each alternately and prints tokens/s of every run and the ratio
# of each pair. The ratios are meaningful even if the machine's speed drifts; quote the median of the pairs.
#
#   tools/bench/pairs.sh BUILD_A BUILD_B [PAIRS] -- MODEL [xlmrun bench flags...]
#
# Example: tools/bench/pairs.sh build-before build-after 7 -- models/llama.xlm --preset nano --threads 2 --steps 10
set -eu
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 1; }
[ $# -ge 4 ] || usage
a=$1 b=$2 pairs=5
shift 2
if [ "$1" != -- ]; then pairs=$1; shift; fi
[ "$1" = -- ] || usage
shift
for x in "$a" "$b"; do [ -x "$x/xlmrun" ] || { echo "pairs.sh: no xlmrun in $x" >&2; exit 1; }; done

speed() { "$1/xlmrun" bench "${@:2}" --profile=false | sed -n 's/^\([0-9.,]*\) tokens\/s.*/\1/p' | tr -d ,; }

grep -m 1 'model name' /proc/cpuinfo | sed 's/.*: /CPU: /'
ratios=()
for i in $(seq "$pairs"); do
  x=$(speed "$a" "$@") y=$(speed "$b" "$@")
  [ -n "$x" ] && [ -n "$y" ] || { echo "pairs.sh: no figure from xlmrun bench" >&2; exit 1; }
  ratios+=("$(awk -v x="$x" -v y="$y" 'BEGIN { printf "%.4f", y / x }')")
  printf 'pair %d: A %s tokens/s, B %s tokens/s, B/A %s\n' "$i" "$x" "$y" "${ratios[-1]}"
done
printf '%s\n' "${ratios[@]}" | sort -n | awk '{ r[NR] = $1 } END {
  m = NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2
  printf "B/A: median %.4f, %.4f to %.4f over %d pairs\n", m, r[1], r[NR], NR }'
