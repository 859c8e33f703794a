#!/usr/bin/env bash
# `xlmc plan` for many ranks: the page, what it advises, the search, the data, the trace.
#   test_plan_report.sh SOURCE_DIR BINARY_DIR
set -u
cd "$1" || exit 1
xlmc=$2/xlmc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

complain() {
  echo "FAILED: $*" >&2
  failed=1
}

# expect STATUS WHAT... -- PATTERN...: the command's exit status, and patterns its output must have
expect() {
  local status=$1 command=() pattern
  shift
  while [ "$1" != -- ]; do
    command+=("$1")
    shift
  done
  shift
  "$xlmc" plan "${command[@]}" > "$work/out" 2>&1
  local got=$?
  [ $got = "$status" ] || complain "xlmc plan ${command[*]}: exit $got, not $status: $(head -c 500 "$work/out")"
  for pattern in "$@"; do
    grep -Eq -- "$pattern" "$work/out" || complain "xlmc plan ${command[*]}: nothing like '$pattern' in: $(head -c 3000 "$work/out")"
  done
}

nano=(models/llama.xlm --preset nano --threads 1)

expect 0 "${nano[@]}" --pp 2 --dp 2 --tp 2 --micro-batch-size 1 --cluster cpu -- \
  '^llama nano .* 8 ranks = pp 2 x dp 2 x tp 2 .* 1f1b$' \
  '^stage +rounds +params +grads +optim +activations +comm +workspace +other +peak +at$' \
  '^0 +0-2 .* models/blocks/swiglu.xlm:[0-9]+$' '^1 +3-5 ' '^FITS .* on every rank' \
  '^tp +all_gather +[0-9]+ x .* models/blocks/attention.xlm:11 +q = rotary' '^pp +send ' '^dp +all_reduce ' \
  '^sent per axis  tp .* dp .* pp ' '^verified: 8 ranks, [0-9,]+ operations matched, no cycle$' \
  '^estimate on two-core CPU  bubble .* MFU$' '^model FLOPs '

# who updates what, on one rank and on many
expect 0 "${nano[@]}" --optimizer muon --group 'match=*embed lr=0.5' -- '^updates$' '^  default  muon +42 +10.6 M +x 1 +0.01$' \
  '^  default  adamw +13 +4.99 k +x 1 +0$' '^  \*embed   adamw +2 +197 k +x 0.5 +0.01$'
expect 0 "${nano[@]}" --tp 2 --format report-json -- '"updates": \[' '"optimizer": "adamw"' '"tensors": 44'

# programs: decoding has caches, of which each layer's keys and values take 2 * kv_heads * head * 4 bytes a token
decoding=("${nano[@]}" --program decode --seq-length 64)
expect 0 "${decoding[@]}" --micro-batch-size 3 -- ' 3 sequences of up to 64 tokens, 1 at a time$' '^  caches +3.38 MiB$' \
  '^caches  1.12 MiB per sequence, 18.00 KiB per token$' '^ +6 x cache/layers\.\*\.attention\.k  f32\[.* 64, kv_heads 6, head 64\]$' \
  '^kernels of one token$' '^  cache_put +12 ' ' per token, forward$'
grep -Eq 'gradients|optimizer|updates' "$work/out" && complain 'a plan of decoding has parts of training'
expect 0 "${nano[@]}" --program prefill --seq-length 64 --prefill-chunk 16 -- ' 1 sequence of up to 64 tokens, 16 at a time$' '^kernels of one chunk$'
expect 0 "${nano[@]}" --program eval -- ' 16 x 256 tokens$' '^kernels of one pass$'
expect 0 "${decoding[@]}" --tp 2 --pp 2 --cluster cpu -- '^stage +rounds +params +caches +activations ' '^1 +3-5 +10.32 MiB +288.00 KiB ' \
  '^caches  1.12 MiB per sequence, 18.00 KiB per token, over all ranks$' '^communication per token and rank' '^tp +all_reduce ' '^pp +send '
expect 0 "${decoding[@]}" --tp 2 --format report-json -- '"program": "decode"' '"bytes_per_sequence": 1179648' '"bytes_per_token": 18432' \
  '"rank_bytes": 589824' '"number": 6'
expect 0 "${nano[@]}" --tp 2 --format report-json -- '"program": "train"' '"caches": null'
expect 0 "${decoding[@]}" --output "$work/decode.json" --format json --
expect 0 "$work/decode.json" -- ' 64 at a time$' '^kernels of one chunk$'
expect 0 "$work/decode.json" --program decode -- ' 1 at a time$' '^kernels of one token$'
expect 1 "$work/decode.json" --program train -- "the plan .* does not have it; it has prefill, decode"
expect 1 "$work/decode.json" --cluster cpu --trace "$work/trace.json" -- '--trace is about training steps, and the plan .* has none'
expect 1 "${nano[@]}" --program decoding -- 'the programs of a plan are train, eval, prefill, decode'
expect 1 "${nano[@]}" --program decode --auto --devices 2 -- '--auto is about training steps: leave out --program decode'
expect 0 models/t5.xlm --preset nano --program encode -- ' inputs of 1 sequence$' '^kernels of one encoding$' '^ +2 x cache/decoder_layers.\*.cross_attention.k  f32\[source 128, heads 4, head 64\]$'
expect 0 models/t5.xlm --preset nano --program decode --output "$work/encoder.json" --format json --
expect 0 "$work/encoder.json" --program encode -- '^kernels of one encoding$'
expect 1 "$work/decode.json" --program encode -- 'the plan .* does not have it; it has prefill, decode'
expect 1 "${nano[@]}" --program encode -- 'the model computes nothing once per sequence'

