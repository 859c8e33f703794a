#!/usr/bin/env python3
"""Training steps of PyTorch: what tools/gpu_check.sh (gpu_rows.txt) and peers.sh (peer_rows.txt) put beside
`xlmrun bench`.

  torch_train.py gpt2|llama|mixtral [--layers N] [--hidden N] ... [--compile] [--steps N] [--device cpu]

f32 parameters, bf16 (autocast) or f32 computation, fused AdamW with clipping of the gradient's norm, attention by
scaled_dot_product_attention, synthetic tokens. Prints one line: tokens/s of the median step, its time, peak memory
(of the process, on a CPU).
"""
import argparse
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("model", choices=["gpt2", "llama", "mixtral"])
    for name, value in dict(vocab=50257, hidden=768, layers=12, heads=12, kv_heads=0, ffn=0, seq=1024, batch=32,
                            micro=0, experts=8, active=2, theta=10000, steps=20, warmup=6).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    p.add_argument("--compile", action="store_true")
    p.add_argument("--device", default="cuda")
    p.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
    p.add_argument("--threads", type=int, default=0, help="of a CPU; 0: torch's default")
    a = p.parse_args()
    a.kv_heads = a.kv_heads or a.heads
    a.ffn = a.ffn or 4 * a.hidden
    a.micro = a.micro or a.batch
    return a


class Norm(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.kind = a.model
        self.scale = nn.Parameter(torch.ones(a.hidden))
        self.bias = nn.Parameter(torch.zeros(a.hidden)) if a.model == "gpt2" else None

    def forward(self, x):
        if self.kind == "gpt2":
            return F.layer_norm(x, x.shape[-1:], self.scale, self.bias, 1e-5)
        return F.rms_norm(x, x.shape[-1:], self.scale, 1e-5)


def rotate(x, cos, sin):  # halves, as Llama
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.a, self.d, bias = a, a.hidden // a.heads, a.model == "gpt2"
        self.qkv = nn.Linear(a.hidden, (a.heads + 2 * a.kv_heads) * self.d, bias)
        self.out = nn.Linear(a.hidden, a.hidden, bias)

    def forward(self, x, turn):
        a, (b, s, _) = self.a, x.shape
        q, k, v = self.qkv(x).split([a.heads * self.d, a.kv_heads * self.d, a.kv_heads * self.d], -1)
        q, k, v = (t.view(b, s, -1, self.d).transpose(1, 2) for t in (q, k, v))
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=a.kv_heads != a.heads)
        return self.out(y.transpose(1, 2).reshape(b, s, -1))


class Dense(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.gated = a.model != "gpt2"
        self.up = nn.Linear(a.hidden, (2 if self.gated else 1) * a.ffn, not self.gated)
        self.down = nn.Linear(a.ffn, a.hidden, not self.gated)

    def forward(self, x):
        if not self.gated:
            return self.down(F.gelu(self.up(x), approximate="tanh"))
        gate, up = self.up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Experts(nn.Module):  # tokens sorted by expert, then one product per matrix and expert, or grouped products
    def __init__(self, a):
        super().__init__()
        self.a = a
        self.router = nn.Linear(a.hidden, a.experts, False)
        self.up = nn.Parameter(torch.randn(a.experts, a.hidden, 2 * a.ffn) * 0.02)
        self.down = nn.Parameter(torch.randn(a.experts, a.ffn, a.hidden) * 0.02)

    def product(self, x, w, ends):
        w = w.to(x.dtype)
        if hasattr(torch, "_grouped_mm") and x.is_cuda and x.dtype == torch.bfloat16:
            return torch._grouped_mm(x, w, offs=ends)
        begin, parts = 0, []
        for e, end in enumerate(ends.tolist()):
            parts.append(x[begin:end] @ w[e])
            begin = end
        return torch.cat(parts)

    def forward(self, x):
        a, flat = self.a, x.reshape(-1, self.a.hidden)
        with torch.autocast(flat.device.type, enabled=False):
            weight, chosen = self.router(flat.float()).softmax(-1).topk(a.active, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        order = chosen.reshape(-1).argsort(stable=True)
        ends = torch.bincount(chosen.reshape(-1), minlength=a.experts).cumsum(0).to(torch.int32)
        rows = flat[order // a.active].to(torch.bfloat16 if x.is_cuda else flat.dtype)
        gate, up = self.product(rows, self.up, ends).chunk(2, -1)
        rows = self.product(F.silu(gate) * up, self.down, ends)
        rows = rows * weight.reshape(-1)[order].unsqueeze(-1).to(rows.dtype)
        return torch.zeros_like(flat, dtype=rows.dtype).index_add(0, order // a.active, rows).view_as(x)


class Block(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.pre, self.attention, self.post = Norm(a), Attention(a), Norm(a)
        self.mlp = Experts(a) if a.model == "mixtral" else Dense(a)

    def forward(self, x, turn):
        x = x + self.attention(self.pre(x), turn)
        return x + self.mlp(self.post(x))


class Model(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.a = a
        self.embed = nn.Embedding(a.vocab, a.hidden)
        self.places = nn.Embedding(a.seq, a.hidden) if a.model == "gpt2" else None
        self.blocks = nn.ModuleList(Block(a) for _ in range(a.layers))
        self.norm = Norm(a)
        self.head = nn.Linear(a.hidden, a.vocab, False)
        if a.model == "gpt2":
            self.head.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, tokens, targets):
        a, turn = self.a, None
        x = self.embed(tokens)
        if self.places is not None:
            x = x + self.places.weight
        else:
            d = a.hidden // a.heads
            angle = torch.outer(torch.arange(a.seq, device=x.device).float(),
                                a.theta ** (-torch.arange(0, d, 2, device=x.device).float() / d))
            turn = (angle.cos(), angle.sin())
        for block in self.blocks:
            x = block(x, turn)
        return F.cross_entropy(self.head(self.norm(x)).float().view(-1, a.vocab), targets.reshape(-1))


def main():
    a = parse()
    torch.manual_seed(1)
    cuda = a.device == "cuda"
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.set_float32_matmul_precision("high")
    model = Model(a).to(a.device)
    step = torch.compile(model) if a.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    tokens = torch.randint(0, a.vocab, (a.batch, a.seq + 1), device=a.device)
    parts = a.batch // a.micro
    times = []
    for i in range(a.warmup + a.steps):
        if cuda:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for k in range(parts):
            rows = tokens[k * a.micro:(k + 1) * a.micro]
            with torch.autocast(a.device, torch.bfloat16, enabled=a.dtype == "bf16"):
                loss = step(rows[:, :-1], rows[:, 1:]) / parts
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()
        if i >= a.warmup:
            times.append(time.perf_counter() - begin)
    peak = (torch.cuda.max_memory_allocated() if cuda
            else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 2**30
    print(f"{a.batch * a.seq / statistics.median(times):.0f} tokens/s  {1e3 * statistics.median(times):.2f} ms  "
          f"{peak:.3f} GiB  torch {torch.__version__} {'compile' if a.compile else 'eager'}")


if __name__ == "__main__":
    main()
