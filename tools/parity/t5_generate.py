"""Greedy texts of transformers' generate for tests/decode/test_generate_inputs.sh: t5_generate.py CHECKPOINT OUT

CHECKPOINT is a checkpoint of the initial weights of models/t5.xlm that the test makes (its folder is one of
transformers' models); run the test with XLM_KEEP=FOLDER to have it in FOLDER. Every line of OUT is a source of its own
length and the tokens that follow the first, pad. No choice is near: the script ends with an error if the two likeliest
tokens of any are closer than 1e-3.
"""

import json
import random
import sys

import torch
from transformers import T5ForConditionalGeneration

NEW = 31
LENGTHS = [24, 1, 7, 13, 20, 4, 11]  # the model has room for 24

model = T5ForConditionalGeneration.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
random.seed(5)
with open(sys.argv[2], "w") as out:
    for length in LENGTHS:
        source = [random.randrange(2, 256) for _ in range(length)]
        ids = torch.tensor([source])
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False,
                              num_beams=1, eos_token_id=None, output_scores=True, return_dict_in_generate=True)
        for scores in made.scores:
            first, second = torch.topk(scores[0], 2).values.tolist()
            if first - second < 1e-3:
                sys.exit(f"a choice of {first} and {second}: take another seed")
        out.write(json.dumps({"source": source, "tokens": made.sequences[0][1:].tolist()}) + "\n")