# without a cluster there is neither a verdict nor an estimate
expect 0 "${nano[@]}" --tp 2 -- 'needs .* --memory-limit or --cluster'
grep -q estimate "$work/out" && complain 'an estimate without a cluster'

# the page of one rank, with an estimate
expect 0 "${nano[@]}" --cluster cpu -- '^memory of one rank' '^estimate on two-core CPU  step '

# what is advised is true
expect 3 "${nano[@]}" --dp 2 --memory-limit 180MiB -- '^DOES NOT FIT  stage 0 needs' 'this fits, with '
read -r -a flags <<< "$(sed -n 's/^  this fits, with [^:]*: //p' "$work/out")"
[ "${#flags[@]}" -gt 2 ] || complain 'no flags advised'
expect 0 "${nano[@]}" --memory-limit 180MiB --global-batch-size 16 "${flags[@]}" -- '^FITS '

# experts: balanced and worst case
expect 0 models/mixtral.xlm --preset nano --ep 4 --micro-batch-size 1 -- '^experts  rows routed to experts: .* worst case'

# the search: its first line plans, and fits
expect 0 "${nano[@]}" --auto --devices 4 --cluster cpu -- 'layouts are possible' '^  1 .* --micro-batch-size' '^why the first: '
read -r -a flags <<< "$(sed -n 's/^  1 .*[0-9] [KMG]iB  //p' "$work/out")"
expect 0 "${nano[@]}" --cluster cpu "${flags[@]}" -- '^FITS '
cp "$work/out" "$work/first"
expect 3 "${nano[@]}" --auto --devices 4 --cluster cpu --memory-limit 4MiB -- 'DOES NOT FIT'
expect 1 "${nano[@]}" --auto --cluster cpu -- 'needs the number of ranks'
expect 1 "${nano[@]}" --auto --devices 4 --tp 2 --cluster cpu -- 'leave out --tp 2'
expect 1 "${nano[@]}" --devices 4 -- 'goes with --auto'

# clusters
expect 1 "${nano[@]}" --cluster nowhere -- 'cannot read .nowhere.* h100'
sed 's/  memory: /  memroy: /' clusters/cpu.yaml > "$work/wrong.yaml"
expect 1 "${nano[@]}" --cluster "$work/wrong.yaml" -- "unknown key 'device.memroy'; did you mean 'memory'"
for name in h100 h200 a100 b200; do
  expect 0 "${nano[@]}" --tp 2 --cluster $name -- '^estimate on '
done

# data and trace
expect 0 "${nano[@]}" --pp 2 --cluster cpu --format report-json -- '"xlm_report": 1' '"verified_operations": [1-9]' '"step_seconds": [0-9]'
# the whole: the plan, and the same report as its last member
expect 0 "${nano[@]}" --pp 2 --cluster cpu --format report-json -- '"fits": true'
cp "$work/out" "$work/report.json"
expect 0 "${nano[@]}" --pp 2 --cluster cpu --format json -- '^  "xlm_plan": 5' '"schedule": ' '"xlm_report": 1'
sed -n '/^  "report": /,$p' "$work/out" | sed '1s/^  "report": //; $d; s/^  //' > "$work/inside.json"
cmp -s "$work/report.json" "$work/inside.json" || complain 'the report in the plan is another'
expect 0 "${nano[@]}" --pp 2 --tp 2 --cluster cpu --trace "$work/trace.json" -- '^FITS '
grep -q '"name":"F 0"' "$work/trace.json" || complain 'no F in the trace'
grep -q '"name":"rank 2, stage 1"' "$work/trace.json" || complain 'no track of stage 1 in the trace'
expect 1 "${nano[@]}" --pp 2 --trace "$work/trace.json" -- 'give --cluster'
expect 1 "${nano[@]}" --format nonsense -- 'text, program, json, report-json or html'

# a plan for very many ranks costs little
expect 0 models/llama.xlm --preset l3_405b --tp 8 --pp 16 --dp 128 --micro-batch-size 1 --global-batch-size 2048 --dtype bf16 \
  --zero 1 --recompute full --cluster h100 -- '16,384 ranks = pp 16 x dp 128 x tp 8' '^FITS' '^verified: 16,384 ranks'

exit $failed
