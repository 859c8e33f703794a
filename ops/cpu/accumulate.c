// accumulate on CPUs: one pass, memory-bound.
#include "ops/cpu/kernel_priv.h"

typedef struct job {
  float *acc;
  const void *g;
  xlm_dtype type;
  int64_t n;
  bool store;
} job;

static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t i, end;
  xlm_pool_range(j->n, worker, workers, &i, &end);
  const float *f = j->g;
  const uint16_t *h = j->g;
  if (j->type == XLM_F32 && j->store)
    for (; i < end; i++) j->acc[i] = f[i];
  else if (j->type == XLM_F32)
    for (; i < end; i++) j->acc[i] += f[i];
  else if (j->store)
    for (; i < end; i++) j->acc[i] = xlm_bf16_to_f32(h[i]);
  else
    for (; i < end; i++) j->acc[i] += xlm_bf16_to_f32(h[i]);
}

static xlm_status run(const xlm_call *c) {
  job j = {.acc = c->out[0],
           .g = c->in[1],
           .type = c->in_type[1]->dtype,
           .n = xlm_call_elements(c, c->in_type[1]),
           .store = xlm_attr_int(&c->instr->attrs, XLM_A_store, 0)};
  xlm_pool_run(j.n > 4096 ? xlm_cpu_pool(c) : NULL, part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(accumulate) = {.op = XLM_OP_ACCUMULATE, .run = run};
