#!/usr/bin/env bash
# xlmrun on many ranks: every command on a mesh, every example configuration, and the messages when sizes,
# axes or batches do not fit.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

sizes=(--hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40 --vocab-size 256 --seq-length 32)
train=("$run" train "$model" --data corpus.txt "${sizes[@]}" --global-batch-size 8 --learning-rate 1e-2 --log-interval 1
  --eval-interval 3 --eval-batches 2 --max-steps 3 --seed 5)

# ---- every layout, one curve ----

expect 0 'checkpoint one/step-00000003' "${train[@]}" --micro-batch-size 2 --output-dir one
n=0
layout() { # RANKS FLAGS...: a layout and how it is introduced
  n=$((n + 1))
  expect 0 "  $1  " "${train[@]}" "${@:2}" --output-dir l$n
  paste <(column loss one/metrics.jsonl) <(column loss l$n/metrics.jsonl) |
    awk '{ d = ($1 - $2) / $1; if (d > 1e-5 || d < -1e-5) bad++ } END { exit bad || NR != 3 }' ||
    fail "$1: another curve: $(cat l$n/metrics.jsonl)"
}
layout '2 ranks = dp 2' --dp 2 --micro-batch-size 1
layout '3 ranks = tp 3' --tensor-parallel-size 3
layout '2 ranks = cp 2' --cp 2
layout '6 ranks = cp 3 x tp 2' --cp 3 --tp 2
layout '8 ranks = pp 2 x dp 2 x tp 2' --pp 2 --dp 2 --tp 2 --zero 2
layout '4 ranks = pp 4' --pp 4 --pipeline-schedule gpipe
layout '2 ranks = pp 2' --pp 2 --stage-rounds 1,3
layout '2 ranks = pp 2' --pp 2 --pipeline-schedule interleaved --virtual-stages 2
layout '2 ranks = dp 2' --mesh dp=2

cat >schedule.csv <<E2
F0, F1, B0, F2, B1, F3, B2, B3
F0, B0, F1, B1, F2, B2, F3, B3
E2
layout '2 ranks = pp 2' --pp 2 --pipeline-schedule schedule.csv --micro-batch-size 2
sed -i 's/F0, B0, F1/B0, F0, F1/' schedule.csv
expect 1 'stage 1 runs B0 (entry 1) before F0' "${train[@]}" --pp 2 --pipeline-schedule schedule.csv --micro-batch-size 2 --output-dir n

# Models that split attention in other ways: without a rule for heads queries are split over tp, too; keys and values under
# another name, with a rule of their own and without.
variant() { # NAME SED-SCRIPT: llama changed
  sed "$2" "$model" >"$1.xlm"
  cmp -s "$model" "$1.xlm" && fail "$1: nothing changed"
  expect 0 checkpoint "$run" train "$1.xlm" "${train[@]:3}" --output-dir "$1.alone"
  expect 0 '6 ranks = cp 3 x tp 2' "$run" train "$1.xlm" "${train[@]:3}" --cp 3 --tp 2 --output-dir "$1.split"
  paste <(column loss "$1.alone/metrics.jsonl") <(column loss "$1.split/metrics.jsonl") |
    awk '{ d = ($1 - $2) / $1; if (d > 1e-5 || d < -1e-5) bad++ } END { exit bad || NR != 3 }' ||
    fail "$1: another curve: $(cat "$1.split/metrics.jsonl")"
}
variant headless '/^shard heads/d'
renamed='s/attend(q, k, x @ wv, causal)/attend(q, rename(k, seq -> kv_seq), rename(x @ wv, seq -> kv_seq), causal)/;/^shard batch/i dim kv_seq = seq'
variant renamed "$renamed"
variant both_names "$renamed"$'\n''s/^shard seq /shard seq, kv_seq /'

# From a run file; an axis of the model's own; settings that read back.
sed 's/over tp/over columns/' "$model" >own.xlm
cat >run.yaml <<E2
model: own.xlm
mesh: { dp: 2, columns: 2 }
pipeline: { schedule: gpipe }
train: { zero: 1 }
E2
expect 0 'columns=2' "$run" train --config run.yaml --print-config
cp out.txt printed.yaml
for file in run.yaml printed.yaml; do
  expect 0 '4 ranks = dp 2 x columns 2' "$run" train --config $file "${train[@]:3}" --output-dir $file.d
