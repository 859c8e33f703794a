#!/usr/bin/env bash
# Every command of xlmc on every model, its exit codes, and its messages for common mistakes on the command
# line.
#   test_xlmc.sh SOURCE_DIR BINARY_DIR
set -u
source_dir=$(cd "$1" && pwd) xlmc=$(cd "$2" && pwd)/xlmc
export LC_ALL=C NO_COLOR=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$source_dir/models" "$work/models"
cd "$work" || exit 2
failed=0

# run CODE COMMAND...: runs xlmc; complains unless it exits with CODE. Output: $work/out and $work/err.
run() {
  local want=$1 code=0
  shift
  "$xlmc" "$@" > "$work/out" 2> "$work/err" < /dev/null || code=$?
  [ "$code" = "$want" ] && return 0
  echo "FAILED: xlmc $* exits $code, not $want"
  head -n 5 "$work/err"
  failed=1
}

# says FILE TEXT: the output of the last command contains TEXT
says() {
  grep -qF -e "$2" "$work/$1" && return 0
  echo "FAILED: no '$2' in:"
  head -n 5 "$work/$1"
  failed=1
}

# wrong TEXT COMMAND...: a user error, reported with TEXT on stderr and nothing on stdout
wrong() {
  local text=$1
  shift
  run 1 "$@"
  says err "$text"
  [ ! -s "$work/out" ] || { echo "FAILED: xlmc $* writes an error to stdout"; failed=1; }
}

# presets MODEL
presets() { sed -n 's/^preset \([a-z0-9_]*\).*/\1/p' "$1"; }

every_command() {
  local m=$1 pass
  run 0 check "$m" && says out "parameters"
  for preset in $(presets "$m"); do
    run 0 check "$m" --preset "$preset"
    says out "parameters"
  done
  run 0 fmt "$m" --check
  run 0 fmt "$m"
  cmp -s "$work/out" "$m" || { echo "FAILED: xlmc fmt $m changes it"; failed=1; }
  run 0 plan "$m" --preset nano
  says out "arena"
  says out "model FLOPs"
  run 0 plan "$m" --preset nano --format json --output "$work/plan.json"
  grep -q '^  "xlm_plan": 5' "$work/plan.json" || { echo "FAILED: xlmc plan $m --format json"; failed=1; }
  run 3 plan "$m" --preset nano --memory-limit 1MiB
  says out "DOES NOT FIT"
  says err "fits"
  for pass in elaborate simplify differentiate simplify,2 cast_weights late_loss rematerialize recompute chunk_loss merge_loss bias residual fuse; do run 0 dump "$m" --preset nano --after $pass --check; done
  for pass in partition pipeline chunk_loss fuse overlap; do run 0 dump "$m" --preset nano --pp 2 --dp 2 --stage 1 --after $pass --check; done
  "$xlmc" dump "$m" --preset nano --after differentiate --output differentiated.ir # the same passes one by one
  run 0 opt differentiated.ir --pass simplify,cast_weights,late_loss,rematerialize,recompute,chunk_loss,merge_loss,bias,residual,fuse
  "$xlmc" dump "$m" --preset nano --after fuse | cmp -s - "$work/out" || { echo "FAILED: xlmc opt is not what xlmc plan runs"; failed=1; }
  for level in model train plan; do
    run 0 graph "$m" --preset nano --level $level
    says out "digraph"
    run 0 graph "$m" --preset nano --level $level --format json
  done
  run 0 graph "$m" --preset nano --open --only layers.0
  says out "digraph"
  command -v dot > /dev/null || return 0
  run 0 graph "$m" --preset nano --format svg
  says out "</svg>"
}

