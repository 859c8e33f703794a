#!/usr/bin/env python3
"""What transformers' logits processors leave of some logits: tests/decode/samples.json, which tests/decode/test_sample.c
compares with. Needs torch and transformers:

    python3 tools/parity/sample.py >tests/decode/samples.json

Every case has logits, the tokens of the text so far, settings, and the probabilities of all tokens, computed in float64.
The order of the processors is the one of GenerationMixin._get_logits_processor, which is asked for them.
"""
import json
import random
import warnings

import torch
from transformers import GenerationConfig, GenerationMixin
from transformers.generation.logits_process import LogitsProcessorList

warnings.filterwarnings("ignore")

VOCAB = 24
SETTINGS = [
    {},
    {"temperature": 0.7},
    {"temperature": 2.5},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 100},
    {"top_p": 0.9},
    {"top_p": 0.3},
    {"top_p": 1e-4},
    {"min_p": 0.1},
    {"min_p": 0.6},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8},
    {"top_k": 6, "top_p": 0.8},
    {"top_p": 0.95, "min_p": 0.05},
    {"top_k": 10, "min_p": 0.2},
    {"temperature": 0.6, "top_k": 12, "top_p": 0.9, "min_p": 0.03, "repetition_penalty": 1.2},
    {"temperature": 1.7, "top_k": 4, "top_p": 0.5, "min_p": 0.3, "repetition_penalty": 2.0},
]
DEFAULTS = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}


class Model(GenerationMixin):
    """As much of a model as the choice of the processors asks for."""

    def __init__(self):
        self.config = type("Config", (), {"is_encoder_decoder": False, "vocab_size": VOCAB})()
        self.generation_config = GenerationConfig()
        self.device = torch.device("cpu")


def processors(settings):
    given = {k: v for k, v in {**DEFAULTS, **settings}.items() if k in settings or k == "top_k"}
    config = GenerationConfig(do_sample=True, **given)
    return Model()._get_logits_processor(
        generation_config=config, input_ids_seq_length=1, encoder_input_ids=None, logits_processor=LogitsProcessorList(),
        device="cpu", model_kwargs={}
    )


def main():
    random.seed(5)
    cases = []
    for k, settings in enumerate(SETTINGS):
        for _ in range(2):
            logits = [round(random.gauss(0, 2.5), 3) for _ in range(VOCAB)]
            if settings.get("top_k") == 5:  # a tie at the fifth: all that are equal stay
                order = sorted(range(VOCAB), key=lambda i: -logits[i])
                logits[order[5]] = logits[order[6]] = logits[order[4]]
            text = [random.randrange(VOCAB) for _ in range(6)]
            text += text[:2]  # a token that is there twice counts once
            scores = processors(settings)(torch.tensor([text]), torch.tensor([logits], dtype=torch.float64))
            p = torch.softmax(scores, -1)[0].tolist()
            cases.append({**DEFAULTS, **settings, "text": text, "logits": logits, "p": [round(x, 9) for x in p]})
    print("[")
    print(",\n".join(json.dumps(c) for c in cases))
    print("]")


if __name__ == "__main__":
    main()