done
[ "$(column loss run.yaml.d/metrics.jsonl)" = "$(column loss printed.yaml.d/metrics.jsonl)" ] || fail 'the printed run file is another run'
sed -i 's/columns:/colums:/' run.yaml
expect 1 "did you mean 'columns'?" "$run" train --config run.yaml "${train[@]:3}" --output-dir n

# ---- the other commands ----

loss=$("$run" eval one | sed 's/ nats.*//')
text=$("$run" generate one --prompt 'static ' --max-tokens 12 --temperature 0)
for mesh in '--tp 2' '--pp 2' '--cp 2' '--cp 3 --tp 2' '--dp 2 --tp 2'; do
  micro=2 # as many rows at once as one rank had: the same samples
  [[ $mesh == *dp* ]] && micro=1
  "$run" eval one $mesh --micro-batch-size $micro >out.txt 2>err.txt || fail "eval $mesh: $(cat err.txt)"
  awk -v a="${loss#loss }" '{ d = $2 - a; exit d > 1e-5 || d < -1e-5 }' out.txt || fail "eval $mesh: $(cat out.txt), not $loss"
  [ "$("$run" generate one --prompt 'static ' --max-tokens 12 --temperature 0 $mesh 2>err.txt)" = "$text" ] ||
    fail "generate $mesh: $(cat err.txt)"
done
expect 0 '(communication)' "$run" bench "$model" "${sizes[@]}" --steps 2 --warmup 1 --global-batch-size 8 --pp 2 --tp 2
grep -q '^tp *sends .* per step' out.txt || fail "no traffic: $(cat out.txt)"
grep -q 'rank 0 of 4' out.txt || fail "whose profile? $(cat out.txt)"

# ---- what does not fit ----

bad() { expect 1 "$1" "${train[@]}" "${@:2}" --output-dir n; }
bad 'no multiple of 6 = micro batch size 2 x 3 data-parallel ranks; 6 and 12 would work' --dp 3 --micro-batch-size 2
bad 'or a micro batch size that divides 4' --dp 2 --micro-batch-size 3
bad 'does not fit' --dp 2 --num-microbatches 3
bad 'did you mean `1f1b`' --pp 2 --pipeline-schedule 1f1
bad 'is not a list of rounds' --pp 2 --stage-rounds 3,x
bad 'given twice' --dp 2 --mesh dp=4
bad 'no mesh axis' --mesh rows
bad "no rule of the model splits anything over the mesh axis 'rows'" --mesh rows=2
bad "no rule of the model splits anything over the mesh axis 'ep'" --ep 2
bad 'seq' --tp 64
expect 3 'rank 0 needs' "${train[@]}" --tp 2 --memory-limit 100KiB --output-dir n
[ ! -e n ] || fail 'a run that cannot begin left a folder'

# ---- the seed configurations: as they are but for widths that two processors do in no time; heads and mesh are kept ----

config() { # NAME HEADS RANKS
  expect 0 "checkpoint $work/$1/step-00000002" env -C "$source_dir" "$run" train --config "configs/$1.yaml" --data "$work/corpus.txt" \
    --hidden-size $(($2 * 4)) --set layers=8 --intermediate-size 100 --vocab-size 257 --seq-length 32 --max-steps 2 \
    --eval-interval 0 --output-dir "$work/$1"
  grep -q " $3" out.txt || fail "$1: not $3: $(cat out.txt)"
}
config small 12 '32 x 32 per step,'
config medium 16 'ranks = tp 2'
config large 20 '8 ranks = pp 2 x tp 4'
config xl 25 '16 ranks = pp 4 x tp 4'
config sixteen 16 '16 ranks = pp 4 x dp 2 x tp 2'
config moe 12 '8 ranks = dp 2 x ep 4'
[ "$(ls "$source_dir"/configs | wc -l)" = 6 ] || fail 'a configuration is not tried here'
exit $failed
