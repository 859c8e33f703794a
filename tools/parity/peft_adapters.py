"""Adapters in PEFT: logits of the base model with the exported adapters are those of the merged weights; and adapters that PEFT
changed and wrote, read by --init-adapters and merged, give its logits.

peft_adapters.py BINARY_DIR DIR: trains small models and adapters on them, exports both, and loads them by transformers and
peft, which it needs. Ends with 1 if logits differ by more than 1e-5 of their deviation."""
import os, pathlib, shutil, subprocess, sys

os.environ["HF_HUB_OFFLINE"] = "1"
import peft, torch, transformers

SOURCE = pathlib.Path(__file__).resolve().parents[2]
binary, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
RUNS = {  # model, sizes, adapters
    "llama": ("heads=4 kv_heads=2 ffn=96", ["match=layers.*.attention.w[qvo] rank=4 alpha=8", "match=layers.0.mlp.* rank=2 alpha=3"]),
    "qwen3": ("heads=4 kv_heads=2 head=32 ffn=96", ["match=layers.*.attention.w[qkvo]"]),
    "gemma2": ("heads=4 kv_heads=2 head=32 scalar=32 ffn=96 window=48", ["match=layers.*.mlp.* rank=3"]),
    "gpt2": ("heads=2 ffn=128", ["match=layers.*.mlp.* rank=4"]),
}
transformers.logging.set_verbosity_error()

def run(*args):
    done = subprocess.run([binary / "xlmrun", *map(str, args)], capture_output=True, text=True)
    if done.returncode: sys.exit(f"{' '.join(map(str, args))}: {done.stderr}")

def logits(model):
    with torch.no_grad():
        return model(torch.tensor([list(b"the model of a text, 2024")])).logits[0]

failed = False
for name, (sizes, adapters) in RUNS.items():
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    model, flags = SOURCE / f"models/{name}.xlm", ["--seq-length", 64, "--vocab-size", 256, "--set", "hidden=64", "--set", "layers=2"]
    flags += [x for s in sizes.split() for x in ("--set", s)]
    flags += ["--data", SOURCE / "docs/moe.md", "--micro-batch-size", 2, "--global-batch-size", 2, "--eval-interval", 0, "--learning-rate", "1e-2"]
    run("train", model, *flags, "--max-steps", 5, "--output-dir", folder / "base")
    run("train", model, *flags, "--max-steps", 20, "--init-from", folder / "base", "--output-dir", folder / "tuned",
        *[x for a in adapters for x in ("--lora", a)])
    run("export", folder / "tuned", "--output", folder / "merged")
    run("export", folder / "tuned", "--format", "peft", "--output", folder / "adapters")
    load = lambda path: transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    base, merged = load(folder / "base/step-00000005"), logits(load(folder / "merged"))
    before = logits(base)
    tuned = peft.PeftModel.from_pretrained(base, str(folder / "adapters"))
    after = logits(tuned)
    torch.manual_seed(1)
    for key, factor in tuned.named_parameters():
        if "lora_" in key: factor.data += 0.1 * torch.randn_like(factor)
    theirs = logits(tuned)
    tuned.save_pretrained(str(folder / "theirs"))
    run("export", model, *flags[:flags.index("--data")], "--init-from", folder / "base", *[x for a in adapters for x in ("--lora", a)],
        "--init-adapters", folder / "theirs", "--output", folder / "read")
    read = logits(load(folder / "read"))
    error, moved, back, other = ((x - y).abs().max().item() / y.std().item()
                                 for x, y in ((after, merged), (before, merged), (read, theirs), (merged, theirs)))
    failed |= error > 1e-5 or moved < 1e-2 or back > 1e-5 or other < 1e-2
    print(f"{name:8} adapters {error:.1e}, without {moved:.1e}; read {back:.1e}, unchanged {other:.1e}", flush=True)
sys.exit(failed)
