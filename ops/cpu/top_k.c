// top_k on the CPU: insertion into a sorted list of k indices per token; k is small. x is [a, experts, b];
// the results are [a, b, active]. Only a strictly larger value moves up, so equal values stay in index order.
#include "ops/cpu/places_priv.h"

enum { SMALL = 1 << 12 };

typedef struct job {
  const void *x;
  void *y;
  int32_t *index;
  xlm_dtype dtype;
  int64_t tokens, experts, k, b;
} job;

static void choose(const job *j, int64_t base, int32_t *index) {
  int64_t n = 0;
  for (int64_t i = 0; i < j->experts; i++) {
    float v = vec_read_one(j->dtype, j->x, base + i * j->b);
    int64_t at = n < j->k ? n++ : j->k;
    for (; at > 0 && v > vec_read_one(j->dtype, j->x, base + index[at - 1] * j->b); at--)
      if (at < j->k) index[at] = index[at - 1];
    if (at < j->k) index[at] = (int32_t)i;
  }
}

static void work(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    int64_t base = t / j->b * j->experts * j->b + t % j->b;
    int32_t *index = j->index + t * j->k;
    choose(j, base, index);
    for (int64_t i = 0; i < j->k; i++)
      write_one(j->dtype, j->y, t * j->k + i, vec_read_one(j->dtype, j->x, base + index[i] * j->b));
  }
}

static xlm_status run(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  int at = xlm_type_find(t, xlm_call_dim(c, XLM_A_experts, 0));
  job j = {.x = c->in[0],
           .y = c->out[0],
           .index = c->out[1],
           .dtype = t->dtype,
           .experts = xlm_call_size(c, t, at),
           .k = c->dims[xlm_call_dim(c, XLM_A_active, 0)].size,
           .b = xlm_call_inner(c, t, at)};
  j.tokens = xlm_call_outer(c, t, at) * j.b;
  xlm_pool_run(j.tokens * j.experts < SMALL ? NULL : xlm_cpu_pool(c), work, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(top_k) = {.op = XLM_OP_TOP_K, .run = run};

static void scatter(void *arg, int worker, int workers) { // dy [tokens, k], index -> dx [tokens, experts]
  const job *j = arg;
  int64_t begin, end;
  size_t row = (size_t)j->experts * xlm_dtype_bytes(j->dtype);
  xlm_pool_range(j->tokens, worker, workers, &begin, &end);
  memset((char *)j->y + (size_t)begin * row, 0, (size_t)(end - begin) * row);
  for (int64_t t = begin; t < end; t++)
    for (int64_t i = 0; i < j->k; i++) {
      int32_t e = j->index[t * j->k + i];
      if (e >= 0 && e < j->experts)
        write_one(j->dtype, j->y, t * j->experts + e, vec_read_one(j->dtype, j->x, t * j->k + i));
    }
}

static xlm_status run_bwd(const xlm_call *c) {
  job j = {.x = c->in[0],
           .y = c->out[0],
           .index = c->in[1],
           .dtype = c->out_type[0]->dtype,
           .experts = c->dims[xlm_call_dim(c, XLM_A_experts, 0)].size,
           .k = c->dims[xlm_call_dim(c, XLM_A_active, 0)].size};
  j.tokens = j.k ? xlm_call_elements(c, c->in_type[0]) / j.k : 0;
  xlm_pool_run(j.tokens * j.experts < SMALL ? NULL : xlm_cpu_pool(c), scatter, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(top_k_bwd) = {.op = XLM_OP_TOP_K_BWD, .run = run_bwd};
