"""Adapters of low rank around the layers of transformers' llama, whose own weights are frozen. Factors are those of the
checkpoint; alpha / rank is that of tests/train/test_parity.c."""
import torch, transformers
from safetensors.torch import load_file

SCALE = {"self_attn": 8 / 4, "mlp": 2 / 2}
NAMES = {"wq": "self_attn.q_proj", "wv": "self_attn.v_proj", "wo": "self_attn.o_proj", "gate": "mlp.gate_proj",
         "up": "mlp.up_proj", "down": "mlp.down_proj"}


class Adapted(torch.nn.Module):
    def __init__(self, layer, a, b, scale):
        super().__init__()
        self.layer, self.scale = layer, scale
        rank = a.shape[-1]  # of the summed dimensions and the rank; the rank and the others
        self.a = torch.nn.Parameter(a.reshape(-1, rank).clone())
        self.b = torch.nn.Parameter(b.reshape(rank, -1).clone())

    def forward(self, x):
        return self.layer(x) + self.scale * (x @ self.a @ self.b)


def load(path):
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    model.requires_grad_(False)
    factors = load_file(f"{path}/model.safetensors")
    for i, layer in enumerate(model.model.layers):
        for own, theirs in NAMES.items():
            part, name = theirs.split(".")
            at = f"layers.{i}.{'attention' if part == 'self_attn' else 'mlp'}.{own}.lora_"
            module = getattr(layer, part)
            setattr(module, name, Adapted(getattr(module, name), factors[at + "a"], factors[at + "b"], SCALE[part]))
    return model
