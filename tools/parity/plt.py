"""The Parallel Loop Transformer in float64, by the formulas of docs/plt.md: every loop over the whole sequence, every attention
as a matrix of scores. The parameters have the names of the weights section of models/plt.xlm."""
import json, math, types
import torch
from safetensors.torch import load_file
from torch.nn.functional import pad, silu


def turned(x, base):  # x: batch, heads, positions, vector
    n = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * base ** (-torch.arange(n, dtype=x.dtype) / n)
    a, b = x[..., :n], x[..., n:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def attend(q, k, v, left=math.inf):  # of `left` keys before a query and its own
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    at = torch.arange(q.shape[2])
    back = at[:, None] - at[None]
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return scores.masked_fill((back < 0) | (back > left), -math.inf).softmax(-1) @ v


class Plt(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.config = types.SimpleNamespace(**json.load(open(f"{path}/config.json")))
        for name, value in load_file(f"{path}/model.safetensors").items():
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value.double()))

    def weight(self, name):
        return self.get_parameter(name.replace(".", "/"))

    def norm(self, x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config.rms_norm_eps) * self.weight(f"{name}.weight")

    def gate(self, h, q, at):  # batch, heads, positions, 1
        weight, bias = self.weight(f"{at}.weight"), self.weight(f"{at}.bias")
        if self.config.loop_gate_hidden:
            score = (self.norm(h, f"{at}.gate_norm") @ weight.T).transpose(1, 2)
        else:
            score = torch.einsum("bhtd,hd->bht", q, weight)
        return torch.sigmoid(score + bias[:, None])[..., None]

    def attention(self, h, i, r, first):
        c, at = self.config, f"model.layers.{i}"
        x = self.norm(h, f"{at}.input_layernorm")
        q, k, v = (torch.unflatten(x @ self.weight(f"{at}.self_attn.{p}_proj.weight").T, -1, (n, -1)).transpose(1, 2)
                   for p, n in (("q", c.num_attention_heads), ("k", c.num_key_value_heads), ("v", c.num_key_value_heads)))
        q, k = turned(q, c.rope_theta), turned(k, c.rope_theta)
        if r == 1: first[i] = (k, v)
        if r == 1 or not c.loop_shared_cache:
            y = attend(q, k, v)
        else:
            y = attend(q, *first[i])
            if c.loop_window:
                g = self.gate(h, q, f"{at}.self_attn.plt_gate")
                y = g * y + (1 - g) * attend(q, k, v, c.loop_window_size)
        return y.transpose(1, 2).flatten(2) @ self.weight(f"{at}.self_attn.o_proj.weight").T

    def mlp(self, x, at):
        gate, up, down = (self.weight(f"{at}.{p}_proj.weight").T for p in ("gate", "up", "down"))
        return silu(x @ gate) * (x @ up) @ down

    def forward(self, tokens, **_):
        c = self.config
        e = self.weight("model.embed_tokens.weight")[tokens]
        first = {}
        for r in range(1, c.loop_num + 1):
            before = pad(h[:, :-1], (0, 0, 1, 0)) if r > 1 and c.loop_shift else h if r > 1 else None
            h = e if r == 1 else c.loop_embedding_scale * e + c.loop_hidden_scale * before
            for i in range(c.num_hidden_layers):
                h = h + self.attention(h, i, r, first)
                h = h + self.mlp(self.norm(h, f"model.layers.{i}.post_attention_layernorm"), f"model.layers.{i}.mlp")
            if c.loop_norm or r == c.loop_num: h = self.norm(h, "model.norm")
        return types.SimpleNamespace(logits=h @ self.weight("lm_head.weight").T)


load = Plt
