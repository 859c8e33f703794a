"""A hundred training steps by Hugging Face's transformers and PyTorch, for tests/train/test_hundred_steps.c.

curve.py DIR MODEL OUT: loads the checkpoint DIR/MODEL/step-00000000 by its folder alone, trains on DIR/MODEL/tokens.txt
in fp32, and writes the losses to OUT/MODEL.f32.txt. Prints how far a curve in float64 is from it, which is what rounding
does, and how close the closest two scores are between which a router decided. Models in AUTOCAST get a curve in bf16, too."""
import math, sys, torch, transformers
from training import Training

# As in test_hundred_steps.c.
STEPS, WARMUP, ROWS, MICROBATCHES = 100, 10, 4, 2
PEAK, LOWEST, DECAY, CLIP = 1e-3, 1e-4, 0.1, 1.5
AUTOCAST = ("llama", "gpt2")
folder, name, out = sys.argv[1:]
tokens = torch.tensor([[int(t) for t in line.split()] for line in open(f"{folder}/{name}/tokens.txt")])
torch.set_num_threads(1)


def rate(step):  # linear warm-up to the peak, then half a cosine, which reaches the lowest rate at STEPS
    if step < WARMUP: return PEAK * (step + 1) / WARMUP
    return LOWEST + (PEAK - LOWEST) * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))) / 2


def closest(router_logits, chosen):  # between the last chosen and the next expert, of all tokens and layers
    gaps = [p[:, chosen - 1] - p[:, chosen] for p in (x.double().softmax(-1).sort(-1, descending=True)[0] for x in router_logits)]
    return min(g.min().item() for g in gaps)


def curve(dtype, autocast=None):
    model = transformers.AutoModelForCausalLM.from_pretrained(f"{folder}/{name}/step-00000000", dtype=dtype, attn_implementation="eager",
                                                              experts_implementation="eager")
    training = Training(model, decay=DECAY, clip=CLIP, autocast=autocast)
    losses, gap, clipped = [], math.inf, 0
    for step in range(STEPS):
        rows = tokens[step * ROWS:(step + 1) * ROWS].chunk(MICROBATCHES)
        losses.append(training.step(rate(step), [((r[:, :-1],), {"use_cache": False}, r[:, 1:], None) for r in rows]))
        clipped += training.norm > CLIP
        if training.router_logits: gap = min(gap, closest(training.router_logits, model.config.num_experts_per_tok))
    return losses, gap, clipped


def write(losses, kind):
    with open(f"{out}/{name}.{kind}.txt", "w") as f:
        for v in losses: f.write(f"{v:.9g}\n")


def apart(a, b):
    return max(abs(x - y) for x, y in zip(a, b))


losses, gap, clipped = curve(torch.float32)
write(losses, "f32")
exact, _, _ = curve(torch.float64)
print(f"{name}: loss {losses[0]:.4f} to {losses[-1]:.4f}, {clipped} of {STEPS} steps clipped; float64 differs by {apart(losses, exact):.1e}"
      + (f"; closest scores of a choice {gap:.1e}" if gap < math.inf else ""))
if name in AUTOCAST:
    rough, _, _ = curve(torch.float32, torch.bfloat16)
    write(rough, "bf16")
    print(f"  autocast to bf16 differs from fp32 by {apart(losses, rough):.1e}")
