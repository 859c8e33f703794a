#!/usr/bin/env bash
# The pictures of pages in docs/images, by Chromium without a window: to be made again when the pages change.
#
#   tools/pictures.sh BINARY_DIR
set -eu
source_dir=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] && [ -x "$1/xlmc" ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 1; }
binary_dir=$(cd "$1" && pwd)
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
  echo "pictures.sh: no chromium" >&2
  exit 2
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shoot NAME WIDTH HEIGHT: $work/NAME.html as docs/images/NAME.png
shoot() {
  local name=$1 width=$2 height=$3
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size="$width,$height" --virtual-time-budget=5000 \
    --user-data-dir="$work/profile" --screenshot="$work/$name.png" "file://$work/$name.html" > "$work/log" 2>&1
  [ -s "$work/$name.png" ] || { cat "$work/log" >&2; exit 2; }
  ! command -v pngquant > /dev/null || pngquant --force --output "$work/$name.png" 64 "$work/$name.png"
  mv "$work/$name.png" "$source_dir/docs/images/$name.png"
  echo "docs/images/$name.png, $(stat -c %s "$source_dir/docs/images/$name.png") bytes"
}

# picture NAME WIDTH HEIGHT XLMC-ARGUMENTS..: a page of xlmc
picture() {
  local name=$1 width=$2 height=$3
  shift 3
  (cd "$source_dir" && XLM_CPU_ISA=base "$binary_dir/xlmc" "$@" --output "$work/$name.html")
  shoot "$name" "$width" "$height"
}

# train NAME FLAGS..: a run on the text of the documents
train() {
  local name=$1
  shift
  (cd "$source_dir" && "$binary_dir/xlmrun" train models/mixtral.xlm --data docs --hidden-size 32 --set layers=2 --set heads=2 \
    --num-key-value-heads 1 --num-local-experts 4 --intermediate-size 64 --vocab-size 256 --seq-length 64 --global-batch-size 8 \
    --threads 1 --log-interval 2 --eval-interval 50 --eval-batches 4 --save-interval 0 --sample-interval 250 \
    --sample-prompt 'The plan ' --sample-prompt 'A parameter ' --sample-tokens 60 --output-dir "$work/$name" "$@") > "$work/log" 2>&1 ||
    { cat "$work/log" >&2; exit 2; }
}

picture plan 1360 770 plan models/llama.xlm --preset small --pp 4 --tp 2 --dp 2 --cluster h100 --format html

train adamw --max-steps 600 --learning-rate 3e-3
train muon --max-steps 500 --learning-rate 1e-2 --optimizer muon
"$binary_dir/xlmrun" report "$work/adamw" "$work/muon" --output "$work/report.html"
shoot report 1280 2520 # to its end: curves, load of the experts, samples, settings that differ
