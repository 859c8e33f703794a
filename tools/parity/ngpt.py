"""nGPT by the equations of arXiv 2410.01131, for reference.py: transformers does not have it. Parameters have the names
of models/ngpt.xlm's checkpoints. Rotary positions turn pairs (j, j + head / 2)."""
import json, torch
from types import SimpleNamespace
from safetensors.torch import load_file
from torch.nn import Linear, Parameter, functional as F

DECAY = 0.0


def unit(x, dim=-1):
    return x / x.norm(dim=dim, keepdim=True)


def turn(x, theta):  # x: [batch, heads, seq, head]
    seq, head = x.shape[-2:]
    frequency = theta ** (-torch.arange(0, head, 2, dtype=torch.float32) / head)
    angle = torch.arange(seq, dtype=torch.float32)[:, None] * frequency
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()), dim=-1)


class Layer(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        d, ffn = c["hidden_size"], c["intermediate_size"]
        self.config = c
        self.query, self.key, self.value, self.att_c_proj = (Linear(d, d, bias=False) for _ in range(4))
        self.c_fc, self.mlp_c_proj = Linear(d, 2 * ffn, bias=False), Linear(ffn, d, bias=False)
        self.sqk, self.attn_alpha, self.mlp_alpha = (Parameter(torch.empty(d)) for _ in range(3))
        self.suv = Parameter(torch.empty(2 * ffn))

    def attention(self, h):
        heads, small = self.config["num_attention_heads"], self.config["hidden_size"] ** -0.5
        q, k, v = (p(h).unflatten(-1, (heads, -1)).transpose(1, 2) for p in (self.query, self.key, self.value))
        sqk = (self.sqk / small).view(heads, 1, -1)
        q, k = (sqk * unit(turn(x, self.config["rope_theta"])) for x in (q, k))
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** 0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        y = scores.masked_fill(later, float("-inf")).softmax(-1) @ v
        return self.att_c_proj(y.transpose(1, 2).flatten(2))

    def mlp(self, h):
        u, v = self.c_fc(h).chunk(2, dim=-1)
        su, sv = self.suv.chunk(2)
        return self.mlp_c_proj(u * su * F.silu(v * sv * self.config["hidden_size"] ** 0.5))

    def toward(self, h, y, alpha):
        rate = (alpha * self.config["alpha_init"] * self.config["hidden_size"] ** 0.5).abs()
        return unit(h + rate * (unit(y) - h))

    def forward(self, h):
        h = self.toward(h, self.attention(h), self.attn_alpha)
        return self.toward(h, self.mlp(h), self.mlp_alpha)


class NGPT(torch.nn.Module):
    def __init__(self, c):
        super().__init__()
        d, vocab = c["hidden_size"], c["vocab_size"]
        self.small = d**-0.5
        layers = torch.nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.transformer = torch.nn.ModuleDict({"wte": torch.nn.Embedding(vocab, d), "h": layers})
        self.lm_head, self.sz = Linear(d, vocab, bias=False), Parameter(torch.empty(vocab))

    def forward(self, tokens, use_cache=False):
        h = self.transformer["wte"](tokens)
        for layer in self.transformer["h"]: h = layer(h)
        return SimpleNamespace(logits=self.lm_head(h) * (self.sz / self.small))


def load(path):
    model = NGPT(json.load(open(f"{path}/config.json")))
    model.load_state_dict(load_file(f"{path}/model.safetensors"))
    return model


class Training:
    def __init__(self, model):
        self.model, self.parameters = model, []

    def loss(self, tokens, targets, later):
        return 0

    def after_step(self):  # every vector along the hidden dimension has length 1
        with torch.no_grad():
            for name, p in self.model.named_parameters():
                if p.dim() == 2: p.copy_(unit(p, 0 if "c_proj" in name else 1))
