#!/usr/bin/env bash
# Whatever file of a checkpoint is truncated, removed, emptied or has one wrong bit, anywhere: it is not loaded, the file is
# named, and the run goes on from the checkpoint before, to the weights of an uninterrupted run. Of one file, of
# shards. XLM_DAMAGES is the number (nightly: 1000).
. "$(dirname "$0")/../train/xlmrun_lib.sh"

train=("$run" train "$model" --data corpus.txt --hidden-size 16 --set layers=1 --set heads=2 --intermediate-size 32 --vocab-size 256
  --seq-length 16 --global-batch-size 4 --micro-batch-size 2 --threads 2 --max-steps 4 --save-interval 2 --eval-interval 0)
expect 0 'saved one/step-00000004' "${train[@]}" --output-dir one
expect 0 'saved shards/step-00000004' "${train[@]}" --output-dir shards --dp 2 --checkpoint-shards 2

any() { # a number below $1
  echo $(((RANDOM * 32768 + RANDOM) % $1))
}

# damage FILE: sets `what`.
damage() {
  local size at byte
  size=$(stat -c %s "$1")
  at=$(any "$size")
  case $(any 8) in
    0) what=removed && rm "$1" ;;
    1) what=emptied && : >"$1" ;;
    2 | 3) what="cut to $at bytes" && truncate -s "$at" "$1" ;;
    *)
      byte=$(od -An -tu1 -j "$at" -N 1 "$1")
      what="a wrong bit in byte $at"
      printf "\\x$(printf %x $((byte ^ 1 << $(any 8))))" | dd of="$1" bs=1 seek="$at" conv=notrunc 2>dd.txt ;;
  esac
}

for ((i = 0; i < ${XLM_DAMAGES:-10}; i++)); do
  from=one
  [ $((i % 2)) = 0 ] || from=shards
  rm -rf bad && mkdir bad && cp -r $from/step-* bad/
  file=$(find bad/step-00000004 -type f | sort | shuf -n 1)
  damage "$file"
  cmp -s "$file" "$from/${file#bad/}" && fail "$file: $what, and it is the same"
  expect 0 'resumed from bad/step-00000002 at step 2' "$run" train --resume bad
  [ "$(grep -c '^xlmrun: skipped bad/step-00000004: ' out.txt)" = 1 ] || fail "$file: $what, and no word: $(cat out.txt)"
  grep -q "^xlmrun: skipped .*$(basename "$file" .safetensors)" out.txt || fail "$file: $what, and another is blamed: $(cat out.txt)"
  same_checkpoint bad/step-00000004 $from/step-00000004 || fail "$file: $what: $(cat differs.txt)"
done
exit $failed
