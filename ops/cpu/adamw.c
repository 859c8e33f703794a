// adamw on CPUs: one pass over p, m, v and g, memory-bound; the bias corrections are folded into two factors.
#include <math.h>

#include "ops/cpu/kernel_priv.h"

enum { P, M, V, G, SCALE, LR, STEP };

typedef struct job {
  float *p, *m, *v;
  const void *g;
  bool bf16; // of g
  int64_t n;
  float beta1, beta2, eps, decay, scale, lr;
  float m_fix, v_fix; // 1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
} job;

enum { CHUNK = 1024 };

static void update(const job *j, int64_t at, int64_t n, const float *restrict g) {
  float *restrict p = j->p + at, *restrict m = j->m + at, *restrict v = j->v + at;
  const job s = *j;
  for (int64_t i = 0; i < n; i++) {
    float h = s.scale * g[i];
    float mi = s.beta1 * m[i] + (1 - s.beta1) * h;
    float vi = s.beta2 * v[i] + (1 - s.beta2) * h * h;
    m[i] = mi, v[i] = vi;
    p[i] -= s.lr * (mi * s.m_fix / (sqrtf(vi) * s.v_fix + s.eps) + s.decay * p[i]);
  }
}

static void update_bf16(const job *j, int64_t at, int64_t n) {
  const uint16_t *h = (const uint16_t *)j->g + at;
  float g[CHUNK];
  for (int64_t i = 0; i < n; i++) g[i] = xlm_bf16_to_f32(h[i]);
  update(j, at, n, g);
}

// Chunks have fixed sizes and positions, so the contents of vectors do not depend on the number of workers.
static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range((j->n + CHUNK - 1) / CHUNK, worker, workers, &begin, &end);
  for (int64_t c = begin; c < end; c++) {
    int64_t at = c * CHUNK, n = j->n - at < CHUNK ? j->n - at : CHUNK;
    if (j->bf16)
      update_bf16(j, at, n);
    else
      update(j, at, n, (const float *)j->g + at);
  }
}

static float scalar(const xlm_call *c, int i) {
  return *(const float *)c->in[i];
}

static xlm_status run(const xlm_call *c) {
  if (!isfinite(scalar(c, SCALE)))
    return XLM_OK; // non-finite gradient: parameters and moments stay unchanged
  const xlm_attrs *as = &c->instr->attrs;
  double beta1 = xlm_attr_float(as, XLM_A_beta1, 0.9), beta2 = xlm_attr_float(as, XLM_A_beta2, 0.95);
  double t = scalar(c, STEP);
  job j = {.p = c->out[P],
           .m = c->out[M],
           .v = c->out[V],
           .g = c->in[G],
           .bf16 = c->in_type[G]->dtype == XLM_BF16,
           .n = xlm_call_elements(c, c->in_type[P]),
           .beta1 = (float)beta1,
           .beta2 = (float)beta2,
           .eps = (float)xlm_attr_float(as, XLM_A_eps, 1e-8),
           .decay = (float)xlm_attr_float(as, XLM_A_decay, 0),
           .scale = scalar(c, SCALE),
           .lr = scalar(c, LR),
           .m_fix = (float)(1 / (1 - pow(beta1, t))),
           .v_fix = (float)(1 / sqrt(1 - pow(beta2, t)))};
  xlm_pool_run(j.n > 4 * CHUNK ? xlm_cpu_pool(c) : NULL, part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(adamw) = {.op = XLM_OP_ADAMW, .run = run};
