// all_reduce on the CPU, in the variants of runtime/plan/traffic.h. Both add in the order of the members, so
// they give the same bits.
#include "ops/cpu/communicate/collect_priv.h"

static bool applicable(const xlm_call *c, const xlm_target *t, int variant) {
  (void)t;
  return variant == XLM_ALL_REDUCE_TWOSHOT ||
         xlm_all_reduce_is_small(xlm_call_members(c), xlm_type_bytes(c->in_type[0], c->dims));
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  int64_t n = xlm_call_members(c), count = xlm_call_elements(c, c->in_type[0]);
  size_t elem = xlm_dtype_bytes(c->in_type[0]->dtype);
  if (c->variant == XLM_ALL_REDUCE_ONESHOT) return collect_tables(n) + (size_t)(n * count) * elem;
  return collect_tables(n) + collect_room(n, (count + n - 1) / n, elem, 1);
}

typedef struct job {
  const xlm_call *c;
  collect g;
  size_t elem;
  int64_t count;
  const char *x;
  char *out;
} job;

static void reduce(const job *j, int64_t count, void *out) { // reduces g.in
  collect_reduce(&j->g, j->c->in_type[0]->dtype, count, out, xlm_cpu_pool(j->c));
}

static xlm_status oneshot(job *j) {
  size_t bytes = (size_t)j->count * j->elem;
  for (int64_t k = 0; k < j->g.n; k++) j->g.in[k] = j->g.room + (size_t)k * bytes, j->g.in_bytes[k] = bytes;
  XLM_TRY(collect_gather(&j->g, j->x));
  reduce(j, j->count, j->out);
  return XLM_OK;
}

// Elements [first, first + step) of member k's piece.
static xlm_piece part(const job *j, int64_t k, int64_t first, int64_t step) {
  xlm_piece p = xlm_mesh_split((xlm_piece){0, j->count}, 1, j->g.n, k);
  int64_t left = p.size > first ? p.size - first : 0;
  return (xlm_piece){p.offset + first, left < step ? left : step};
}

static xlm_status scatter(job *j, int64_t first, int64_t step) {
  xlm_piece mine = part(j, j->g.me, first, step);
  for (int64_t k = 0; k < j->g.n; k++) {
    xlm_piece p = part(j, k, first, step);
    j->g.out[k] = j->x + (size_t)p.offset * j->elem;
    j->g.out_bytes[k] = (size_t)p.size * j->elem;
    j->g.in[k] = k == j->g.me ? (void *)(uintptr_t)j->g.out[k] : j->g.room + (size_t)(k * step) * j->elem;
    j->g.in_bytes[k] = (size_t)mine.size * j->elem;
  }
  return collect_exchange(&j->g);
}

static xlm_status gather(job *j, int64_t first, int64_t step) {
  for (int64_t k = 0; k < j->g.n; k++) {
    xlm_piece p = part(j, k, first, step);
    j->g.in[k] = j->out + (size_t)p.offset * j->elem;
    j->g.in_bytes[k] = (size_t)p.size * j->elem;
  }
  return collect_gather(&j->g, j->g.in[j->g.me]);
}

static xlm_status twoshot(job *j) {
  int64_t step = collect_step(&j->g, j->elem, 1);
  XLM_ASSERT(step > 0, "all_reduce over %lld members", (long long)j->g.n);
  int64_t most = xlm_mesh_split((xlm_piece){0, j->count}, 1, j->g.n, 0).size;
  for (int64_t first = 0; first < most; first += step) {
    xlm_piece mine = part(j, j->g.me, first, step);
    XLM_TRY(scatter(j, first, step));
    reduce(j, mine.size, j->out + (size_t)mine.offset * j->elem);
    XLM_TRY(gather(j, first, step));
  }
  return XLM_OK;
}

static xlm_status run(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  job j = {.c = c,
           .g = collect_start(c),
           .elem = xlm_dtype_bytes(t->dtype),
           .count = collect_elements(c, t, true),
           .x = c->in[0],
           .out = c->out[0]};
  XLM_TRY(c->variant == XLM_ALL_REDUCE_ONESHOT ? oneshot(&j) : twoshot(&j));
  collect_clear_tail(c, t, c->out[0]);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(all_reduce) = {.op = XLM_OP_ALL_REDUCE,
                                           .variants = xlm_all_reduce_names,
                                           .applicable = applicable,
                                           .workspace = workspace,
                                           .run = run};
