#!/usr/bin/env bash
# What the plan's page draws: the bars of the pipeline, the memory and its strip, read back from canvases that write down what
# is drawn on them, against the trace of the same planned step. Needs node, not a browser (tools/test.sh installs it).
set -u
source_dir=$1 xlmc=$2/xlmc
node=$(command -v node || command -v nodejs) || { echo "no node: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source_dir" || exit 1
failed=0

# drawn NAME SETTINGS...: the page of this plan, on a cluster and without one.
drawn() {
  local name=$1
  shift
  local plan=(plan models/llama.xlm --preset nano --global-batch-size 16 "$@")
  "$xlmc" "${plan[@]}" --cluster cpu --trace "$work/trace.json" --format html --output "$work/$name.html" >/dev/null &&
    "$node" tests/layouts/html_drawn.js "$work/$name.html" "$work/trace.json" || { echo "FAILED: $name, on a cluster"; failed=1; }
  "$xlmc" "${plan[@]}" --format html --output "$work/$name.html" >/dev/null &&
    "$node" tests/layouts/html_drawn.js "$work/$name.html" || { echo "FAILED: $name"; failed=1; }
}

drawn one_rank --layers 6 --micro-batch-size 8
drawn updates --layers 2 --dp 2 --zero 1 --optimizer muon
drawn three --layers 2 --dp 2 --tp 2 --zero 3
drawn two_stages --pp 2 --tp 2 --num-microbatches 4
drawn four_stages --layers 4 --pp 4 --dp 2 --zero 1 --num-microbatches 8 --pipeline-schedule gpipe
drawn interleaved --layers 4 --pp 2 --num-microbatches 8 --pipeline-schedule interleaved
drawn zero_bubble --layers 4 --pp 2 --num-microbatches 8 --pipeline-schedule zb-h1
exit $failed
