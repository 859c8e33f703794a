"""RetNet in float64 as its paper writes it (Sun et al., 2023): every position's sum over all earlier ones, with no state.
The parameters have the names of the weights section of models/retnet.xlm."""
import json, types
import torch
from safetensors.torch import load_file
from torch.nn.functional import gelu, silu


def turned(x, base=10000.0):  # x: batch, heads, positions, vector
    n = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * base ** (-torch.arange(n, dtype=x.dtype) / n)
    a, b = x[..., :n], x[..., n:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


class RetNet(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.config = types.SimpleNamespace(**json.load(open(f"{path}/config.json")))
        for name, value in load_file(f"{path}/model.safetensors").items():
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value.double()))

    def weight(self, name):
        return self.get_parameter(f"{name}.weight".replace(".", "/"))

    def norm(self, x, name=None):
        y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config.rms_norm_eps)
        return y * self.weight(name) if name else y

    def retention(self, x, at):
        heads = self.config.num_attention_heads
        q, k, v, g = (torch.unflatten(x @ self.weight(f"{at}.{p}_proj").T, -1, (heads, -1)).transpose(1, 2) for p in "qkvg")
        t = torch.arange(x.shape[1], dtype=x.dtype)
        gamma = 1 - 2.0 ** (-5 - torch.arange(heads, dtype=x.dtype))
        decay = torch.tril(gamma[:, None, None] ** (t[:, None] - t[None]).clamp(min=0))
        scores = turned(q) @ turned(k).transpose(-1, -2) / q.shape[-1] ** 0.5 * decay
        y = silu(g) * self.norm(scores @ v)
        return y.transpose(1, 2).flatten(2) @ self.weight(f"{at}.out_proj").T

    def forward(self, tokens, **_):
        h = self.weight("embed")[tokens]
        for i in range(self.config.num_hidden_layers):
            at = f"layers.{i}"
            h = h + self.retention(self.norm(h, f"{at}.retention_norm"), f"{at}.retention")
            y = gelu(self.norm(h, f"{at}.ffn_norm") @ self.weight(f"{at}.ffn.up_proj").T, approximate="tanh")
            h = h + y @ self.weight(f"{at}.ffn.down_proj").T
        return types.SimpleNamespace(logits=self.norm(h, "norm") @ self.weight("lm_head").T)


load = RetNet
