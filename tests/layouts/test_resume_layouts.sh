#!/usr/bin/env bash
# A checkpoint contains logical tensors: a run can be resumed in any other layout, and its curve is that of
# one rank.
. "$(dirname "$0")/../train/xlmrun_lib.sh"

sizes=(--hidden-size 32 --set layers=4 --set heads=4 --intermediate-size 40 --vocab-size 256 --seq-length 32)
# Letters: what is rare in a text has large updates, which amplify rounding.
tr -cd 'a-z \n' <corpus.txt >letters.txt
train=("$run" train "$source_dir/models/gpt2.xlm" --data letters.txt "${sizes[@]}" --global-batch-size 8 --micro-batch-size 2
  --learning-rate 3e-3 --lr-schedule constant --warmup-steps 3 --log-interval 1 --eval-interval 0 --keep-checkpoints 0 --seed 5
  --threads 2)

# same_curve A B: the losses of two metrics files, within rounding.
same_curve() {
  [ "$(column loss "$1" | wc -l)" = "$(column loss "$2" | wc -l)" ] || fail "not as many steps: $(cat "$1" "$2")"
  paste <(column loss "$1") <(column loss "$2") |
    awk '{ d = ($1 - $2) / $1; if (d > 1e-5 || d < -1e-5) bad++ } END { exit bad || !NR }' ||
    fail "another curve: $(paste <(column loss "$1") <(column loss "$2"))"
}

expect 0 'checkpoint whole/step-00000012' "${train[@]}" --max-steps 12 --save-interval 2 --output-dir whole

# One after the other: embedding and head are tied here, so that stages hold copies of one parameter.
expect 0 'checkpoint moved/step-00000002' "${train[@]}" --max-steps 2 --output-dir moved
go_on() {
  expect 0 "checkpoint moved/step-000000$1" "$run" train --resume moved --max-steps "$1" "${@:3}"
  grep -qF " $2  " out.txt || fail "not '$2': $(cat out.txt)"
}
go_on 04 '4 ranks = dp 2 x tp 2' --dp 2 --tp 2
go_on 06 '2 ranks = pp 2' --pp 2
go_on 08 '4 ranks = dp 4' --dp 4 --zero 3
go_on 09 '6 ranks = cp 3 x tp 2' --dp 1 --cp 3 --tp 2 # positions are split in two runs
go_on 10 '4 ranks = pp 2 x tp 2' --pp 2 --tp 2 --pipeline-schedule interleaved
go_on 12 '8 microbatches' --tp 1 --micro-batch-size 1
grep -q 'note:' out.txt && fail "the model is the same: $(cat out.txt)"
grep -q 'ranks =' out.txt && fail "not on one rank: $(cat out.txt)"
same_curve whole/metrics.jsonl moved/metrics.jsonl

# Without a word about the mesh the old one is kept; pipelines change no bit.
expect 0 'pp 4' "${train[@]}" --max-steps 6 --pp 4 --save-interval 2 --output-dir pipe
same_weights whole/step-00000006 pipe/step-00000006
expect 0 'pp 4' "$run" train --resume pipe --max-steps 8
same_weights whole/step-00000008 pipe/step-00000008
expect 0 'at step 2' "$run" train --resume whole/step-00000002 --output-dir cut --max-steps 4 --pp 2 --pipeline-schedule zb-h1
same_weights whole/step-00000004 cut/step-00000004

# The global batch is the run's, whatever the layout makes of the micro batch.
expect 0 '8 x 32 per step, 1 microbatch  8 ranks = dp 8' "$run" train --resume whole/step-00000002 --output-dir wide --max-steps 4 --dp 8
sed -n 3,4p whole/metrics.jsonl >part.jsonl
same_curve part.jsonl wide/metrics.jsonl
expect 1 'data-parallel ranks' "$run" train --resume whole/step-00000002 --output-dir n --dp 3
exit $failed
