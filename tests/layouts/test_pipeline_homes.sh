#!/usr/bin/env bash
# Parameters whose gradients are computed on another stage than the one that owns them: every cut trains to
# the same bits.
#   test_pipeline_homes.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) xlmrun=$(cd "$2" && pwd)/xlmrun
export LC_ALL=C NO_COLOR=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
golden=$source_dir/tests/golden/layouts/two_repeats.golden
sed -n '/^--- input/,/^--- file/{/^---/!p}' "$golden" > two.xlm
sed -n '/^--- file late/,/^--- expect/{/^---/!p}' "$golden" > late.xlm
cat "$source_dir"/docs/*.md > corpus.txt
failed=0

train() { # NAME ARGUMENTS...: the losses of four steps
  local name=$1
  shift
  "$xlmrun" train "$@" --data corpus.txt --micro-batch-size 2 --global-batch-size 8 --max-steps 4 --log-interval 1 --threads 1 \
    --learning-rate 0.05 --output-dir "$name" --overwrite > "$name.log" 2>&1 || { echo "FAILED: $*"; tail -n 3 "$name.log"; failed=1; }
  grep -o '"loss": *[0-9.e+-]*' "$name/metrics.jsonl" > "$name.loss"
}

same() { # MODEL ARGUMENTS...: trains as one rank does
  local model=$1
  shift
  train cut "$model.xlm" "$@"
  [ -s "$model.loss" ] && cmp -s "$model.loss" cut.loss && return
  echo "FAILED: $model $*: other losses than one rank"
  paste "$model.loss" cut.loss
  failed=1
}

train two two.xlm
train late late.xlm
same two --pp 4
same two --pp 2 --pipeline-schedule interleaved --chunks 2
same two --pp 4 --pipeline-schedule zb-h1
same late --pp 2 --stage-rounds 3,3
same late --pp 3
exit $failed
