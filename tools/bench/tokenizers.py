"""Encodes a file with the original library of a tokenizer, in the documents of bench_tokenizer, on one thread.

    python tools/bench/tokenizers.py BENCH_TOKENIZER FILE ROUNDS TOKENIZER...
    python tools/bench/tokenizers.py --ids BENCH_TOKENIZER FILE TOKENIZER...

Runs both by turns and prints their lines; --ids: compares the ids of all documents. Needs tokenizers, tiktoken or
sentencepiece from PyPI.
"""

import array
import base64
import os
import resource
import subprocess
import sys
import tempfile
import time

sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"


def documents(path):
    data, at = open(path, "rb").read(), 0
    while at < len(data):
        end = data.find(b"\n", at + (16 << 10)) + 1 if len(data) - at > 16 << 10 else len(data)
        end = end or len(data)
        yield data[at:end]
        at = end


def text_of(document):
    return document.decode("utf-8", "replace")


def library(path):  # its name, what it takes a document as, and what encodes that; SentencePiece repairs UTF-8 itself
    if path.endswith(".json"):
        from tokenizers import Tokenizer
        t = Tokenizer.from_file(path)
        return "tokenizers", text_of, lambda text: t.encode(text, add_special_tokens=False).ids
    if path.endswith(".model"):
        import sentencepiece
        t = sentencepiece.SentencePieceProcessor(model_file=path)
        return "sentencepiece", bytes, t.encode
    import tiktoken
    import tiktoken_ext.openai_public as public
    public.load_tiktoken_bpe = public.data_gym_to_mergeable_bpe_ranks = lambda *a, **k: {}
    name = path.split(".")[-2].split("/")[-1]
    e = getattr(public, name)()
    ranks = {base64.b64decode(t): int(i) for t, i in (line.split() for line in open(path, "rb"))}
    t = tiktoken.Encoding(name, pat_str=e["pat_str"], mergeable_ranks=ranks, special_tokens=e["special_tokens"])
    return "tiktoken", text_of, lambda text: t.encode(text, allowed_special="all")


def one(path, file):
    begin = time.perf_counter()
    name, text, encode = library(path)
    loaded, texts = time.perf_counter() - begin, [text(d) for d in documents(file)]
    begin = time.perf_counter()
    tokens = sum(len(encode(text)) for text in texts)
    seconds = time.perf_counter() - begin
    print(f"{name}: {os.path.getsize(file) * 1e-6 / seconds:.1f} MB/s, {tokens} tokens, loaded in {loaded:.3f} s, "
          f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def compare(bench, file, path):
    ids = array.array("i")
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run([bench, path, file, "1", f.name], check=True, stdout=subprocess.DEVNULL)
        ids.frombytes(f.read())
    name, text, encode = library(path)
    at, equal, first, n = 0, 0, None, 0
    for n, document in enumerate(documents(file), 1):
        theirs = encode(text(document))
        same = ids[at:at + len(theirs)].tolist() == theirs  # after a difference of lengths all are different
        at, equal = at + len(theirs), equal + same
        if not same and first is None:
            first = n - 1
    ending = "" if first is None else f", the first that differs is number {first}"
    print(f"{os.path.basename(path)} beside {name}: {equal} of {n} documents, {at} ids of theirs and {len(ids)} of xlm"
          f"{ending}", flush=True)


def main():
    if sys.argv[1] == "--one":
        return one(*sys.argv[2:])
    if sys.argv[1] == "--ids":
        return [compare(*sys.argv[2:4], path) for path in sys.argv[4:]]
    bench, file, rounds, *tokenizers = sys.argv[1:]
    for path in tokenizers:
        print(path)
        for _ in range(int(rounds)):
            subprocess.run([bench, path, file, "1"], check=True)
            subprocess.run([sys.executable, __file__, "--one", path, file], check=True)


main()