for m in models/*.xlm; do every_command "$m"; done

# the drawing of one block contains that block: not layers.10 for layers.1, and is never empty
run 0 graph models/llama.xlm --preset nano --layers 12 --format text --only layers.1
says out ' layers.1.'
grep -q 'layers\.1[01]' "$work/out" && { echo "FAILED: --only layers.1 shows layers.10"; failed=1; }
run 0 graph models/llama.xlm --preset nano --format json --only layers.0
grep '"op"' "$work/out" | grep -qv '"scope": "layers\.0' && { echo "FAILED: --only is nothing to --format json"; failed=1; }
for format in dot html json text; do
  wrong '--only nosuch: there is no such block; there are layers, layers.0, ' graph models/llama.xlm --preset nano --format $format --only nosuch
done
wrong 'did you mean `layers.0`?' graph models/llama.xlm --preset nano --only layer.0
wrong 'did you mean `layers.0.attention`?' graph models/llama.xlm --preset nano --only layers.0.atention

# streams and files: full, closed, a pipe without a writer, a pipe with one, a link
for command in 'check models/llama.xlm' 'plan models/llama.xlm --preset nano' 'fmt models/llama.xlm' ops explain --help 'plan --help' \
  'dump models/llama.xlm --preset nano --after simplify' 'graph models/llama.xlm --preset nano' --version; do
  code=0
  "$xlmc" $command > /dev/full 2> err || code=$?
  [ "$code" = 2 ] && says err 'xlmc: cannot write standard output: No space left' || { echo "FAILED: xlmc $command into a full device: $code"; failed=1; }
  "$xlmc" $command >&- 2> err || { echo "FAILED: xlmc $command without stdout"; failed=1; }
done
run 2 plan models/llama.xlm --preset nano --output /dev/full
says err "cannot write '/dev/full': No space left"
run 2 plan models/llama.xlm --preset l3_405b --output /proc/none/x # before it plans
says err 'cannot write `/proc/none/x`'
run 2 plan models/llama.xlm --preset nano --cluster cpu --trace /proc/none/x
mkfifo pipe
run 1 check pipe
says err '`pipe` is a pipe without a writer'
run 0 check <(cat models/llama.xlm)
ln -s elsewhere link
run 0 plan models/llama.xlm --preset nano --output link
[ -L link ] && [ -s elsewhere ] || { echo "FAILED: --output replaces a link"; failed=1; }

# the same input gives the same bytes
"$xlmc" plan models/llama.xlm --preset nano --format json > "$work/again.json"
"$xlmc" plan models/llama.xlm --preset nano --format json | cmp -s - "$work/again.json" || { echo "FAILED: two plans differ"; failed=1; }

# a saved plan is shown as the plan was, without the table of updates, which it does not have
for mesh in '' '--pp 2 --tp 2'; do
  run 0 plan models/llama.xlm --preset nano $mesh --format json --output "$work/saved.json"
  run 0 plan models/llama.xlm --preset nano $mesh
  sed '/^updates$/,/^$/d' "$work/out" | sed '/^$/d' > direct
  run 0 plan "$work/saved.json"
  sed '/^$/d' "$work/out" | diff direct - || { echo "FAILED: a saved plan $mesh is shown differently"; failed=1; }
done
run 0 plan "$work/saved.json" --cluster h100 && says out 'estimate on DGX H100'
run 3 plan "$work/saved.json" --memory-limit 1MiB
wrong '--tp: the plan ' plan "$work/saved.json" --tp 4
wrong '--layers: the plan ' plan "$work/saved.json" --layers 4
wrong 'xlmrun train' check "$work/saved.json"
printf '{"other": 1}' > other.json
wrong 'not a plan xlm can run' plan other.json

# the ending of --output chooses the format
for output in page.html page.json graph.svg graph.json; do
  command=${output%.*}
  run 0 ${command/page/plan} models/llama.xlm --preset nano --output $output
done
head -n 1 page.html | grep -q '^<!DOCTYPE html>' || { echo "FAILED: --output page.html"; failed=1; }
grep -q '"xlm_plan"' page.json || { echo "FAILED: --output page.json"; failed=1; }
command -v dot > /dev/null && { grep -q '</svg>' graph.svg || { echo "FAILED: --output graph.svg"; failed=1; }; }
[ "$(head -c 1 graph.json)" = '{' ] || { echo "FAILED: --output graph.json"; failed=1; }

# check as data: the same diagnostics, on standard output
run 0 check models/llama.xlm --format json
says out '"diagnostics": []'
says out '"parameters": 134105856'
run 1 check models/llama.xlm --hidden-size 700 --format json
says out '"code": "E0306"'
says out '"file": "models/llama.xlm", "line": 19, "column": 16'
[ ! -s "$work/err" ] || { echo "FAILED: check --format json writes messages, too"; failed=1; }

# other commands
run 0 help && says out "usage: xlmc"
run 0 --version && says out "xlmc"
run 0 explain && says out "E0203"
run 0 explain E0203 && says out "E0203: "
run 0 explain 203 && says out "E0203: "
run 0 explain w0701 && says out "W0701: "
run 0 ops && says out "## "
for command in check fmt plan graph dump explain ops lsp; do
  run 0 $command --help
  says out "usage: xlmc $command"
done

# fmt: --write makes a file canonical, and keeps comments
printf 'model  a # why\ndim hidden=4\n' > untidy.xlm
run 1 fmt untidy.xlm --check
says err "untidy.xlm"
run 0 fmt untidy.xlm --write
run 0 fmt untidy.xlm --check
grep -q '# why' untidy.xlm || { echo "FAILED: fmt --write lost a comment"; failed=1; }

# exit 2: the environment
run 2 check models/llama.xlm --output no/such/folder/file
says err "cannot write"

# common mistakes
run 1
says err "usage: xlmc"
wrong 'did you mean `check`?' chek models/llama.xlm
wrong 'as in `xlmc check models/llama.xlm`' models/llama.xlm
wrong 'which model?' check
wrong 'did you mean `models/llama.xlm`?' check models/lama.xlm
run 0 check models/llama # without its ending
wrong 'is a folder' check models
wrong 'cannot read' check nowhere/else.xlm
wrong 'did you mean `nano`?' check models/llama.xlm --preset nanno
wrong '--preset NAME' check models/llama.xlm nano
wrong 'needs a value' check models/llama.xlm --preset
wrong "did you mean '--preset'?" check models/llama.xlm --presset nano
wrong "did you mean '--preset'?" check models/llama.xlm --pre nano
wrong "did you mean '--hidden-size'?" check models/llama.xlm --hiden-size 8
wrong "did you mean '--heads'?" check models/llama.xlm --num-heads 8
wrong 'did you mean `hidden`?' check models/llama.xlm --set hiden=8
wrong 'NAME=VALUE' check models/llama.xlm --set hidden
wrong 'sizes that work' check models/llama.xlm --hidden-size 700
wrong 'a check comes as text or json' check models/llama.xlm --format yaml
wrong 'a flag of other commands' check models/llama.xlm --depth 2
wrong 'a flag of other commands' check models/llama.xlm --max-tokens 3
# the command line of a training makes its plan, as its run file does
run 0 check models/llama.xlm --seed 3 --valid held_out.txt --data none.txt --max-steps 5
run 0 plan models/llama.xlm --preset nano --seed 3 --save-interval 7
wrong "did you mean '--check'?" fmt models/llama.xlm --chek
wrong 'text, program, json, report-json or html' plan models/llama.xlm --format png
wrong 'dot, svg, html, json or text' graph models/llama.xlm --format png
wrong 'model, train, partition and plan' graph models/llama.xlm --level all
wrong 'is no size' plan models/llama.xlm --memory-limit lots
for program in prefill decode; do
  decoding=(models/mamba2.xlm --preset nano --layers 2 --pp 2 --tp 2 --program $program --check)
  for pass in incremental simplify,2; do run 0 dump "${decoding[@]}" --after $pass; done
  for pass in partition pipeline fuse overlap; do run 0 dump "${decoding[@]}" --after $pass --stage 1; done
done
wrong 'does not run that many times' dump models/llama.xlm --preset nano --after fuse,3
wrong "the programs of a plan are train, eval, prefill, decode" dump models/llama.xlm --preset nano --program decoding
wrong 'chunk is for --after incremental, or --program prefill' dump models/llama.xlm --preset nano --after fuse --chunk 3
wrong "write PASS, or PASS,2" dump models/llama.xlm --preset nano --after fuse,x
wrong '--rank goes with dump --after partition or later' dump models/llama.xlm --preset nano --after simplify --rank 1
wrong 'did you mean `fuse`?' dump models/llama.xlm --after fusse
wrong 'lists all' explain E9999
wrong 'the command comes before the model' llama
wrong '`xlmrun train` trains' train llama
wrong 'the command comes before its flags' --preset nano plan llama
wrong 'among the shipped ones: ' plan nosuch
wrong 'is no model by its name' check data.txt
wrong 'the product of --dp, --tp' plan models/llama.xlm --gpus 8
wrong 'as --output' plan models/llama.xlm -o plan.json
wrong 'did you mean `h200`?' plan models/llama.xlm --cluster h200x
wrong 'as in `xlmc fmt ' fmt
wrong 'did you mean `rmsnorm`?' ops rmsnor
wrong '--output x.png: a graph comes as' graph models/llama.xlm --output x.png
run 0 ops rmsnorm rope && says out '### `rope('
run 0 explain E0306 203 && says out 'E0203: '
wrong 'cannot open' plan models/llama.xlm --config none.yaml

exit $failed
