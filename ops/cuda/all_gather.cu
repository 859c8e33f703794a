// all_gather: along an outermost dimension every piece arrives in its place, run by run; along an inner one
// it goes through the workspace, in rounds.
#include "ops/cuda/collect_priv.h"

struct job {
  collect g;
  xlm_dim from, to;
  collect_piece whole;
  int64_t step;
};

static collect_piece piece(const job *j, int64_t k) {
  return xlm_collect_member(j->g.call, j->whole, j->to, j->from, k);
}

static xlm_status gather_in_place(const job *j) {
  const xlm_call *c = j->g.call;
  collect_tables *t = j->g.t;
  const char *mine = (const char *)c->in[0];
  for (int run = 0; run < xlm_collect_runs(c, j->from); run++) {
    for (int64_t k = 0; k < j->g.n; k++) {
      collect_piece p = piece(j, k);
      int64_t begin = run ? p.tail_begin : p.begin, size = run ? p.tail : p.size - p.tail;
      t->in[k] = (char *)c->out[0] + (size_t)(begin * p.inner) * j->g.elem;
      t->in_bytes[k] = (size_t)(size * p.inner) * j->g.elem;
    }
    XLM_TRY(collect_gather(&j->g, mine));
    mine += t->in_bytes[j->g.me];
  }
  return XLM_OK;
}

static xlm_status round_of(const job *j, int64_t first) {
  const xlm_call *c = j->g.call;
  collect_tables *t = j->g.t;
  char *mine = (char *)c->in[0] + (size_t)first * j->g.elem;
  for (int64_t k = 0; k < j->g.n; k++) {
    t->in[k] = k == j->g.me ? mine : j->g.room + (size_t)(k * j->step) * j->g.elem;
    t->move[k] = {piece(j, k), t->in[k]};
    t->in_bytes[k] = (size_t)collect_left(t->move[k].piece, first, j->step) * j->g.elem;
  }
  XLM_TRY(collect_gather(&j->g, mine));
  return collect_copy(&j->g, COLLECT_UNPACK, c->out[0], t->move, j->g.n, first, j->step);
}

XLM_CUDA_RUN(all_gather) {
  job j = {};
  int64_t rows;
  j.g = collect_start(c);
  j.from = xlm_call_dim(c, XLM_A_from, 0), j.to = xlm_call_dim(c, XLM_A_to, 0);
  XLM_TRY(collect_rows_in_use(&j.g, c->out_type[0], &rows));
  j.whole = xlm_collect_whole(c, c->out_type[0], j.to, rows);
  if (xlm_collect_outermost(c, c->out_type[0], j.to)) {
    XLM_TRY(gather_in_place(&j));
  } else {
    int64_t most = j.whole.outer * xlm_collect_largest(c, 0) * j.whole.inner;
    j.step = collect_step(&j.g, 1);
    for (int64_t first = 0; first < most; first += j.step) XLM_TRY(round_of(&j, first));
  }
  return collect_clear_tail(c, c->out_type[0], c->out[0]);
}
