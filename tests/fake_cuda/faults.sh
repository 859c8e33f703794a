#!/usr/bin/env bash
# An operation that goes wrong on the card ends the run, with a sentence; nothing is saved after it, and the last
# checkpoint resumes to the weights of a run without the fault. --device cuda-checked says which operation it was.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --log-interval 1 --eval-interval 0 --save-interval 2 --seed 5
  --max-steps 8)
expect 0 'checkpoint whole/step-00000008' "${train[@]}" --device cuda --output-dir whole

# fault DEVICE AT TEXT: the run ends at its AT-th operation with this text.
fault() {
  expect 2 "$3" env XLM_FAKE_FAULT="$2" "${train[@]}" --device "$1" --output-dir "$1" --overwrite
  [ "$(grep -c '^xlmrun: ' out.txt)" = 1 ] || fail "not told once: $(cat out.txt)"
  expect 0 'resumed from' "$run" train --resume "$1" --device "$1"
  same_weights whole/step-00000008 "$1/step-00000008"
}
fault cuda 1500 'an illegal address'
fault cuda-checked 1500 ".xlm:"
exit $failed
