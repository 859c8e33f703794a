#!/usr/bin/env bash
# The page of runs: what it draws, read back with node (tools/test.sh installs it); and in a browser, where there is one, that
# its script runs.
. "$(dirname "$0")/xlmrun_lib.sh"
node=$(command -v node || command -v nodejs) || { echo 'no node: skipped'; exit 77; }

# A real one of a mixture of experts, resumed from an earlier checkpoint, and one with another rate.
moe=("$run" train "$source_dir/models/mixtral.xlm" --data corpus.txt --hidden-size 16 --set layers=2 --set heads=2 --num-key-value-heads 1
  --num-local-experts 4 --intermediate-size 32 --vocab-size 256 --seq-length 32 --micro-batch-size 2 --global-batch-size 4 --log-interval 1
  --eval-interval 10 --eval-batches 1 --max-steps 40 --sample-interval 10 --sample-tokens 12 --sample-prompt '</script><b>' --sample-prompt '12')
expect 0 'checkpoint' "${moe[@]}" --save-interval 15 --output-dir one
rm -r one/step-00000040 one/step-00000030
expect 0 'resumed' "$run" train --resume one
expect 0 'checkpoint' "${moe[@]}" --learning-rate 1e-2 --skip-spikes 4 --max-steps 30 --output-dir two

# written NAME LINES: metrics as a run writes them, with steps that are not finite.
written() {
  mkdir -p "$1"
  awk -v n="$2" 'BEGIN {
    srand(3)
    for (i = 1; i <= n; i++) {
      loss = 2 + 3 * exp(-i / n * 4) + rand() * 0.2
      if (i == int(n / 2)) loss = 9.25
      printf "{\"step\": %d, \"loss\": %s, \"lr\": %.6g, \"grad_norm\": %.4f, \"tokens\": %d, \"elapsed_s\": %.3f%s}\n", i,
        i % 97 == 0 ? "null" : sprintf("%.6f", loss), 1e-3 * (1 - i / n), 0.5 + rand(), i * 128, i / 7, i % 50 ? "" : sprintf(", \"val_loss\": %.4f", loss + 0.1)
    }
  }' >"$1/metrics.jsonl"
}
written long 3000
written longer 30000
written broken 300
{ # resumed from step 200, a line that was lost to a full disk, and one that is being written
  sed -n 200,250p broken/metrics.jsonl | sed 's/"loss": /"loss": 1/'
  echo '{"step": 251, "lo'
  echo '{"step": 251, "loss": 3.5, "lr": 0.001, "grad_norm": 1, "tokens": 32128, "elapsed_s": 36}'
  printf '{"step": 252, "loss": 3.'
} >>broken/metrics.jsonl
mkdir running && cp long/metrics.jsonl running/ && : >running/.lock

# page NAME RUNS...: the page of these runs is drawn as their metrics say.
page() {
  local name=$1 list=() r
  shift
  expect 0 "$name.html" "$run" report "$@" --output "$name.html"
  for r in "$@"; do list+=("$(basename "$r")=$r/metrics.jsonl"); done
  "$node" "$source_dir/tests/train/report_drawn.js" "$name.html" "${list[@]}" || fail "the page $name"
}
page single one
page several one two
mkdir other # another number of layers
sed 's/"layers.0.moe.expert_load": [^]]*\], //; s/layers\.1\./layers.7./' one/metrics.jsonl >other/metrics.jsonl
page unlike other one
page odd long broken
page thinned longer

shows() { grep -qF -- "$2" "$1" || fail "$1 does not hold $2"; }
shows several.html '"train.learning_rate":"1e-2"'
shows single.html '"layers.1.moe.expert_load":{"step":[1,2,'
grep -q '</script><b>' single.html && fail 'a prompt ends the script'
shows single.html '"state":"done"'
shows single.html '"expert_load_max"'
shows odd.html '"ignored":1'
sed 's/"ended": "done"/"ended": ""/' one/run.json >killed.json && cp killed.json one/run.json
expect 0 'report.html' "$run" report one
shows one/report.html '"state":"interrupted"'
command -v flock >/dev/null && flock running/.lock "$run" report running --output running.html >/dev/null && shows running.html '"state":"running"'
"$run" report one --output - | head -c 15 | grep -q '<!DOCTYPE html>' || fail '--output -'
cp -r one 'o<b>&"e'
expect 0 'odd name.html' "$run" report 'o<b>&"e' two --output 'odd name.html' --title '</script><b>'
grep -q '</script><b>' 'odd name.html' && fail 'a title ends the script'
"$node" "$source_dir/tests/train/report_drawn.js" 'odd name.html' 'o<b>&"e=one/metrics.jsonl' two=two/metrics.jsonl || fail 'an odd name'
mkdir fresh && cp one/run.json fresh/ && : >fresh/metrics.jsonl # before its first step
expect 0 'fresh/report.html' "$run" report fresh

expect 1 "there is no run 'nowhere'" "$run" report nowhere
expect 1 "'.' is no training run: it has neither run.json nor metrics.jsonl nor checkpoints" "$run" report .
expect 1 "'corpus.txt' is no metrics file" "$run" report corpus.txt
expect 1 "unknown flag '--ouput'; did you mean '--output'?" "$run" report one --ouput x
expect 1 'which runs?' "$run" report
expect 0 'usage: xlmrun report RUN...' "$run" report --help
expect 2 "/proc/none" "$run" report one --output /proc/none/x.html

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || exit $failed
for name in several odd fresh/report; do
  timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" --enable-logging=stderr --virtual-time-budget=2000 \
    --dump-dom "file://$work/$name.html" >dom.txt 2>browser.txt || { echo 'the browser does not start: not tried'; break; }
  grep CONSOLE browser.txt && fail "$name: errors in the browser"
  grep -q '<h1>' dom.txt || fail "$name: the browser draws nothing"
  [ "$name" != several ] || { grep -q 'id="map-layers.N.moe.expert_load"' dom.txt && grep -q '<rect' dom.txt; } || fail "$name: no map of the experts"
done
exit $failed
