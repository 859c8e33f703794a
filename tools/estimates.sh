#!/bin/bash
# Prints the table of docs/estimates.md: published runs, the estimate of `xlmc plan` for each, the deviation.
#   tools/estimates.sh [BUILD]
# A row: name; the published figure, in tokens/s per device (t) or MFU in % (m), a range as 5762-6667; the
# plan. The rows of "Megatron 2021" count FLOPs with recomputation; they are converted to tokens by the
# formula of that paper, 96 l h^2 (1 + s / 6h + V / 16lh) FLOPs per token: `f TFLOP/s l h`.
cd "$(dirname "$0")/.." || exit 1
xlmc=${1:-build}/xlmc
llama=models/llama.xlm

# row NAME KIND PUBLISHED FLAGS..
row() {
  local name=$1 kind=$2 published=$3
  shift 3
  local report ranks tokens mfu
  report=$("$xlmc" plan "$@" --dtype bf16 --format report-json 2> /dev/null)
  # the first `ranks` is the plan's
  ranks=$(grep -m1 -oE '^ "ranks": [0-9]+' <<< "$report" | grep -oE '[0-9]+$')
  tokens=$(grep -oE '"tokens_per_second": [0-9.e+]+' <<< "$report" | sed 's/.* //')
  mfu=$(grep -oE '"mfu": [0-9.e-]+' <<< "$report" | sed 's/.* //')
  [ -n "$tokens" ] || { echo "| $name | | no plan: $* | |"; return 1; }
  awk -v name="$name" -v kind="$kind" -v p="$published" -v ranks="$ranks" -v tokens="$tokens" -v mfu="$mfu" '
    function thousands(x) { return x >= 1000 ? sprintf("%d,%03d", x / 1000, x % 1000) : sprintf("%.0f", x) }
    function off(ours, theirs) { return sprintf("%+.0f %%", 100 * (ours / theirs - 1)) }
    BEGIN {
      each = tokens / ranks
      ours = sprintf("%s tokens/s/GPU, %.1f %% MFU", thousands(each), 100 * mfu)
      n = split(p, at, kind == "f" ? " " : "-")
      if (kind == "f") {
        l = at[2]; h = at[3]
        theirs = at[1] * 1e12 / (96 * l * h * h * (1 + 2048 / (6 * h) + 51200 / (16 * l * h)))
        text = sprintf("%d TFLOP/s, %s tokens/s/GPU", at[1], thousands(theirs)); d = off(each, theirs)
      } else {
        v = kind == "t" ? each : 100 * mfu
        for (i = 1; i <= n; i++) text = text (i > 1 ? " to " : "") (kind == "t" ? thousands(at[i]) : at[i])
        text = text (kind == "t" ? " tokens/s/GPU" : " % MFU")
        d = off(v, at[1]); if (n > 1) d = off(v, at[n]) " to " d
      }
      printf "| %s | %s | %s | %s |\n", name, text, ours, d
    }'
}

# Recomputation of every second layer: a memory limit halfway between none and all.
half() {
  local how bytes sum=0
  for how in none full; do
    bytes=$("$xlmc" plan "$@" --dtype bf16 --recompute $how --format report-json 2> /dev/null | grep -m1 -oE '"arena_bytes": [0-9]+' | grep -oE '[0-9]+$')
    sum=$((sum + bytes / 2 / 1048576))
  done
  echo "${sum}MiB"
}
# row with every second layer recomputed
half_row() {
  local name=$1 kind=$2 published=$3
  shift 3
  row "$name" "$kind" "$published" "$@" --recompute auto --memory-limit "$(half "$@")"
}

echo '| run | published | estimate | deviation |'
echo '|---|---|---|---|'
row '70.8 B dense, tp 8, pp 2, dp 48 on 768 H100 (Megatron)' m 42 $llama --preset l3_70b --vocab 131072 --seq-length 4096 \
  --tp 8 --pp 2 --dp 48 --micro-batch-size 1 --global-batch-size 1152 --zero 1 --cluster h100
half_row 'Llama 3.1 8 B, ZeRO 3 on 8 H100 (TorchTitan)' t 5762-6667 $llama --preset l3_8b --seq-length 8192 --dp 8 \
  --micro-batch-size 2 --global-batch-size 16 --zero 3 --cluster h100
half_row 'the same' m 33-39 $llama --preset l3_8b --seq-length 8192 --dp 8 \
  --micro-batch-size 2 --global-batch-size 16 --zero 3 --cluster h100
