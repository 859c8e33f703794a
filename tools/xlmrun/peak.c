// The machine's matrix-product peak: the best of some large products with our own kernel, as the yardstick of
// MFU.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/cpu/gemm.h"
#include "tools/xlmrun/session.h"

enum { SIZE = 1536, SECONDS_TENTHS = 2 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_of(const xlm_gemm *g, const void *a, const void *b, void *c, void *workspace,
                      xlm_pool *pool) {
  double begin = now(), best = 1e30;
  xlm_gemm_run(g, a, b, NULL, c, NULL, workspace, pool); // touches all memory
  for (int i = 0; i < 2 || now() - begin < 0.1 * SECONDS_TENTHS; i++) {
    double start = now();
    xlm_gemm_run(g, a, b, NULL, c, NULL, workspace, pool);
    double seconds = now() - start;
    if (seconds < best) best = seconds;
  }
  return best;
}

double session_peak_flops(const session *s) {
  bool half = s->options.settings.dtype == XLM_BF16;
  xlm_gemm g = {.m = {.n = 1, .size = {SIZE}, .a = {SIZE}, .c = {SIZE}},
                .n = {.n = 1, .size = {SIZE}, .b = {1}, .c = {1}},
                .k = {.n = 1, .size = {SIZE}, .a = {1}, .b = {SIZE}},
                .a = half ? XLM_BF16 : XLM_F32,
                .b = half ? XLM_BF16 : XLM_F32,
                .c = XLM_F32};
  size_t bytes = (size_t)SIZE * SIZE * sizeof(float), scratch = xlm_gemm_workspace(&g, s->options.threads);
  void *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes), *w = NULL;
  double flops = 0;
  if (a) memset(a, 0x3C, bytes); // small normal numbers; untouched memory would all be one page
  if (b) memset(b, 0x3C, bytes);
  if (a && b && c && !posix_memalign(&w, 64, scratch + 64))
    flops = 2.0 * SIZE * SIZE * SIZE / best_of(&g, a, b, c, w, xlm_exec_pool(s->exec));
  free(a), free(b), free(c), free(w);
  return flops;
}
