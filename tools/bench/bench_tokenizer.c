// Encodes a file with a tokenizer, in documents of about 16 KiB, on one thread, and prints the time. Compared
// with the original libraries by tools/bench/tokenizers.py.
//
//   bench_tokenizer TOKENIZER FILE [ROUNDS [IDS]]
//
// IDS: a file that gets the ids, as i32.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/base/clock.h"
#include "runtime/base/map.h"
#include "runtime/tokenizer/tokenizer.h"

enum { DOCUMENT = 16 << 10 };

// Up to the end of a line.
static size_t document_length(const char *s, size_t n) {
  if (n <= DOCUMENT) return n;
  const char *line = memchr(s + DOCUMENT, '\n', n - DOCUMENT);
  return line ? (size_t)(line - s) + 1 : n;
}

static xlm_status encode_all(const xlm_tokenizer *t, const xlm_map *map, FILE *out, int64_t *tokens,
                             xlm_error *err) {
  xlm_tokens ids = {0};
  xlm_status status = XLM_OK;
  *tokens = 0;
  for (size_t i = 0, n; i < map->n && status == XLM_OK; i += n, *tokens += ids.n) {
    const char *s = (const char *)map->data + i;
    n = document_length(s, map->n - i);
    ids.n = 0;
    status = xlm_tokenizer_encode(t, s, n, &ids, err);
    if (out && status == XLM_OK && ids.n &&
        fwrite(ids.at, sizeof *ids.at, (size_t)ids.n, out) < (size_t)ids.n)
      status = xlm_fail(err, XLM_ENV, "cannot write the ids");
  }
  xlm_tokens_free(&ids);
  return status;
}

static double since(int64_t begin) {
  return (double)(xlm_clock_ns() - begin) * 1e-9;
}

static xlm_status run(const char *tokenizer, const char *file, int rounds, FILE *out, xlm_error *err) {
  xlm_tokenizer *t;
  xlm_map map;
  int64_t begin = xlm_clock_ns(), tokens = 0;
  double best = 1e30;
  XLM_TRY(xlm_tokenizer_open(tokenizer, &t, err));
  double loading = since(begin);
  XLM_TRY(xlm_map_open(file, &map, err));
  xlm_status status = XLM_OK;
  for (int i = 0; i < rounds && status == XLM_OK; i++) {
    begin = xlm_clock_ns();
    status = encode_all(t, &map, i ? NULL : out, &tokens, err);
    if (since(begin) < best) best = since(begin);
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  if (status == XLM_OK)
    printf("xlm: %.1f MB/s, %lld tokens, loaded in %.3f s, peak %.0f MiB\n", 1e-6 * (double)map.n / best,
           (long long)tokens, loading, (double)usage.ru_maxrss / 1024);
  xlm_map_close(&map);
  xlm_tokenizer_close(t);
  return status;
}

int main(int argc, char **argv) {
  xlm_error err;
  if (argc < 3) return fprintf(stderr, "usage: bench_tokenizer TOKENIZER FILE [ROUNDS [IDS]]\n"), 1;
  FILE *out = argc > 4 ? fopen(argv[4], "wb") : NULL;
  if (argc > 4 && !out) return perror(argv[4]), 1;
  xlm_status status = run(argv[1], argv[2], argc > 3 ? atoi(argv[3]) : 3, out, &err);
  if (out && fclose(out)) return perror(argv[4]), 1;
  if (status == XLM_OK) return 0;
  return fprintf(stderr, "%s\n", err.text), 1;
}
