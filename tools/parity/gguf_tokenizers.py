"""Tokenizers in GGUF files: llama.cpp makes the ids of the original libraries, and continues a text as xlm does.

gguf_tokenizers.py BINARY_DIR DIR: trains a small model with each tokenizer of tests/tokenizer that xlmrun exports to
GGUF, and compares llama.cpp with NAME.expected.json on its texts (those with special tokens, which llama.cpp reads as
text, are left out), then 100 greedy tokens. Needs llama-cpp-python. Ends with 1 if something differs."""
import json, pathlib, shutil, subprocess, sys
import llama_cpp, numpy as np

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FOLDER, COUNT, PROMPT = SOURCE / "tests/tokenizer", 100, "It is a truth"
binary, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
texts = json.loads((FOLDER / "texts.json").read_text())["texts"]

def run(*args):
    return subprocess.run([binary / "xlmrun", *map(str, args)], capture_output=True)

def export(path, folder):
    done = run("train", SOURCE / "models/llama.xlm", "--data", SOURCE / "docs/language.md", "--tokenizer", path, "--vocab-size", 1024,
               "--seq-length", 160, "--hidden-size", 64, "--set", "layers=2", "--set", "heads=4", "--set", "ffn=96", "--max-steps", 120,
               "--micro-batch-size", 2, "--global-batch-size", 2, "--learning-rate", "3e-3", "--eval-interval", 0, "--output-dir", folder / "run")
    if done.returncode: sys.exit(done.stderr.decode())
    done = run("export", folder / "run", "--format", "gguf", "--output", folder / "model.gguf")
    return None if not done.returncode else done.stderr.decode().strip()

def greedy(model):
    ids = model.tokenize(PROMPT.encode(), add_bos=True)
    begin = len(ids)
    model.reset()
    model.eval(ids)
    for _ in range(COUNT):
        ids.append(int(np.argmax(model.scores[model.n_tokens - 1])))
        if ids[-1] == model.token_eos(): break
        model.eval(ids[-1:])
    return ids[begin:]

failed = False
for path in sorted(p for p in FOLDER.iterdir() if p.name.endswith((".json", ".model")) and ".expected" not in p.name):
    if path.name == "texts.json": continue
    folder = work / path.stem
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer = folder / "tokenizer" / ("tokenizer.json" if path.suffix == ".json" else "tokenizer.model")
    shutil.copy(path, tokenizer)
    why = export(tokenizer, folder)
    if why:
        print(f"{path.name:28} {why.split(': ', 2)[-1][:100]}")
        continue
    model = llama_cpp.Llama(model_path=str(folder / "model.gguf"), n_ctx=160, n_batch=160, logits_all=True, verbose=False, n_threads=1,
                            type_k=0, type_v=0, flash_attn=False)
    expected = json.loads((FOLDER / f"{path.stem}.expected.json").read_text())
    special = [model.detokenize([i], special=True).decode(errors="replace") for i in range(1024)]
    special = [s for i, s in enumerate(special) if len(s) > 2 and not model.detokenize([i]).strip()]
    equal, compared, others = 0, 0, []
    for i, text in enumerate(texts):
        if "\0" in text or any(s in text for s in special): continue
        ids = model.tokenize(text.encode(), add_bos=False)
        compared += 1
        equal += ids == expected["ids"][i]
        if ids != expected["ids"][i]: others.append(i)
    ours = run("generate", folder / "run", "--prompt", PROMPT, "--temperature", 0, "--max-tokens", COUNT).stdout
    theirs = greedy(model)
    text = model.detokenize(theirs)
    same = len(text) > 50 and ours.rstrip(b"\n").endswith(text.rstrip(b"\n"))
    failed |= not same
    print(f"{path.name:28} ids of {equal} of {compared} texts{' but ' + str(others) if others else ''}, "
          f"{len(theirs)} tokens {'equal' if same else 'differ: ' + repr(text) + ' ' + repr(ours)}", flush=True)
sys.exit(failed)
