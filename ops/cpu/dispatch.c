// dispatch on the CPU: visits the tokens and copies each to the rows of its choices. Its gradient is combine
// with weights of one (ops/cpu/moe_priv.h).
#include "ops/cpu/moe_priv.h"

typedef struct job {
  moe m;
  const void *x;
  void *xs;
  size_t elem;        // bytes
  places token, rest; // offsets of a token in x, and of an element within its row
  int64_t width;      // elements of a row
} job;

static void copy_row(const job *j, int64_t token, int64_t row) {
  const char *from = (const char *)j->x + (size_t)places_at(&j->token, token) * j->elem;
  char *to = (char *)j->xs + (size_t)(row * j->width) * j->elem;
  if (places_dense(&j->rest)) {
    memcpy(to, from, (size_t)j->width * j->elem);
    return;
  }
  for (int64_t i = 0; i < j->width; i++)
    memcpy(to + (size_t)i * j->elem, from + (size_t)places_at(&j->rest, i) * j->elem, j->elem);
}

static void pack(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->m.tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++)
    for (int64_t s = 0; s < j->m.active; s++) {
      int64_t row = moe_take(&j->m, worker, t, s);
      if (row >= 0) copy_row(j, t, row);
    }
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  return XLM_ISA_NAME(xlm_moe_workspace)(c, t);
}

static xlm_status run(const xlm_call *c) {
  const xlm_type *xs = c->out_type[0];
  job j = {
      .x = c->in[0], .xs = c->out[0], .elem = xlm_dtype_bytes(xs->dtype), .width = xlm_call_inner(c, xs, 1)};
  xlm_type tokens = XLM_ISA_NAME(xlm_moe_tokens)(c, 1);
  j.token = places_over(c, c->in_type[0], tokens.dim, tokens.rank);
  j.rest = places_over(c, c->in_type[0], xs->dim + 2, xs->rank - 2);
  j.m = XLM_ISA_NAME(xlm_moe_start)(c, 1, j.width);
  int32_t *offsets = c->out[1]; // the cursors of the first worker, before they advance
  memcpy(offsets, j.m.cursor, (size_t)j.m.experts * sizeof *offsets);
  offsets[j.m.experts] = (int32_t)j.m.rows;
  xlm_pool_run(j.m.pool, pack, &j);
  moe_clear_tail(&j.m, c, xs, c->out[0]);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(dispatch) = {.op = XLM_OP_DISPATCH, .workspace = workspace, .run = run};

static xlm_status run_bwd(const xlm_call *c) { // dxs, e -> dx
  XLM_ISA_NAME(xlm_moe_gather)(c, -1, 1);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(dispatch_bwd) = {
    .op = XLM_OP_DISPATCH_BWD, .workspace = workspace, .run = run_bwd};
