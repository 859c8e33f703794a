// send_rows on the CPU; see rows_priv.h.
#include "ops/cpu/communicate/rows_priv.h"

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  return rows_workspace(c, c->in_type[0], c->out_type[0]);
}

static void set_offsets(const rows *r, int32_t *offsets) {
  offsets[0] = 0;
  for (int64_t e = 0; e < r->here; e++) {
    offsets[e + 1] = offsets[e];
    for (int64_t k = 0; k < r->g.n; k++) offsets[e + 1] += (int32_t)rows_owned(r, e, k);
  }
}

static xlm_status move_expert(const xlm_call *c, rows *r, int64_t i) {
  const int32_t *offsets = c->out[1];
  char *to = (char *)c->out[0] + (i < r->here ? (size_t)offsets[i] * r->bytes : 0);
  for (int64_t k = 0; k < r->g.n; k++) {
    r->g.out[k] = rows_at_home(r, i, k, c->in[0], &r->g.out_bytes[k]);
    r->g.in[k] = to, r->g.in_bytes[k] = (size_t)rows_owned(r, i, k) * r->bytes;
    to += r->g.in_bytes[k];
  }
  return collect_exchange(&r->g);
}

static xlm_status run(const xlm_call *c) {
  rows r;
  int32_t *offsets = c->out[1];
  XLM_TRY(rows_start(c, &r, c->in_type[0], c->out_type[0], c->in[1]));
  set_offsets(&r, offsets);
  int64_t used = offsets[r.here], room = xlm_call_size(c, c->out_type[0], 1);
  XLM_ASSERT(used <= room, "%lld rows for the experts here, planned are at most %lld", (long long)used,
             (long long)room);
  for (int64_t i = 0; i < r.rounds; i++) XLM_TRY(move_expert(c, &r, i));
  memset((char *)c->out[0] + (size_t)used * r.bytes, 0, (size_t)(room - used) * r.bytes);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(send_rows) = {.op = XLM_OP_SEND_ROWS, .workspace = workspace, .run = run};
