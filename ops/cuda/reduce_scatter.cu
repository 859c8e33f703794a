// reduce_scatter: every member receives all summands of its piece and adds them in the order of all_reduce,
// to the same bits. Pieces that are not contiguous are packed first; both in rounds.
#include "ops/cuda/collect_priv.h"

struct job {
  collect g;
  xlm_dim from, to;
  collect_piece whole;
  bool dense; // every member's piece is contiguous
  int64_t step;
};

static collect_piece piece(const job *j, int64_t k) {
  return xlm_collect_member(j->g.call, j->whole, j->from, j->to, k);
}

static char *packed(const job *j, int64_t k) {
  return j->g.room + (size_t)((j->g.n + k) * j->step) * j->g.elem;
}

static xlm_status round_of(const job *j, int64_t first) {
  const xlm_call *c = j->g.call;
  collect_tables *t = j->g.t;
  int64_t mine = collect_left(piece(j, j->g.me), first, j->step);
  for (int64_t k = 0; k < j->g.n; k++) t->move[k] = {piece(j, k), packed(j, k)};
  if (!j->dense) XLM_TRY(collect_copy(&j->g, COLLECT_PACK, c->in[0], t->move, j->g.n, first, j->step));
  for (int64_t k = 0; k < j->g.n; k++) {
    const collect_piece &p = t->move[k].piece;
    t->out[k] =
        j->dense ? (const char *)c->in[0] + (size_t)(p.begin * p.inner + first) * j->g.elem : packed(j, k);
    t->out_bytes[k] = (size_t)collect_left(p, first, j->step) * j->g.elem;
    t->in[k] = k == j->g.me ? (void *)(uintptr_t)t->out[k] : j->g.room + (size_t)(k * j->step) * j->g.elem;
    t->in_bytes[k] = (size_t)mine * j->g.elem;
  }
  XLM_TRY(collect_exchange(&j->g));
  return collect_reduce(&j->g, xlm_attr_enum(&c->instr->attrs, XLM_A_kind, XLM_REDUCTION_SUM), t->in[j->g.me],
                        j->step, mine, (char *)c->out[0] + (size_t)first * j->g.elem);
}

XLM_CUDA_RUN(reduce_scatter) {
  job j = {};
  int64_t rows;
  j.g = collect_start(c);
  j.from = xlm_call_dim(c, XLM_A_from, 0), j.to = xlm_call_dim(c, XLM_A_to, 0);
  XLM_TRY(collect_rows_in_use(&j.g, c->in_type[0], &rows));
  j.whole = xlm_collect_whole(c, c->in_type[0], j.from, rows);
  j.dense = xlm_collect_dense(c);
  j.step = collect_step(&j.g, j.dense ? 1 : 2);
  int64_t most = j.whole.outer * xlm_collect_largest(c, 0) * j.whole.inner;
  for (int64_t first = 0; first < most; first += j.step) XLM_TRY(round_of(&j, first));
  return collect_clear_tail(c, c->out_type[0], c->out[0]);
}
