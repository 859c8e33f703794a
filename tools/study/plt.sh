#!/usr/bin/env bash
# The study of docs/plt.md: validation losses of the Parallel Loop Transformer with one, two and three loops, of loops
# that wait for one another, and without each of its parts; at equal tokens, with several seeds.
#   plt.sh BUILD TEXT DIR [train|eval|table]
# BUILD has xlmrun, TEXT is a text file, DIR receives a folder per run. What is in DIR is not computed again, so the
# script can be stopped and started again, and rows or seeds be added. STEPS (400), SEEDS ("1 2 3"), THREADS (1) and
# ROWS (names of rows; all) come from the environment. Without the last word: everything, then the table.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
run=$(cd "$1" && pwd)/xlmrun text=$2 dir=$3 what=${4:-all}
steps=${STEPS:-400} seeds=${SEEDS:-1 2 3}

# name, settings of the model, what it is
rows='one        loops=1                                R = 1
two        loops=2                                R = 2
three      loops=3                                R = 3
sequential loops=2 shifted=false sharing=false    two sequential loops
deep       loops=1 layers=6                       R = 1, twice the layers
unshifted  loops=2 shifted=false                  R = 2 without the shift
unshared   loops=2 sharing=false                  R = 2 without the shared cache
unwindowed loops=2 local=false                    R = 2 without the window
query      loops=2 gate_hidden=false              R = 2, gate of the query
norms      loops=2 every_norm=true                R = 2, a norm after every loop'

size=(--preset nano --hidden-size 48 --set layers=3 --set heads=4 --set ffn=128 --seq-length 64 --set window=16)
order=(--batch-size 8 --global-batch-size 8 --max-steps "$steps" --learning-rate 3e-3 --min-lr 3e-4 --log-interval 50 --eval-interval "$steps")

wanted() { [ -z "${ROWS:-}" ] || [[ " $ROWS " == *" $1 "* ]]; }

# A run is complete when its folder has the file `loss`.
train() { # NAME SEED SETTING..
  local at=$dir/$1-$2 seed=$2 sets=() s
  shift 2
  [ ! -e "$at/loss" ] || return 0
  for s in "$@"; do sets+=(--set "$s"); done
  mkdir -p "$at"
  "$run" train "$here/models/plt.xlm" "${size[@]}" "${sets[@]}" "${order[@]}" --data "$text" --seed "$seed" \
    --threads "${THREADS:-1}" --overwrite --output-dir "$at" > "$at/log.txt" 2>&1 || { tail -n 5 "$at/log.txt" >&2; exit 1; }
  last "$at" val_loss > "$at/part"
  mv "$at/part" "$at/loss"
}

# The models of two and of three loops, read with other numbers of loops: all held-out text.
evaluate() {
  local name seed loops at
  for name in two three; do
    for seed in $seeds; do
      for loops in 1 2 3 4; do
        at=$dir/$name-$seed
        if [ ! -e "$at/loss" ] || [ -e "$at/loss-$loops" ]; then continue; fi
        "$run" eval "$at" --set loops="$loops" --threads "${THREADS:-1}" 2>> "$at/log.txt" | sed -n 's/^loss \([0-9.]*\).*/\1/p' > "$at/part"
        mv "$at/part" "$at/loss-$loops"
      done
    done
  done
}

last() { sed -nE "s/.*\"$2\": ([0-9.e+-]+).*/\1/p" "$1/metrics.jsonl" | tail -n 1; }                    # RUN FIELD
gates() { tail -n 1 "$1/metrics.jsonl" | grep -oE 'gate": [0-9.]+' | awk '{s += $2; n++} END {if (n) print s / n}'; } # RUN

# mean and standard deviation of the numbers on stdin, one a line
spread() { awk 'NF {s += $1; q += $1 * $1; n++} END {if (!n) print "-"; else if (n < 2) printf "%.4f", s; else {
  m = s / n; v = (q - s * m) / (n - 1); printf "%.4f +- %.4f", m, (v > 0 ? sqrt(v) : 0)}}'; }

over_seeds() { # NAME COMMAND..: mean and deviation of its output for the complete runs
  local name=$1 seed
  shift
  for seed in $seeds; do [ ! -e "$dir/$name-$seed/loss" ] || "$@" "$dir/$name-$seed"; done | spread
}

table() {
  local name sets text loops
  printf '| | runs | validation loss | against R = 1, same seed | mean gate | offset |\n|---|---|---|---|---|---|\n'
  while read -r name sets; do
    text=$(sed -E 's/^([a-z_]+=[^ ]+ +)+//' <<< "$sets")
    printf '| %s | %s | %s | %s | %s | %s |\n' "$text" "$(ls -d "$dir/$name"-*/loss 2> /dev/null | wc -l)" "$(over_seeds "$name" loss_of)" \
      "$(over_seeds "$name" against_one)" "$(over_seeds "$name" gates)" "$(over_seeds "$name" offset_of)"
  done <<< "$rows"
  printf '\n| read with | trained with R = 2 | trained with R = 3 |\n|---|---|---|\n'
  for loops in 1 2 3 4; do
    printf '| R = %s | %s | %s |\n' "$loops" "$(over_seeds two loss_with "$loops")" "$(over_seeds three loss_with "$loops")"
  done
}
loss_of() { cat "$1/loss"; }
loss_with() { cat "$2/loss-$1" 2> /dev/null || true; } # LOOPS RUN
against_one() { # the difference to the model of one loop with the same seed, and so with the same order of the data
  local one=$dir/one-${1##*-}/loss
  [ ! -e "$one" ] || [ "$1" = "${one%/loss}" ] || paste "$1/loss" "$one" | awk '{print $1 - $2}'
}
offset_of() { last "$1" offset; }

mkdir -p "$dir"
if [ "$what" = all ] || [ "$what" = train ]; then
  for seed in $seeds; do # a seed of every row before the next one
    while read -r name sets; do
      ! wanted "$name" || train "$name" "$seed" $(grep -oE '[a-z_]+=[^ ]+' <<< "$sets") < /dev/null
    done <<< "$rows"
  done
fi
[ "$what" = table ] || [ "$what" = train ] || evaluate
table
