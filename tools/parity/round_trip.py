"""Round trips of every family: xlm, transformers and llama.cpp continue a text alike.

round_trip.py BINARY_DIR DIR [FAMILY...]: trains a small model of each family for a few steps, and compares 100 tokens,
each the most likely one, of

  xlm        xlmrun generate from the checkpoint
  there      transformers, from the checkpoint's folder
  back       xlmrun generate --init-from of the folder that transformers saves in bf16, in several files, with
             transformers from that folder
  f32, bf16, q8_0   llama.cpp, from `xlmrun export --format gguf` of that type, and the largest difference of its logits
             of the text from those of transformers, as a part of their deviation

Needs torch, transformers and llama-cpp-python; what is not installed is left out. Ends with 1 if a text differs in f32."""
import os, pathlib, shutil, subprocess, sys

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np, torch, transformers
try: import llama_cpp
except ImportError: llama_cpp = None

SOURCE = pathlib.Path(__file__).resolve().parents[2]
COUNT, PROMPT = 100, "the model of a text"
FAMILIES = {  # model, its sizes, whether llama.cpp has it
    "llama": ("llama", "heads=4 kv_heads=2 ffn=96", True),
    "llama_tied": ("llama", "heads=4 kv_heads=2 ffn=96 tied=true", True),
    "llama3": ("llama", "heads=2 kv_heads=2 ffn=96 stretch=8 original=32", True),
    "gpt2": ("gpt2", "heads=2 ffn=128", True),
    "qwen3": ("qwen3", "heads=4 kv_heads=2 head=32 ffn=96", True),
    "qwen3_moe": ("qwen3_moe", "heads=4 kv_heads=2 head=32 ffn=64 experts=4 active=2", True),
    "mixtral": ("mixtral", "heads=4 kv_heads=2 ffn=96 experts=4 active=2", True),
    "olmoe": ("olmoe", "heads=4 ffn=64 experts=4 active=2", True),
    "gemma2": ("gemma2", "heads=4 kv_heads=2 head=32 scalar=32 ffn=96 window=48", True),
    "gemma3": ("gemma3", "heads=4 kv_heads=2 head=32 scalar=32 ffn=96 window=48 every=2 stretch=8", True),
    "neox": ("neox", "heads=2 ffn=128 pct=0.5", True),
    "mamba2": ("mamba2", "head=32 state=32", True),
    "deepseek": ("deepseek", "heads=2 plain=32 rotary=32 value=32 q_rank=32 kv_rank=32 ffn=96 moe_ffn=32 experts=8 "
                 "groups=4 nodes=2 active=2 dense=1", True),
    "deepseek_v2": ("deepseek", "version=2 mtp=0 to_one=false heads=2 plain=32 rotary=32 value=32 q_rank=32 kv_rank=32 ffn=96 "
                    "moe_ffn=32 experts=8 groups=1 nodes=1 active=2 dense=1", True),
    "gpt_oss": ("gpt_oss", "heads=4 kv_heads=2 head=32 ffn=64 experts=4 active=2 window=48 original=64", True),
    "diffllama": ("diffllama", "heads=4 kv_heads=2 ffn=96", False),
}
COMMON = ["--vocab-size", "256", "--seq-length", "192"]
binary, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()

def run(*args):
    done = subprocess.run([binary / "xlmrun", *map(str, args)], capture_output=True)
    if done.returncode: sys.exit(f"{' '.join(map(str, args))}: {done.stderr.decode(errors='replace')}")
    return done.stdout

def sizes_of(text):
    return [x for pair in text.split() for x in ("--set", pair)]

def train(family, folder):
    model, sizes, _ = FAMILIES[family]
    run("train", SOURCE / f"models/{model}.xlm", *COMMON, "--set", "hidden=64", "--set", "layers=2", *sizes_of(sizes), "--data",
        SOURCE / "grammar/README.md", "--max-steps", 60, "--micro-batch-size", 4, "--global-batch-size", 4, "--learning-rate", "3e-3",
        "--eval-interval", 0, "--output-dir", folder)
    return folder / "step-00000060"

def generate(*source):
    return run("generate", *source, "--prompt", PROMPT, "--temperature", 0, "--max-tokens", COUNT)

def there(folder):  # the text, and the logits of all but its last token
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    tokens = torch.tensor([list(PROMPT.encode())])
    with torch.no_grad():
        for _ in range(COUNT):
            logits = model(tokens, use_cache=False).logits
            tokens = torch.cat([tokens, logits[:, -1:].argmax(-1)], 1)
    return bytes(tokens[0].tolist()), logits[0].numpy(), model

def llama(path, tokens):
    """The text, and the logits along `tokens`."""
    model = llama_cpp.Llama(model_path=str(path), n_ctx=192, n_batch=192, logits_all=True, verbose=False, n_threads=1,
                            type_k=0, type_v=0, flash_attn=False)  # keys and values in f32
    model.eval(tokens)
    logits = np.array(model.scores[:len(tokens)])
    model.reset()
    text = list(PROMPT.encode())
    assert model.tokenize(PROMPT.encode(), add_bos=False) == text
    model.eval(text)
    for _ in range(COUNT):
        text.append(int(np.argmax(model.scores[model.n_tokens - 1])))
        model.eval(text[-1:])
    return bytes(text), logits

def part(a, b):  # how much of the first text is the same
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return "equal" if a == b else f"{same - len(PROMPT)} of {COUNT}"

failed = False
for family in sys.argv[3:] or FAMILIES:
    folder = work / family
    shutil.rmtree(folder, ignore_errors=True)
    checkpoint = train(family, folder / "run")
    ours = generate(checkpoint)
    text, logits, model = there(checkpoint)
    ours = ours[ours.index(PROMPT.encode()):][:len(text)] if PROMPT.encode() in ours else PROMPT.encode() + ours[:COUNT]
    line = [f"there {part(ours, text)}"]
    failed |= ours != text
    model.to(torch.bfloat16).save_pretrained(folder / "back", max_shard_size="50KB")
    back, _, _ = there(folder / "back")
    again = generate(SOURCE / f"models/{FAMILIES[family][0]}.xlm", "--init-from", folder / "back", *COMMON, "--set", "layers=2",
                     *sizes_of(FAMILIES[family][1]))
    again = again[again.index(PROMPT.encode()):][:len(back)] if PROMPT.encode() in again else PROMPT.encode() + again[:COUNT]
    line.append(f"back {part(again, back)}")
    failed |= again != back
    for kind in ("f32", "bf16", "q8_0") if FAMILIES[family][2] and llama_cpp else ():
        path = folder / f"{kind}.gguf"
        run("export", checkpoint, "--format", "gguf", "--type", kind, "--output", path)
        says, scores = llama(path, list(text[:-1]))
        line.append(f"{kind} {part(text, says)} {np.abs(scores - logits).max() / logits.std():.1e}")
        failed |= kind == "f32" and says != text
    print(f"{family:12}", "   ".join(line), flush=True)
sys.exit(failed)
