// all_gather on the CPU: pieces of the outermost dimension are received in place, run by run; those of an
// inner one go through the workspace, in rounds.
#include "ops/cpu/communicate/collect_priv.h"

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  collect_piece p = collect_piece_of(c, c->out_type[0], xlm_call_dim(c, XLM_A_to, 0), false);
  int64_t n = xlm_call_members(c), piece = p.outer * xlm_collect_largest(c, 0) * p.inner;
  size_t room = p.outer == 1 ? 0 : collect_room(n, piece, xlm_dtype_bytes(c->in_type[0]->dtype), 1);
  return collect_tables(n) + room;
}

typedef struct job {
  const xlm_call *c;
  collect g;
  xlm_dim from, to;
  collect_piece whole;
  size_t elem;
  int64_t step;
} job;

static collect_piece piece(const job *j, int64_t k) {
  return xlm_collect_member(j->c, j->whole, j->to, j->from, k);
}

static int64_t left(const job *j, int64_t k, int64_t first) { // remaining elements of member k's piece in
                                                              // this round
  collect_piece p = piece(j, k);
  int64_t n = collect_count(&p) - first;
  return n < 0 ? 0 : n < j->step ? n : j->step;
}

static xlm_status gather_in_place(job *j) {
  const char *mine = j->c->in[0];
  for (int run = 0; run < xlm_collect_runs(j->c, j->from); run++) {
    for (int64_t k = 0; k < j->g.n; k++) {
      collect_piece p = piece(j, k);
      int64_t begin = run ? p.tail_begin : p.begin, size = run ? p.tail : p.size - p.tail;
      j->g.in[k] = (char *)j->c->out[0] + (size_t)(begin * p.inner) * j->elem;
      j->g.in_bytes[k] = (size_t)(size * p.inner) * j->elem;
    }
    XLM_TRY(collect_gather(&j->g, mine));
    mine += j->g.in_bytes[j->g.me];
  }
  return XLM_OK;
}

static xlm_status round_of(job *j, int64_t first) {
  char *mine = (char *)j->c->in[0] + (size_t)first * j->elem;
  for (int64_t k = 0; k < j->g.n; k++) {
    j->g.in[k] = k == j->g.me ? mine : j->g.room + (size_t)(k * j->step) * j->elem;
    j->g.in_bytes[k] = (size_t)left(j, k, first) * j->elem;
  }
  XLM_TRY(collect_gather(&j->g, mine));
  for (int64_t k = 0; k < j->g.n; k++) {
    collect_piece p = piece(j, k);
    collect_unpack(&p, j->c->out[0], first, left(j, k, first), j->elem, j->g.in[k], xlm_cpu_pool(j->c));
  }
  return XLM_OK;
}

static xlm_status run(const xlm_call *c) {
  job j = {.c = c, .g = collect_start(c), .elem = xlm_dtype_bytes(c->in_type[0]->dtype)};
  j.from = xlm_call_dim(c, XLM_A_from, 0), j.to = xlm_call_dim(c, XLM_A_to, 0);
  j.whole = collect_piece_of(c, c->out_type[0], j.to, true);
  if (collect_piece_of(c, c->out_type[0], j.to, false).outer == 1) {
    XLM_TRY(gather_in_place(&j));
  } else {
    j.step = collect_step(&j.g, j.elem, 1);
    int64_t most = j.whole.outer * xlm_collect_largest(c, 0) * j.whole.inner;
    for (int64_t first = 0; first < most; first += j.step) XLM_TRY(round_of(&j, first));
  }
  collect_clear_tail(c, c->out_type[0], c->out[0]);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(all_gather) = {.op = XLM_OP_ALL_GATHER, .workspace = workspace, .run = run};
