// collect_rows on the CPU; see rows_priv.h.
#include "ops/cpu/communicate/rows_priv.h"

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  return rows_workspace(c, c->out_type[0], c->in_type[0]);
}

static xlm_status move_expert(const xlm_call *c, rows *r, int64_t i) {
  const int32_t *offsets = c->in[1];
  const char *from = (const char *)c->in[0] + (i < r->here ? (size_t)offsets[i] * r->bytes : 0);
  for (int64_t k = 0; k < r->g.n; k++) {
    r->g.out[k] = from, r->g.out_bytes[k] = (size_t)rows_owned(r, i, k) * r->bytes;
    from += r->g.out_bytes[k];
    r->g.in[k] = rows_at_home(r, i, k, c->out[0], &r->g.in_bytes[k]);
  }
  return collect_exchange(&r->g);
}

static xlm_status run(const xlm_call *c) {
  rows r;
  const int32_t *home = c->in[2];
  XLM_TRY(rows_start(c, &r, c->out_type[0], c->in_type[0], home));
  for (int64_t i = 0; i < r.rounds; i++) XLM_TRY(move_expert(c, &r, i));
  int64_t used = home[xlm_call_size(c, c->out_type[0], 0)], room = xlm_call_size(c, c->out_type[0], 1);
  memset((char *)c->out[0] + (size_t)used * r.bytes, 0, (size_t)(room - used) * r.bytes);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(collect_rows) = {.op = XLM_OP_COLLECT_ROWS, .workspace = workspace, .run = run};
