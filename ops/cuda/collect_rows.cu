// collect_rows: the way back of send_rows; see rows_priv.h.
#include "ops/cuda/rows_priv.h"

static xlm_status move_expert(const xlm_call *c, const rows *r, int64_t i, const char **from) {
  collect_tables *t = r->g.t;
  for (int64_t k = 0; k < r->g.n; k++) {
    t->out[k] = *from, t->out_bytes[k] = (size_t)rows_owned(r, i, k) * r->bytes;
    *from += t->out_bytes[k];
    t->in[k] = rows_at_home(r, i, k, c->out[0], &t->in_bytes[k]);
  }
  return collect_exchange(&r->g);
}

XLM_CUDA_RUN(collect_rows) { // ys, offsets here, offsets at home
  rows r;
  const int32_t *home = (const int32_t *)c->in[2];
  XLM_TRY(rows_start(c, c->out_type[0], c->in_type[0], home, &r));
  const char *at = (const char *)c->in[0];
  for (int64_t i = 0; i < r.rounds; i++) XLM_TRY(move_expert(c, &r, i, &at));
  return collect_clear_rows(c, c->out_type[0], c->out[0], home + r.experts);
}
