// See rows_priv.h.
#include "ops/cuda/rows_priv.h"

enum { BLOCK = 256 };

__global__ void __launch_bounds__(BLOCK) count_rows(const int32_t *offsets, int32_t *count, int64_t experts) {
  for (int64_t e = (int64_t)blockIdx.x * BLOCK + threadIdx.x; e < experts; e += (int64_t)gridDim.x * BLOCK)
    count[e] = offsets[e + 1] - offsets[e];
}

// Counts of the experts here, from every member; then all counts to the host.
static xlm_status exchange_counts(rows *r, const int32_t *offsets) {
  const xlm_call *c = r->g.call;
  collect_tables *t = r->g.t;
  int32_t *mine = (int32_t *)r->g.room, *count = mine + r->experts;
  XLM_TRY(xlm_cuda_launched(c, XLM_LAUNCH(count_rows, xlm_cuda_blocks(r->experts, BLOCK), BLOCK, 0,
                                          xlm_cuda_stream(c), offsets, mine, r->experts)));
  for (int64_t k = 0; k < r->g.n; k++) {
    t->out[k] = mine + t->begin[k], t->out_bytes[k] = (size_t)t->size[k] * sizeof *mine;
    t->in[k] = count + k * r->here, t->in_bytes[k] = (size_t)r->here * sizeof *mine;
  }
  r->count_there = count;
  XLM_TRY(collect_exchange(&r->g));
  return xlm_cuda_fetch(c, t->counts, mine, xlm_collect_counts(r->g.n, r->experts, r->here));
}

xlm_status rows_start(const xlm_call *c, const xlm_type *home, const xlm_type *here, const int32_t *offsets,
                      rows *out) {
  rows r = {};
  r.g = collect_start(c);
  r.experts = c->dims[home->dim[0]].size, r.here = c->dims[here->dim[0]].size,
  r.rounds = xlm_collect_largest(c, 0);
  r.bytes = (size_t)xlm_call_inner(c, home, 1) * xlm_dtype_bytes(home->dtype);
  collect_read_sizes(&r.g);
  XLM_ASSERT(r.g.t->size[r.g.me] == r.here, "%s: member %lld owns %lld experts, not %lld",
             xlm_op_name(c->instr->op), (long long)r.g.me, (long long)r.g.t->size[r.g.me], (long long)r.here);
  XLM_TRY(exchange_counts(&r, offsets));
  r.count = r.g.t->counts + r.experts;
  r.home = r.count + r.g.n * r.here;
  r.home[0] = 0;
  for (int64_t e = 0; e < r.experts; e++) r.home[e + 1] = r.home[e] + r.g.t->counts[e];
  *out = r;
  return XLM_OK;
}

void *rows_at_home(const rows *r, int64_t i, int64_t k, void *data, size_t *bytes) {
  *bytes = 0;
  if (i >= r->g.t->size[k]) return data;
  const int32_t *at = r->home + r->g.t->begin[k] + i;
  *bytes = (size_t)(at[1] - at[0]) * r->bytes;
  return (char *)data + (size_t)at[0] * r->bytes;
}

int64_t rows_owned(const rows *r, int64_t i, int64_t k) {
  return i < r->here ? r->count[k * r->here + i] : 0;
}
