"""Encodes a file with the original library of a tokenizer, in the documents of bench_tokenizer, on one thread.

    python tools/bench/tokenizers.py BENCH_TOKENIZER FILE ROUNDS TOKENIZER...

Runs both by turns and prints their lines. Needs tokenizers, tiktoken or sentencepiece from PyPI.
"""

import base64
import os
import resource
import subprocess
import sys
import time

sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"


def documents(path):
    data, at = open(path, "rb").read(), 0
    while at < len(data):
        end = data.find(b"\n", at + (16 << 10)) + 1 if len(data) - at > 16 << 10 else len(data)
        end = end or len(data)
        yield data[at:end].decode("utf-8", "replace")
        at = end


def library(path):
    if path.endswith(".json"):
        from tokenizers import Tokenizer
        t = Tokenizer.from_file(path)
        return "tokenizers", lambda text: t.encode(text, add_special_tokens=False).ids
    if path.endswith(".model"):
        import sentencepiece
        t = sentencepiece.SentencePieceProcessor(model_file=path)
        return "sentencepiece", t.encode
    import tiktoken
    import tiktoken_ext.openai_public as public
    public.load_tiktoken_bpe = public.data_gym_to_mergeable_bpe_ranks = lambda *a, **k: {}
    name = path.split(".")[-2].split("/")[-1]
    e = getattr(public, name)()
    ranks = {base64.b64decode(t): int(i) for t, i in (line.split() for line in open(path, "rb"))}
    t = tiktoken.Encoding(name, pat_str=e["pat_str"], mergeable_ranks=ranks, special_tokens=e["special_tokens"])
    return "tiktoken", lambda text: t.encode(text, allowed_special="all")


def one(path, file):
    begin = time.perf_counter()
    name, encode = library(path)
    loaded, texts = time.perf_counter() - begin, list(documents(file))
    begin = time.perf_counter()
    tokens = sum(len(encode(text)) for text in texts)
    seconds = time.perf_counter() - begin
    print(f"{name}: {os.path.getsize(file) * 1e-6 / seconds:.1f} MB/s, {tokens} tokens, loaded in {loaded:.3f} s, "
          f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main():
    if sys.argv[1] == "--one":
        return one(*sys.argv[2:])
    bench, file, rounds, *tokenizers = sys.argv[1:]
    for path in tokenizers:
        print(path)
        for _ in range(int(rounds)):
            subprocess.run([bench, path, file, "1"], check=True)
            subprocess.run([sys.executable, __file__, "--one", path, file], check=True)


main()
