"""Tokens/s of llama.cpp (PyPI: llama-cpp-python), one token after another of one sequence, for decode.sh.

llama_decode.py FILE.gguf THREADS TOKENS"""

import sys
import time

import llama_cpp

path, threads, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = llama_cpp.Llama(path, n_ctx=512, n_threads=threads, n_threads_batch=threads, n_gpu_layers=0, verbose=False)
model.eval([5, 6, 7, 8])
begin = time.perf_counter()
for i in range(tokens):
    model.eval([i * 7919 % model.n_vocab()])
print(f"{tokens / (time.perf_counter() - begin):.3f} tokens/s")
