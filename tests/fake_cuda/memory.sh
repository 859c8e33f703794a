#!/usr/bin/env bash
# The limit of --device cuda is the card's memory, not the host's; what the card gives is in the first and last lines.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --device cuda --max-steps 3)
expect 0 "of the GPU's 8.00 GiB: arena " "${train[@]}" --output-dir plenty
head -n 2 out.txt | grep -q 'as planned, .*256.00 MiB in use before (context, other programs)$' || fail "first lines: $(cat out.txt)"
tail -n 1 out.txt | grep -q ', [0-9.]* KiB graphs, ' || fail "no graphs: $(cat out.txt)"
# 256 MiB are the driver's and 512 MiB are kept for libraries and kernels: 2 MiB are left.
XLM_FAKE_MEMORY=770 expect 3 'and there are 2.00 MiB unused on its GPU, ' "${train[@]}" --output-dir few
grep -q ' too few: try a smaller --micro-batch-size or --seq-length, or --recompute full' out.txt || fail "no advice: $(cat out.txt)"
XLM_FAKE_MEMORY=780 expect 3 'rank 0 needs ' "${train[@]}" --dp 8 --global-batch-size 16 --output-dir shared
XLM_FAKE_MEMORY=780 XLM_FAKE_CARDS=8 XLM_CUDA_LINK=host expect 0 'checkpoint each/' "${train[@]}" --dp 8 --global-batch-size 16 --output-dir each
# What is given is believed, and the card's word comes when the arena is allocated.
XLM_FAKE_MEMORY=257 expect 2 'Another program may use it (nvidia-smi)' "${train[@]}" --memory-limit 1GiB --output-dir given
# Recomputing is chosen for the card's memory.
XLM_FAKE_MEMORY=770 expect 0 'checkpoint auto/' "${train[@]}" --hidden-size 32 --set layers=6 --micro-batch-size 1 --recompute auto --output-dir auto
exit $failed
