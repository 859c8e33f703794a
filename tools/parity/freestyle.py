"""models/freestyle.xlm in float64, written from what its text says. The parameters have the names of its weights
section. Rotary positions turn pairs (j, j + head / 2)."""
import json, types
import torch
from safetensors.torch import load_file

ATTENTION_CAP = 50.0


def capped(x, cap):
    return cap * torch.tanh(x / cap)


def turned(x, base=10000.0):  # x: batch, heads, positions, vector
    n = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * base ** (-torch.arange(n, dtype=x.dtype) / n)
    a, b = x[..., :n], x[..., n:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class Freestyle(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.config = types.SimpleNamespace(**json.load(open(f"{path}/config.json")))
        for name, value in load_file(f"{path}/model.safetensors").items():
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value.double()))

    def parameter(self, name):
        return self.get_parameter(name.replace(".", "/"))

    def norm(self, x, name=None):
        y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return y * self.parameter(f"{name}.weight") if name else y

    def product(self, x, name):
        return x @ self.parameter(f"{name}.weight").T

    def heads(self, x):  # batch, heads, positions, vector
        return x.unflatten(-1, (self.config.num_attention_heads, -1)).transpose(1, 2)

    def attention(self, x, v, at, windowed):
        q, k = (turned(self.norm(self.heads(self.product(x, f"{at}.{p}_proj")))) for p in "qk")
        scores = capped(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, ATTENTION_CAP)
        t = torch.arange(x.shape[1])
        back = t[:, None] - t[None]
        unseen = (back < 0) | (back >= self.config.sliding_window if windowed else False)
        y = scores.masked_fill(unseen, float("-inf")).softmax(-1) @ v
        return self.product(y.transpose(1, 2).flatten(2), f"{at}.o_proj")

    def mlp(self, x, at):
        return self.product(self.product(x, f"{at}.up_proj").relu().square(), f"{at}.down_proj")

    def forward(self, tokens, **_):
        h = self.parameter("embed.weight")[tokens]
        for i in range(self.config.num_hidden_layers):
            at = f"layers.{i}"
            x = self.norm(h, f"{at}.norm")
            v = self.heads(self.product(x, f"{at}.v_proj"))
            if i == 0: first = v
            else: v = v + self.parameter(f"{at}.mix")[:, None, None] * first
            h = h + self.attention(x, v, at, windowed=i % 2 == 0) + self.mlp(x, at)
        logits = self.product(self.norm(h, "norm"), "lm_head")
        return types.SimpleNamespace(logits=capped(logits, self.config.final_logit_softcapping))


load = Freestyle
