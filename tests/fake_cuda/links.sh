#!/usr/bin/env bash
# Two ranks on two cards go over NCCL, on one card over host memory; the first line says which and why, and the
# weights have the same bits. What is demanded and cannot be ends the run.
. "$(dirname "$0")/../train/xlmrun_lib.sh"
train=("$run" train "$model" --data corpus.txt "${tiny[@]}" --dp 2 --device cuda --max-steps 3)
XLM_FAKE_CARDS=2 expect 0 '2 ranks = dp 2, NCCL 2.28.9' "${train[@]}" --output-dir nccl
XLM_FAKE_CARDS=1 expect 0 '2 ranks = dp 2, through host memory (ranks 0 and 1 share a GPU)' "${train[@]}" --output-dir host
XLM_FAKE_CARDS=1 XLM_CUDA_LINK=nccl expect 2 'XLM_CUDA_LINK=nccl cannot be: ranks 0 and 1 share a GPU' "${train[@]}" --output-dir none
cmp nccl/step-00000003/model.safetensors host/step-00000003/model.safetensors || fail "the weights differ"
exit $failed
