#!/usr/bin/env bash
# --init-from: sizes and weights of folders, files and checkpoints, and what is refused.
. "$(dirname "$0")/xlmrun_lib.sh"

gpt2=$source_dir/models/gpt2.xlm
expect 0 'checkpoint run/' "$run" train "$gpt2" --data corpus.txt --max-steps 2 --global-batch-size 2 --micro-batch-size 2 --eval-interval 0 \
  --set layers=2 --set heads=2 --hidden-size 16 --vocab-size 256 --seq-length 32 --output-dir run
head -c 2000 corpus.txt >some.txt
"$run" eval run --data some.txt >there.txt 2>/dev/null
evaluate=("$run" eval "$gpt2" --data some.txt --micro-batch-size 2)

# Sizes come with the weights: of a checkpoint, or of the config.json beside a file of any name.
expect 0 "$(cat there.txt)" "${evaluate[@]}" --seq-length 32 --init-from run
expect 0 "$(cut -c 1-11 there.txt)" "${evaluate[@]}" --seq-length 32 --init-from run --tp 2
mkdir any && cp run/step-00000002/config.json any/ && cp run/step-00000002/model.safetensors any/gpt.safetensors
expect 0 "$(cat there.txt)" "${evaluate[@]}" --seq-length 32 --init-from any
expect 0 "$(cat there.txt)" "${evaluate[@]}" --seq-length 32 --init-from any/gpt.safetensors
expect 1 'says n_layer = 2, and this model has 1: give --n-layer 2' "${evaluate[@]}" --seq-length 32 --init-from any --n-layer 1
expect 1 'has shape [32, 16] in the file, but the model has [16, 16]: give --seq-length 32' "${evaluate[@]}" --seq-length 16 --init-from any

# What is missing and what is left over.
other=("$run" eval "$source_dir/models/neox.xlm" --data some.txt --micro-batch-size 2 --set layers=2 --set heads=2 --hidden-size 16
  --vocab-size 256 --seq-length 32)
rm any/config.json
expect 1 "the weights lack 28 of the model's 28 tensors, first 'gpt_neox.embed_in.weight'" "${other[@]}" --init-from any/gpt.safetensors
expect 1 "12 of the 28 tensors of the weights belong to no parameter of the model, first 'transformer.h.1.attn.c_attn.bias'" \
  "${evaluate[@]}" --init-from any --set layers=1 --set heads=2 --hidden-size 16 --vocab-size 256 --seq-length 32

# What is left over may be ignored, if it is said: the rest is the same model, and a parameter that is missing stays an error.
printf '{"extra.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' >header && cp -r any more
{ printf "\\x$(printf %x "$(wc -c <header)")\\0\\0\\0\\0\\0\\0\\0" && cat header && printf '\1\2\3\4\5\6\7\10'; } >more/head.safetensors
expect 1 "1 of the 29 tensors of the weights belong to no parameter of the model, first 'extra.weight': it would compute something else; --ignore-unexpected-weights" \
  "${evaluate[@]}" --init-from more --set layers=2 --set heads=2 --hidden-size 16 --vocab-size 256 --seq-length 32
expect 0 "xlmrun: note: 'more': 1 of the 29 tensors of the weights belong to no parameter of the model, first 'extra.weight'; ignored" \
  "${evaluate[@]}" --init-from more --set layers=2 --set heads=2 --hidden-size 16 --vocab-size 256 --seq-length 32 --ignore-unexpected-weights
grep -qxF "$(cat there.txt)" out.txt || fail "another loss without the rest: $(cat out.txt there.txt)"
expect 1 "the weights lack 28 of the model's 28 tensors" "${other[@]}" --init-from more --ignore-unexpected-weights

# Folders without weights that can be read.
sizes=(--set layers=2 --set heads=2 --hidden-size 16 --vocab-size 256 --seq-length 32)
mkdir torch && touch torch/pytorch_model.bin
expect 1 "'torch' has no *.safetensors; 'torch/pytorch_model.bin' is of another format" "${evaluate[@]}" "${sizes[@]}" --init-from torch
mkdir empty
expect 1 "'empty' has no *.safetensors" "${evaluate[@]}" "${sizes[@]}" --init-from empty
exit $failed
