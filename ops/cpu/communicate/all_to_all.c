// all_to_all on the CPU: joins the pieces of dimension a (from[0] -> to[0]) and splits dimension b (from[1]
// -> to[1]). Member k is sent its part of b and sends its part of a; both are element lists in the same
// order, since the storage order of the dimensions stays. In rounds through the workspace.
#include "ops/cpu/communicate/collect_priv.h"

// Elements of the largest piece that any two members exchange, from the sizes, so that all agree on the
// number of rounds.
static int64_t largest_piece(const xlm_call *c, bool used) {
  xlm_type t = *c->out_type[0], rest = {.dtype = t.dtype};
  for (int i = 0; i < t.rank; i++)
    if (t.dim[i] != xlm_call_dim(c, XLM_A_to, 0) && t.dim[i] != xlm_call_dim(c, XLM_A_to, 1))
      rest.dim[rest.rank++] = t.dim[i];
  return collect_elements(c, &rest, used) * xlm_collect_largest(c, 0) * xlm_collect_largest(c, 1);
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  int64_t n = xlm_call_members(c);
  return collect_tables(n) +
         collect_room(n, largest_piece(c, false), xlm_dtype_bytes(c->in_type[0]->dtype), 2);
}

typedef struct job {
  const xlm_call *c;
  collect g;
  collect_piece a, b; // of the result; of the operand
  xlm_dim a_part, a_whole, b_part, b_whole;
  size_t elem;
  int64_t step;
} job;

static collect_piece joins(const job *j, int64_t k) { // member k's part of a
  return xlm_collect_member(j->c, j->a, j->a_whole, j->a_part, k);
}

static collect_piece leaves(const job *j, int64_t k) { // member k's future part of b
  return xlm_collect_member(j->c, j->b, j->b_whole, j->b_part, k);
}

static int64_t left(const job *j, const collect_piece *p, int64_t first) {
  int64_t n = collect_count(p) - first;
  return n < 0 ? 0 : n < j->step ? n : j->step;
}

static xlm_status round_of(job *j, int64_t first) {
  const xlm_call *c = j->c;
  for (int64_t k = 0; k < j->g.n; k++) {
    collect_piece to = leaves(j, k), from = joins(j, k);
    char *packed = j->g.room + (size_t)((j->g.n + k) * j->step) * j->elem;
    collect_pack(&to, c->in[0], first, left(j, &to, first), j->elem, packed, xlm_cpu_pool(c));
    j->g.out[k] = packed, j->g.out_bytes[k] = (size_t)left(j, &to, first) * j->elem;
    j->g.in[k] = k == j->g.me ? packed : j->g.room + (size_t)(k * j->step) * j->elem;
    j->g.in_bytes[k] = (size_t)left(j, &from, first) * j->elem;
  }
  XLM_TRY(collect_exchange(&j->g));
  for (int64_t k = 0; k < j->g.n; k++) {
    collect_piece from = joins(j, k);
    collect_unpack(&from, c->out[0], first, left(j, &from, first), j->elem, j->g.in[k], xlm_cpu_pool(c));
  }
  return XLM_OK;
}

static xlm_status run(const xlm_call *c) {
  job j = {.c = c, .g = collect_start(c), .elem = xlm_dtype_bytes(c->in_type[0]->dtype)};
  j.a_part = xlm_call_dim(c, XLM_A_from, 0), j.a_whole = xlm_call_dim(c, XLM_A_to, 0);
  j.b_whole = xlm_call_dim(c, XLM_A_from, 1), j.b_part = xlm_call_dim(c, XLM_A_to, 1);
  j.a = collect_piece_of(c, c->out_type[0], j.a_whole, true);
  j.b = collect_piece_of(c, c->in_type[0], j.b_whole, true);
  j.step = collect_step(&j.g, j.elem, 2);
  int64_t most = largest_piece(c, true);
  for (int64_t first = 0; first < most; first += j.step) XLM_TRY(round_of(&j, first));
  collect_clear_tail(c, c->out_type[0], c->out[0]);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(all_to_all) = {.op = XLM_OP_ALL_TO_ALL, .workspace = workspace, .run = run};
