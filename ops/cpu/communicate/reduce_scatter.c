// reduce_scatter on the CPU: every member receives all summands of its piece and adds them in the order of
// all_reduce, with the same bits. Pieces that are not contiguous are packed first. Both in rounds.
#include "ops/cpu/communicate/collect_priv.h"

static bool is_dense(const xlm_call *c, const collect_piece *all) { // is every member's piece contiguous?
  return all->outer == 1 && xlm_collect_runs(c, xlm_call_dim(c, XLM_A_to, 0)) == 1;
}

static int copies_of(bool dense) {
  return dense ? 1 : 2;
} // receive and pack buffers

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  collect_piece p = collect_piece_of(c, c->in_type[0], xlm_call_dim(c, XLM_A_from, 0), false);
  int64_t n = xlm_call_members(c), piece = p.outer * xlm_collect_largest(c, 0) * p.inner;
  bool dense = is_dense(c, &p);
  return collect_tables(n) + collect_room(n, piece, xlm_dtype_bytes(c->in_type[0]->dtype), copies_of(dense));
}

typedef struct job {
  const xlm_call *c;
  collect g;
  xlm_dim from, to;
  collect_piece whole;
  bool dense;
  size_t elem;
  int64_t step;
} job;

static int64_t left(const job *j, int64_t k, int64_t first) { // remaining elements of member k's piece in
                                                              // this round
  int64_t n = j->whole.outer * j->g.size[k] * j->whole.inner - first;
  return n < 0 ? 0 : n < j->step ? n : j->step;
}

static const void *summand(const job *j, int64_t k, int64_t first) { // sent to member k in this round
  collect_piece p = xlm_collect_member(j->c, j->whole, j->from, j->to, k);
  if (j->dense) return (const char *)j->c->in[0] + (size_t)(p.begin * p.inner + first) * j->elem;
  char *packed = j->g.room + (size_t)((j->g.n + k) * j->step) * j->elem;
  collect_pack(&p, j->c->in[0], first, left(j, k, first), j->elem, packed, xlm_cpu_pool(j->c));
  return packed;
}

static xlm_status round_of(job *j, int64_t first) {
  int64_t mine = left(j, j->g.me, first);
  for (int64_t k = 0; k < j->g.n; k++) {
    j->g.out[k] = summand(j, k, first);
    j->g.out_bytes[k] = (size_t)left(j, k, first) * j->elem;
    j->g.in[k] = k == j->g.me ? (void *)(uintptr_t)j->g.out[k] : j->g.room + (size_t)(k * j->step) * j->elem;
    j->g.in_bytes[k] = (size_t)mine * j->elem;
  }
  XLM_TRY(collect_exchange(&j->g));
  collect_reduce(&j->g, j->c->in_type[0]->dtype, mine, (char *)j->c->out[0] + (size_t)first * j->elem,
                 xlm_cpu_pool(j->c));
  return XLM_OK;
}

static xlm_status run(const xlm_call *c) {
  job j = {.c = c, .g = collect_start(c), .elem = xlm_dtype_bytes(c->in_type[0]->dtype)};
  j.from = xlm_call_dim(c, XLM_A_from, 0), j.to = xlm_call_dim(c, XLM_A_to, 0);
  j.whole = collect_piece_of(c, c->in_type[0], j.from, true);
  j.dense = is_dense(c, &j.whole);
  collect_sizes(c, 0, j.g.n, j.g.size, j.g.begin);
  j.step = collect_step(&j.g, j.elem, copies_of(j.dense));
  int64_t most = j.whole.outer * xlm_collect_largest(c, 0) * j.whole.inner;
  for (int64_t first = 0; first < most; first += j.step) XLM_TRY(round_of(&j, first));
  collect_clear_tail(c, c->out_type[0], c->out[0]);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(reduce_scatter) = {.op = XLM_OP_REDUCE_SCATTER,
                                               .variants = collect_exact,
                                               .applicable = collect_applicable,
                                               .workspace = workspace,
                                               .run = run};
