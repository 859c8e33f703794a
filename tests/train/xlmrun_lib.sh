# What the tests of xlmrun share; sourced with the source and the build folder as arguments. Works in a folder of its own
# with a small text, corpus.txt, and settings for small models.
set -u
source_dir=$1
run=${XLM_TEST_XLMRUN:-$2/xlmrun} # or a program built like it
program=$run
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
# Every run of the test on another device than the CPU.
if [ -n "${XLM_TEST_DEVICE:-}" ]; then
  printf '#!/bin/sh\nexec "%s" "$@" --device %s\n' "$program" "$XLM_TEST_DEVICE" >xlmrun
  chmod +x xlmrun
  run=$work/xlmrun
fi

fail() {
  echo "FAILED: $*"
  failed=1
}

# expect CODE TEXT COMMAND...: the command ends with CODE and its output, kept in out.txt, holds TEXT.
expect() {
  local code=$1 text=$2 got
  shift 2
  "$@" >out.txt 2>&1
  got=$?
  [ $got -eq "$code" ] || fail "exit code $got, not $code: $*: $(cat out.txt)"
  grep -qF -- "$text" out.txt || fail "no '$text' from: $*: $(cat out.txt)"
}

# wait_for TEXT FILE: until the log holds the text or the last line of a run that is over, for at most two minutes.
wait_for() {
  for _ in $(seq 2400); do
    grep -qsF -e "$1" -e 'loss curve ' "$2" && return 0
    sleep 0.05
  done
  fail "no '$1' in $2: $(cat "$2")"
  return 1
}

# same_weights A B: two checkpoints hold the same numbers.
same_weights() {
  for file in model optimizer; do
    cmp -s "$1/$file.safetensors" "$2/$file.safetensors" || fail "$file.safetensors differs: $1, $2"
  done
}

# same_checkpoint A B: they hold the same files, and the same manifests but for settings; if not, differs.txt says what.
same_checkpoint() {
  [ -d "$1" ] && [ -d "$2" ] && diff -rq -x manifest.json "$1" "$2" >differs.txt 2>&1 &&
    diff <(without_settings "$1") <(without_settings "$2") >differs.txt 2>&1
}
without_settings() {
  sed '/"settings": {/,/}/d; /"checksum":/d' "$1/manifest.json"
}

# column KEY FILE: that number of every line of a metrics file.
column() {
  sed -n "s/.*\"$1\": \([^,}]*\).*/\1/p" "$2"
}

cat "$source_dir"/grammar/xlm.y "$source_dir"/grammar/xlm.l >corpus.txt
model=$source_dir/models/llama.xlm
sizes=(--hidden-size 16 --set layers=2 --set heads=2 --intermediate-size 32 --vocab-size 256 --seq-length 32
  --micro-batch-size 2)
tiny=("${sizes[@]}" --global-batch-size 4 --learning-rate 1e-2 --log-interval 5 --eval-batches 2)
