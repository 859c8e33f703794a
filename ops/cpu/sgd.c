// sgd on CPUs: one pass over p, m and g.
#include <math.h>

#include "ops/cpu/kernel_priv.h"

enum { P, M, G, SCALE, LR };

typedef struct job {
  float *p, *m;
  const void *g;
  bool bf16; // of g
  int64_t n;
  float beta, decay, scale, lr;
  bool nesterov;
} job;

enum { CHUNK = 1024 };

static void update_nesterov(const job *j, int64_t at, int64_t n, const float *restrict g) {
  float *restrict p = j->p + at, *restrict m = j->m + at;
  const job s = *j;
  for (int64_t i = 0; i < n; i++) {
    float h = s.scale * g[i] + s.decay * p[i];
    m[i] = s.beta * m[i] + h;
    p[i] -= s.lr * (h + s.beta * m[i]);
  }
}

static void update(const job *j, int64_t at, int64_t n, const float *restrict g) {
  float *restrict p = j->p + at, *restrict m = j->m + at;
  const job s = *j;
  if (s.nesterov) {
    update_nesterov(j, at, n, g);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    m[i] = s.beta * m[i] + (s.scale * g[i] + s.decay * p[i]);
    p[i] -= s.lr * m[i];
  }
}

static void update_bf16(const job *j, int64_t at, int64_t n) {
  const uint16_t *h = (const uint16_t *)j->g + at;
  float g[CHUNK];
  for (int64_t i = 0; i < n; i++) g[i] = xlm_bf16_to_f32(h[i]);
  update(j, at, n, g);
}

static void part(void *arg, int worker, int workers) { // chunks of fixed position, as in adamw
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

static xlm_status run(const xlm_call *c) {
  if (!isfinite(*(const float *)c->in[SCALE]))
    return XLM_OK; // non-finite gradient: everything stays unchanged
  const xlm_attrs *as = &c->instr->attrs;
  job j = {.p = c->out[P],
           .m = c->out[M],
           .g = c->in[G],
           .bf16 = c->in_type[G]->dtype == XLM_BF16,
           .n = xlm_call_elements(c, c->in_type[P]),
           .beta = (float)xlm_attr_float(as, XLM_A_beta1, 0),
           .decay = (float)xlm_attr_float(as, XLM_A_decay, 0),
           .scale = *(const float *)c->in[SCALE],
           .lr = *(const float *)c->in[LR],
           .nesterov = xlm_attr_int(as, XLM_A_nesterov, 0) != 0};
  xlm_pool_run(j.n > 4 * CHUNK ? xlm_cpu_pool(c) : NULL, part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(sgd) = {.op = XLM_OP_SGD, .run = run};
