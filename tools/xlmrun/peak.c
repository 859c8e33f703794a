// The machine's matrix-product peak: the best of some large products with our own kernel, as the yardstick of
// MFU. What else runs on the machine makes it too low, so it is measured several times over a run.
#include <stdlib.h>
#include <string.h>

#include "ops/cpu/gemm/gemm.h"
#include "tools/common/request.h"
#include "tools/xlmrun/session.h"
#include "runtime/base/clock.h"

enum {
  LARGE = 1536,
  SMALL = 768,
  SECONDS_TENTHS = 2
}; // small: enough for the few threads of one rank of many

static double best_of(const xlm_gemm *g, const void *a, const void *b, void *c, void *workspace,
                      xlm_pool *pool) {
  double begin = xlm_clock_seconds(), best = 1e30;
  xlm_gemm_run(g, a, b, NULL, c, NULL, workspace, pool); // touches all memory
  for (int i = 0; i < 2 || xlm_clock_seconds() - begin < 0.1 * SECONDS_TENTHS; i++) {
    double start = xlm_clock_seconds();
    xlm_gemm_run(g, a, b, NULL, c, NULL, workspace, pool);
    double seconds = xlm_clock_seconds() - start;
    if (seconds < best) best = seconds;
  }
  return best;
}

static double measure(const session *s, xlm_pool *pool, int threads) {
  int64_t n = s->mpi ? SMALL : LARGE;
  bool half = s->options.settings.dtype == XLM_BF16;
  xlm_gemm g = {.m = {.n = 1, .size = {n}, .a = {n}, .c = {n}},
                .n = {.n = 1, .size = {n}, .b = {1}, .c = {1}},
                .k = {.n = 1, .size = {n}, .a = {1}, .b = {n}},
                .a = half ? XLM_BF16 : XLM_F32,
                .b = half ? XLM_BF16 : XLM_F32,
                .c = XLM_F32};
  xlm_gemm_choose(&g, xlm_cpu_arch_of(&s->plan->target));
  size_t bytes = (size_t)(n * n) * sizeof(float), scratch = xlm_gemm_workspace(&g, threads);
  void *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes), *w = NULL;
  double flops = 0;
  if (a) memset(a, 0x3C, bytes); // small normal numbers; untouched memory would all be one page
  if (b) memset(b, 0x3C, bytes);
  if (a && b && c && !posix_memalign(&w, 64, scratch + 64))
    flops = 2.0 * (double)(n * n * n) / best_of(&g, a, b, c, w, pool);
  free(a), free(b), free(c), free(w);
  return flops;
}

// The ranks of this process together have as many threads as there are processors, or less.
static xlm_status measure_here(session *s, double *flops) {
  int threads = session_threads(s), most = xlm_request_threads(s->settings);
  xlm_pool *pool = NULL;
  if (threads > most) threads = most;
  if (xlm_team_size(s->team) == 1) {
    *flops = measure(s, xlm_exec_pool(xlm_team_exec(s->team, 0)), threads);
    return XLM_OK;
  }
  XLM_TRY(xlm_pool_new(threads, &pool, &s->err));
  *flops = measure(s, pool, threads);
  xlm_pool_free(pool);
  return XLM_OK;
}

xlm_status session_peak_flops(session *s, double *flops) {
  int n = xlm_team_processes(s->team);
  double mine = 0, *all = XLM_NEW_N(s->arena, double, n);
  xlm_team_at(s->team, "measuring the peak");
  XLM_TRY(xlm_team_share(s->team, &mine, sizeof mine, all, &s->err)); // all begin together
  XLM_TRY(measure_here(s, &mine));
  XLM_TRY(xlm_team_share(s->team, &mine, sizeof mine, all, &s->err));
  *flops = 0;
  for (int k = 0; k < n; k++) *flops += all[k];
  return XLM_OK;
}