half_row 'Llama 3.1 8 B, ZeRO 3 on 128 H100 (TorchTitan)' t 5605-6514 $llama --preset l3_8b --seq-length 8192 --dp 128 \
  --micro-batch-size 2 --global-batch-size 256 --zero 3 --cluster h100
row 'Llama 3.1 70 B, dp 32, tp 8 on 256 H100, float8 (TorchTitan)' t 829-876 $llama --preset l3_70b --seq-length 8192 --dp 32 --tp 8 \
  --micro-batch-size 16 --global-batch-size 512 --zero 3 --recompute full --cluster h100
row 'Llama 3.1 405 B, 8 x 8 x 8 on 512 H100, 1F1B, float8 (TorchTitan)' t 100 $llama --preset l3_405b --seq-length 8192 \
  --tp 8 --pp 8 --dp 8 --micro-batch-size 1 --global-batch-size 256 --zero 1 --recompute full --cluster h100
row 'the same, interleaved' t 128 $llama --preset l3_405b --seq-length 8192 --tp 8 --pp 8 --dp 8 --micro-batch-size 1 \
  --global-batch-size 256 --zero 1 --recompute full --pipeline-schedule interleaved --chunks 2 --cluster h100
row 'Llama 3 405 B, tp 8, pp 16, dp 64 on 8,192 H100 (Meta)' m 43 $llama --preset l3_405b --seq-length 8192 --tp 8 --pp 16 --dp 64 \
  --micro-batch-size 1 --global-batch-size 2048 --zero 1 --pipeline-schedule interleaved --chunks 7 --cluster h100
row 'Llama 3 405 B, tp 8, pp 16, dp 128 on 16,384 H100 (Meta)' m 41 $llama --preset l3_405b --seq-length 8192 --tp 8 --pp 16 --dp 128 \
  --micro-batch-size 1 --global-batch-size 2048 --zero 1 --pipeline-schedule interleaved --chunks 7 --cluster h100
row 'the same with sequences of 131,072, cp 16, dp 8 (Meta)' m 38 $llama --preset l3_405b --seq-length 131072 --tp 8 --pp 16 --cp 16 --dp 8 \
  --micro-batch-size 1 --global-batch-size 128 --zero 1 --pipeline-schedule interleaved --chunks 7 --cluster h100
half_row 'Llama 3 8 B, ZeRO 3 on 64 A100 (TorchTitan)' t 2904-2973 $llama --preset l3_8b --seq-length 8192 --dp 64 \
  --micro-batch-size 1 --global-batch-size 64 --zero 3 --cluster a100
row 'Llama 3 70 B, ZeRO 3, full recompute on 64 A100 (TorchTitan)' t 331 $llama --preset l3_70b --seq-length 8192 --dp 64 \
  --micro-batch-size 1 --global-batch-size 64 --zero 3 --recompute full --cluster a100

# Megatron 2021 (Narayanan et al., table 1): full recompute, interleaved where there are stages, sequences of 2048.
gpt() { # B LAYERS HIDDEN HEADS TP PP GPUS BATCH TFLOPS FLAGS..
  local name="GPT $1 B, tp $5, pp $6 on $7 A100 (Megatron 2021)" layers=$2 hidden=$3 heads=$4 tp=$5 pp=$6 gpus=$7 batch=$8 tflops=$9
  shift 9
  row "$name" f "$tflops $layers $hidden" models/gpt2.xlm --vocab 51200 --seq-length 2048 --layers "$layers" --hidden "$hidden" --heads "$heads" \
    --tp "$tp" --pp "$pp" --dp $((gpus / tp / pp)) --global-batch-size "$batch" --recompute full --cluster a100 "$@"
}
gpt 7.5 36 4096 32 4 1 128 512 142 --micro-batch-size 4
gpt 18.4 40 6144 48 8 1 256 1024 135 --micro-batch-size 4
gpt 39.1 48 8192 64 8 2 512 1536 138 --micro-batch-size 2 --pipeline-schedule interleaved --chunks 2
gpt 76.1 60 10240 80 8 4 1024 1792 140 --micro-batch-size 1 --pipeline-schedule interleaved --chunks 3
gpt 145.6 80 12288 96 8 8 1536 2304 148 --micro-batch-size 1 --pipeline-schedule interleaved --chunks 2
