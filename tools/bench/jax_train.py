#!/usr/bin/env python3
"""Training steps of JAX for the models of peer_rows.txt: what peers.sh puts beside `xlmrun bench`.

  jax_train.py gpt2|llama [--layers N] [--hidden N] ... [--dtype f32|bf16] [--steps N]

One compiled step with donated state: f32 parameters, computation in f32 or bf16, AdamW with clipping of the
gradient's norm, microbatches by a scan. The layers are a Python loop, which XLA compiles to faster code on a CPU than a
scan over stacked weights. Prints one line: tokens/s of the median step, its time, peak memory of the process.
"""
import argparse
import resource
import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("model", choices=["gpt2", "llama"])
    for name, value in dict(vocab=50257, hidden=768, layers=12, heads=12, kv_heads=0, ffn=0, seq=1024, batch=32,
                            micro=0, theta=10000, steps=20, warmup=6).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=value)
    p.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    a = p.parse_args()
    a.kv_heads = a.kv_heads or a.heads
    a.ffn = a.ffn or 4 * a.hidden
    a.micro = a.micro or a.batch
    return a


def initial(a):
    keys = iter(jax.random.split(jax.random.PRNGKey(1), 8 * a.layers + 8))
    d, gpt2 = a.hidden // a.heads, a.model == "gpt2"

    def matrix(*shape):
        return 0.02 * jax.random.normal(next(keys), shape)

    def linear(n, m):
        return {"w": matrix(n, m), **({"b": jnp.zeros(m)} if gpt2 else {})}

    def norm():
        return {"w": jnp.ones(a.hidden), **({"b": jnp.zeros(a.hidden)} if gpt2 else {})}

    layer = [dict(pre=norm(), qkv=linear(a.hidden, (a.heads + 2 * a.kv_heads) * d), out=linear(a.hidden, a.hidden),
                  post=norm(), up=linear(a.hidden, (1 if gpt2 else 2) * a.ffn), down=linear(a.ffn, a.hidden))
             for _ in range(a.layers)]
    p = dict(embed=matrix(a.vocab, a.hidden), layers=layer, norm=norm())
    if gpt2:
        p["places"] = matrix(a.seq, a.hidden)
    else:
        p["head"] = matrix(a.hidden, a.vocab)
    return p


def apply(x, p):
    return x @ p["w"] + p["b"] if "b" in p else x @ p["w"]


def normed(x, p):
    y = x.astype(jnp.float32)
    if "b" in p:
        y = y - y.mean(-1, keepdims=True)
    y = y * jax.lax.rsqrt((y * y).mean(-1, keepdims=True) + 1e-5)
    return (y * p["w"] + p.get("b", 0.0)).astype(x.dtype)


def rotate(x, cos, sin):  # halves, as Llama; x [batch, seq, heads, head]
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate((a * cos - b * sin, b * cos + a * sin), -1).astype(x.dtype)


def attention(a, x, p):
    d, (b, s, _) = a.hidden // a.heads, x.shape
    q, k, v = jnp.split(apply(x, p["qkv"]), [a.heads * d, (a.heads + a.kv_heads) * d], -1)
    q, k, v = (t.reshape(b, s, -1, d) for t in (q, k, v))
    if a.model == "llama":
        angle = jnp.outer(jnp.arange(s), a.theta ** (-jnp.arange(0, d, 2) / d))[:, None]
        q, k = (rotate(t, jnp.cos(angle), jnp.sin(angle)) for t in (q, k))
    return apply(jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(b, s, -1), p["out"])


def mlp(a, x, p):
    up = apply(x, p["up"])
    if a.model == "gpt2":
        return apply(jax.nn.gelu(up), p["down"])
    gate, up = jnp.split(up, 2, -1)
    return apply(jax.nn.silu(gate) * up, p["down"])


def loss_of(a, p, tokens):
    kind = jnp.bfloat16 if a.dtype == "bf16" else jnp.float32
    w = jax.tree.map(lambda t: t.astype(kind) if t.ndim > 1 else t, p)
    x = w["embed"][tokens[:, :-1]]
    if "places" in w:
        x = x + w["places"]
    for layer in w["layers"]:
        x = x + attention(a, normed(x, layer["pre"]), layer).astype(kind)
        x = x + mlp(a, normed(x, layer["post"]), layer).astype(kind)
    logits = normed(x, w["norm"]) @ (w["head"] if "head" in w else w["embed"].T)
    logp = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(logp, tokens[:, 1:, None], -1).mean()


@partial(jax.jit, static_argnums=0, donate_argnums=(1, 2, 3))
def step(frozen, p, m, v, t, tokens):
    a = argparse.Namespace(**dict(frozen))
    parts = tokens.reshape(-1, a.micro, tokens.shape[1])
    gradient = jax.value_and_grad(partial(loss_of, a))
    if parts.shape[0] == 1:
        loss, g = gradient(p, parts[0])
    else:
        (loss, g), _ = jax.lax.scan(
            lambda sums, part: (jax.tree.map(jnp.add, sums, gradient(p, part)), None),
            (jnp.zeros(()), jax.tree.map(jnp.zeros_like, p)), parts)
        loss, g = jax.tree.map(lambda x: x / parts.shape[0], (loss, g))
    norm = jnp.sqrt(sum(jnp.vdot(x, x) for x in jax.tree.leaves(g)))
    g = jax.tree.map(lambda x: x * jnp.minimum(1.0, 1.0 / (norm + 1e-6)), g)
    m = jax.tree.map(lambda x, y: 0.9 * x + 0.1 * y, m, g)
    v = jax.tree.map(lambda x, y: 0.95 * x + 0.05 * y * y, v, g)
    p = jax.tree.map(lambda x, y, z: x - 1e-4 * (y / (1 - 0.9**t) / (jnp.sqrt(z / (1 - 0.95**t)) + 1e-8) + 0.01 * x),
                     p, m, v)
    return p, m, v, loss


def main():
    a = parse()
    frozen = tuple(sorted(vars(a).items()))
    p = initial(a)
    m, v = jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p)
    tokens = jax.random.randint(jax.random.PRNGKey(2), (a.batch, a.seq + 1), 0, a.vocab)
    times = []
    for i in range(a.warmup + a.steps):
        begin = time.perf_counter()
        p, m, v, loss = step(frozen, p, m, v, float(i + 1), tokens)
        loss.block_until_ready()
        jax.block_until_ready(p)
        if i >= a.warmup:
            times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{a.batch * a.seq / statistics.median(times):.0f} tokens/s  {1e3 * statistics.median(times):.2f} ms  "
          f"{peak:.3f} GiB  jax {jax.__version__}  loss {float(loss):.4f}")


if __name__ == "__main__":
    main()
