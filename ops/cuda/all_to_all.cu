// all_to_all: joins the pieces of dimension a (from[0] -> to[0]) and splits dimension b (from[1] -> to[1]).
// What goes to member k is its part of b, what comes from k its part of a; both are lists in one order, since
// the storage order of the dimensions stays. In rounds through the workspace.
#include "ops/cuda/collect_priv.h"

struct job {
  collect g;
  collect_piece a, b; // of the result; of the operand
  xlm_dim a_part, a_whole, b_part, b_whole;
  int64_t step;
};

static collect_piece joins(const job *j, int64_t k) { // what member k has of a
  return xlm_collect_member(j->g.call, j->a, j->a_whole, j->a_part, k);
}

static collect_piece leaves(const job *j, int64_t k) { // what it will have of b
  return xlm_collect_member(j->g.call, j->b, j->b_whole, j->b_part, k);
}

static char *place(const job *j, int64_t k) {
  return j->g.room + (size_t)(k * j->step) * j->g.elem;
}

static xlm_status round_of(const job *j, int64_t first) {
  const xlm_call *c = j->g.call;
  collect_tables *t = j->g.t;
  int64_t n = j->g.n;
  for (int64_t k = 0; k < n; k++) {
    t->move[k] = {leaves(j, k), place(j, n + k)};
    t->out[k] = place(j, n + k),
    t->out_bytes[k] = (size_t)collect_left(t->move[k].piece, first, j->step) * j->g.elem;
  }
  XLM_TRY(collect_copy(&j->g, COLLECT_PACK, c->in[0], t->move, n, first, j->step));
  for (int64_t k = 0; k < n; k++) {
    t->in[k] = place(j, k == j->g.me ? n + k : k);
    t->move[k] = {joins(j, k), t->in[k]};
    t->in_bytes[k] = (size_t)collect_left(t->move[k].piece, first, j->step) * j->g.elem;
  }
  XLM_TRY(collect_exchange(&j->g));
  return collect_copy(&j->g, COLLECT_UNPACK, c->out[0], t->move, n, first, j->step);
}

XLM_CUDA_RUN(all_to_all) {
  job j = {};
  int64_t rows = 0, most = xlm_collect_exchanged(c);
  j.g = collect_start(c);
  j.a_part = xlm_call_dim(c, XLM_A_from, 0), j.a_whole = xlm_call_dim(c, XLM_A_to, 0);
  j.b_whole = xlm_call_dim(c, XLM_A_from, 1), j.b_part = xlm_call_dim(c, XLM_A_to, 1);
  XLM_TRY(collect_rows_in_use(&j.g, c->in_type[0], &rows));
  j.a = xlm_collect_whole(c, c->out_type[0], j.a_whole, rows);
  j.b = xlm_collect_whole(c, c->in_type[0], j.b_whole, rows);
  j.step = collect_step(&j.g, 2);
  if (xlm_collect_ragged(c, c->in_type[0]) && xlm_call_size(c, c->in_type[0], 1))
    most = most / xlm_call_size(c, c->in_type[0], 1) * rows;
  for (int64_t first = 0; first < most; first += j.step) XLM_TRY(round_of(&j, first));
  return collect_clear_tail(c, c->out_type[0], c->out[0]);
}
