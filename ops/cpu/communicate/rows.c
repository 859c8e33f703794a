// See rows_priv.h.
#include "ops/cpu/communicate/rows_priv.h"

size_t rows_workspace(const xlm_call *c, const xlm_type *home, const xlm_type *here) {
  int64_t n = xlm_call_members(c), counts = c->dims[home->dim[0]].size + n * c->dims[here->dim[0]].size;
  return collect_tables(n) + (size_t)counts * sizeof(int32_t);
}

xlm_status rows_start(const xlm_call *c, rows *r, const xlm_type *home, const xlm_type *here,
                      const int32_t *offsets) {
  collect *g = &r->g;
  *r = (rows){.g = collect_start(c), .home = offsets, .here = c->dims[here->dim[0]].size};
  r->rounds = xlm_collect_largest(c, 0);
  r->bytes = (size_t)xlm_call_inner(c, home, 1) * xlm_dtype_bytes(home->dtype);
  collect_sizes(c, 0, g->n, g->size, g->begin);
  XLM_ASSERT(g->size[g->me] == r->here, "%s: member %lld owns %lld experts, not %lld",
             xlm_op_name(c->instr->op), (long long)g->me, (long long)g->size[g->me], (long long)r->here);
  int64_t experts = c->dims[home->dim[0]].size;
  int32_t *mine = (int32_t *)(void *)g->room;
  r->count = mine + experts;
  for (int64_t e = 0; e < experts; e++) mine[e] = offsets[e + 1] - offsets[e];
  for (int64_t k = 0; k < g->n; k++) {
    g->out[k] = mine + g->begin[k], g->out_bytes[k] = (size_t)g->size[k] * sizeof *mine;
    g->in[k] = r->count + k * r->here, g->in_bytes[k] = (size_t)r->here * sizeof *mine;
  }
  return collect_exchange(g);
}

void *rows_at_home(const rows *r, int64_t i, int64_t k, void *data, size_t *bytes) {
  *bytes = 0;
  if (i >= r->g.size[k]) return data;
  const int32_t *at = r->home + r->g.begin[k] + i;
  *bytes = (size_t)(at[1] - at[0]) * r->bytes;
  return (char *)data + (size_t)at[0] * r->bytes;
}

int64_t rows_owned(const rows *r, int64_t i, int64_t k) {
  return i < r->here ? r->count[k * r->here + i] : 0;
}
