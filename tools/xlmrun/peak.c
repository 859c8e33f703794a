// The machine's matrix-product peak, the reference for MFU: the rate of our own product on every thread of
// the run, all at once. Each thread measures its processor time, so that other programs on the machine do not
// lower the result.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/cpu/gemm/gemm.h"
#include "runtime/base/clock.h"
#include "tools/common/request.h"
#include "tools/xlmrun/session.h"

enum { SIZE = 768, SECONDS_TENTHS = 1 };

typedef struct probe {
  xlm_gemm g;
  double *flops; // by thread; 0: out of memory
} probe;

static double best_of(const xlm_gemm *g, const void *a, const void *b, void *c, void *workspace) {
  xlm_gemm_run(g, a, b, NULL, NULL, c, NULL, workspace, NULL); // touches all memory
  double begin = xlm_clock_thread_seconds(), best = 1e30;
  for (int i = 0; i < 3 || xlm_clock_thread_seconds() - begin < 0.1 * SECONDS_TENTHS; i++) {
    double start = xlm_clock_thread_seconds();
    xlm_gemm_run(g, a, b, NULL, NULL, c, NULL, workspace, NULL);
    double seconds = xlm_clock_thread_seconds() - start;
    if (seconds < best) best = seconds;
  }
  return best;
}

static void probe_thread(void *arg, int worker, int workers) {
  probe *p = arg;
  (void)workers;
  size_t bytes = (size_t)SIZE * SIZE * sizeof(float);
  void *a = malloc(bytes), *b = malloc(bytes), *c = malloc(bytes), *w = NULL;
  if (a) memset(a, 0x3C, bytes); // small normal numbers; untouched memory would be a single zero page
  if (b) memset(b, 0x3C, bytes);
  if (a && b && c && !posix_memalign(&w, 64, xlm_gemm_workspace(&p->g, 1) + 64))
    p->flops[worker] = 2.0 * SIZE * SIZE * SIZE / best_of(&p->g, a, b, c, w);
  free(a), free(b), free(c), free(w);
}

static xlm_gemm product(const session *s) {
  bool half = s->options.settings.dtype == XLM_BF16;
  xlm_gemm g = {{.m = {.n = 1, .size = {SIZE}, .a = {SIZE}, .c = {SIZE}},
                 .n = {.n = 1, .size = {SIZE}, .b = {1}, .c = {1}},
                 .k = {.n = 1, .size = {SIZE}, .a = {1}, .b = {SIZE}},
                 .a = half ? XLM_BF16 : XLM_F32,
                 .b = half ? XLM_BF16 : XLM_F32,
                 .c = XLM_F32}};
  xlm_gemm_choose(&g, xlm_cpu_arch_of(&s->plan->target));
  return g;
}

// The processes of a host may have more threads together than it has processors; a bound process has its own.
static double share_of_processors(const session *s, int threads) {
  int processors = xlm_request_processors(), beside = s->mpi ? session_ranks_here(s) : 1;
  bool bound = processors < sysconf(_SC_NPROCESSORS_ONLN);
  int all = bound || beside < 1 ? threads : threads * beside;
  return all > processors ? (double)processors / all : 1;
}

static xlm_status measure_here(session *s, double *flops) {
  int threads = session_threads(s), most = xlm_request_processors();
  if (threads > most) threads = most;
  probe p = {product(s), XLM_NEW_N(s->arena, double, threads)};
  xlm_pool *pool;
  XLM_TRY(xlm_pool_new(threads, &pool, &s->err));
  xlm_pool_run(pool, probe_thread, &p);
  xlm_pool_free(pool);
  *flops = 0;
  for (int i = 0; i < threads; i++) *flops += p.flops[i];
  *flops *= share_of_processors(s, threads);
  return XLM_OK;
}

// Nothing here measures another device: the peak is the cluster's, if one is named.
static xlm_status peak_of_cluster(session *s, double *flops) {
  const char *name = xlm_setting_text(s->settings, XLM_SET_cluster);
  xlm_cluster cluster;
  *flops = 0;
  if (!*name) return XLM_OK;
  XLM_TRY(xlm_request_cluster(s->arena, s->model_path, name, &cluster, &s->err));
  *flops = xlm_cluster_peak(&cluster, s->plan->dtype) * s->plan->n_ranks;
  return XLM_OK;
}

bool session_has_own_peak(const session *s) {
  return strcmp(s->plan->target.backend, "cuda") != 0;
}

xlm_status session_peak_flops(session *s, double *flops) {
  if (!session_has_own_peak(s)) return peak_of_cluster(s, flops);
  int n = xlm_team_processes(s->team);
  double mine, *all = XLM_NEW_N(s->arena, double, n);
  xlm_team_at(s->team, "measuring the peak");
  XLM_TRY(measure_here(s, &mine));
  XLM_TRY(xlm_team_share(s->team, &mine, sizeof mine, all, &s->err));
  *flops = 0;
  for (int k = 0; k < n; k++) *flops += all[k];
  return XLM_OK;
}
