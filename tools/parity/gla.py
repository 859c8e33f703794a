"""Gated linear attention in float64 as its paper writes the recurrence (Yang et al., 2023), position after position.
The parameters have the names of flash-linear-attention, which are those of the weights section of models/gla.xlm."""
import json, types
import torch
from safetensors.torch import load_file
from torch.nn.functional import logsigmoid, silu


class GLA(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.config = types.SimpleNamespace(**json.load(open(f"{path}/config.json")))
        for name, value in load_file(f"{path}/model.safetensors").items():
            self.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value.double()))

    def weight(self, name):
        return self.get_parameter(f"{name}.weight".replace(".", "/"))

    def norm(self, x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.config.norm_eps) * self.weight(name)

    def attention(self, x, at):
        heads = self.config.num_heads
        gate = x @ self.weight(f"{at}.gk_proj.0").T @ self.weight(f"{at}.gk_proj.1").T
        gate = gate + self.get_parameter(f"{at}.gk_proj.1.bias".replace(".", "/"))
        q, k, v, g = (torch.unflatten(x @ self.weight(f"{at}.{p}_proj").T, -1, (heads, -1)) for p in "qkvg")
        decay = torch.unflatten(logsigmoid(gate) / 16, -1, (heads, -1)).exp()
        state, y = 0, []
        for t in range(x.shape[1]):
            state = decay[:, t, :, :, None] * state + k[:, t, :, :, None] * v[:, t, :, None, :]
            y.append((q[:, t, :, None, :] @ state).squeeze(-2) / q.shape[-1] ** 0.5)
        y = self.norm(torch.stack(y, 1), f"{at}.g_norm_swish_gate") * silu(g)
        return y.flatten(2) @ self.weight(f"{at}.o_proj").T

    def forward(self, tokens, **_):
        h = self.weight("model.embeddings")[tokens]
        for i in range(self.config.num_hidden_layers):
            at = f"model.layers.{i}"
            h = h + self.attention(self.norm(h, f"{at}.attn_norm"), f"{at}.attn")
            x = self.norm(h, f"{at}.mlp_norm")
            y = silu(x @ self.weight(f"{at}.mlp.gate_proj").T) * (x @ self.weight(f"{at}.mlp.up_proj").T)
            h = h + y @ self.weight(f"{at}.mlp.down_proj").T
        return types.SimpleNamespace(logits=self.norm(h, "model.norm") @ self.weight("lm_head").T)


load = GLA
