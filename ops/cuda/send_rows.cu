// send_rows; see rows_priv.h.
#include "ops/cuda/rows_priv.h"

enum { BLOCK = 256 };

// offsets[e + 1] = rows of the experts up to e, from all members. One block.
__global__ void __launch_bounds__(BLOCK)
    set_offsets(const int32_t *count, int32_t *offsets, int64_t members, int64_t here) {
  for (int64_t e = threadIdx.x; e < here; e += BLOCK) {
    int32_t all = 0;
    for (int64_t k = 0; k < members; k++) all += count[k * here + e];
    offsets[e + 1] = all;
  }
  __syncthreads();
  if (threadIdx.x) return;
  offsets[0] = 0;
  for (int64_t e = 0; e < here; e++) offsets[e + 1] += offsets[e];
}

// Round i; *to: where its rows go, moved on behind them.
static xlm_status move_expert(const xlm_call *c, const rows *r, int64_t i, char **to) {
  collect_tables *t = r->g.t;
  for (int64_t k = 0; k < r->g.n; k++) {
    t->out[k] = rows_at_home(r, i, k, c->in[0], &t->out_bytes[k]);
    t->in[k] = *to, t->in_bytes[k] = (size_t)rows_owned(r, i, k) * r->bytes;
    *to += t->in_bytes[k];
  }
  return collect_exchange(&r->g);
}

XLM_CUDA_RUN(send_rows) {
  rows r;
  const xlm_type *to = c->out_type[0];
  int32_t *offsets = (int32_t *)c->out[1];
  XLM_TRY(rows_start(c, c->in_type[0], to, (const int32_t *)c->in[1], &r));
  XLM_TRY(xlm_cuda_launched(
      c, XLM_LAUNCH(set_offsets, 1, BLOCK, 0, xlm_cuda_stream(c), r.count_there, offsets, r.g.n, r.here)));
  int64_t used = 0, room = xlm_call_size(c, to, 1);
  for (int64_t i = 0; i < r.g.n * r.here; i++) used += r.count[i];
  XLM_ASSERT(used <= room, "%lld rows for the experts here, planned are at most %lld", (long long)used,
             (long long)room);
  char *at = (char *)c->out[0];
  for (int64_t i = 0; i < r.rounds; i++) XLM_TRY(move_expert(c, &r, i, &at));
  return collect_clear_rows(c, to, c->out[0], offsets + r.here);
}
