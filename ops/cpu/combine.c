// combine on the CPU: every token gathers its rows (ops/cpu/moe_priv.h). combine_bwd visits the rows in the
// same order and computes both gradients in one pass.
#include "ops/cpu/moe_priv.h"

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  return XLM_ISA_NAME(xlm_moe_workspace)(c, t);
}

static xlm_status run(const xlm_call *c) { // ys, w, e -> out
  XLM_ISA_NAME(xlm_moe_gather)(c, 1, 2);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(combine) = {.op = XLM_OP_COMBINE, .workspace = workspace, .run = run};

enum { CHUNK = VEC_RUN };

typedef struct job {
  moe m;
  const void *dout, *ys, *w;
  void *dys, *dw;
  xlm_dtype dtype, dout_dtype, w_dtype;
  places at_w; // of w and dw
  int64_t w_slot, width;
} job;

// Computes dys of one row and returns its contribution to dw.
static float gradient_row(const job *j, int64_t token, int64_t row, float weight) {
  float dout[CHUNK], y[CHUNK], sum = 0;
  for (int64_t at = 0; at < j->width; at += CHUNK) {
    int64_t n = j->width - at < CHUNK ? j->width - at : CHUNK;
    vec_read(j->dout_dtype, j->dout, token * j->width + at, n, dout);
    vec_read(j->dtype, j->ys, row * j->width + at, n, y);
    sum += vec_dot(dout, y, n);
    for (int64_t i = 0; i < n; i++) dout[i] *= weight;
    vec_write(j->dtype, j->dys, row * j->width + at, n, dout);
  }
  return sum;
}

static void work(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->m.tokens, worker, workers, &begin, &end);
  for (int64_t t = begin; t < end; t++)
    for (int64_t s = 0; s < j->m.active; s++) {
      int64_t row = moe_take(&j->m, worker, t, s), at = places_at(&j->at_w, t) + s * j->w_slot;
      float dw = row < 0 ? 0 : gradient_row(j, t, row, vec_read_one(j->w_dtype, j->w, at));
      write_one(j->w_dtype, j->dw, at, dw);
    }
}

static xlm_status run_bwd(const xlm_call *c) { // dout, ys, w, e -> dys, dw
  const xlm_type *ys = c->in_type[1], *w = c->in_type[2];
  job j = {.dout = c->in[0],
           .ys = c->in[1],
           .w = c->in[2],
           .dys = c->out[0],
           .dw = c->out[1],
           .dtype = ys->dtype,
           .dout_dtype = c->in_type[0]->dtype,
           .w_dtype = w->dtype,
           .width = xlm_call_inner(c, ys, 1)};
  xlm_type tokens = XLM_ISA_NAME(xlm_moe_tokens)(c, 3);
  xlm_dim active[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_active, active);
  j.at_w = places_over(c, w, tokens.dim, tokens.rank);
  j.w_slot = xlm_call_stride(c, w, active[0]);
  j.m = XLM_ISA_NAME(xlm_moe_start)(c, 3, j.width);
  xlm_pool_run(j.m.pool, work, &j);
  moe_clear_tail(&j.m, c, ys, j.dys);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(combine_bwd) = {.op = XLM_OP_COMBINE_BWD, .workspace = workspace, .run = run_bwd};
