// all_reduce, in the variants of runtime/plan/traffic.h, with the bits of the CPU's.
#include "ops/cuda/collect_priv.h"

struct job {
  collect g;
  int kind; // xlm_reduction
  int64_t count;
  const char *x;
  char *out;
};

static xlm_status oneshot(const job *j) {
  size_t bytes = (size_t)j->count * j->g.elem;
  for (int64_t k = 0; k < j->g.n; k++) {
    j->g.t->in[k] = k == j->g.me ? (void *)(uintptr_t)j->x : j->g.room + (size_t)k * bytes;
    j->g.t->in_bytes[k] = bytes;
  }
  XLM_TRY(collect_gather(&j->g, j->x));
  return collect_reduce(&j->g, j->kind, j->x, j->count, j->count, j->out);
}

// Elements [first, first + step) of member k's piece.
static xlm_piece part(const job *j, int64_t k, int64_t first, int64_t step) {
  xlm_piece p = xlm_mesh_split({0, j->count, 0, 0}, 1, j->g.n, k);
  int64_t left = p.size > first ? p.size - first : 0;
  return {p.offset + first, left < step ? left : step, 0, 0};
}

static xlm_status scatter(const job *j, int64_t first, int64_t step) {
  collect_tables *t = j->g.t;
  xlm_piece mine = part(j, j->g.me, first, step);
  for (int64_t k = 0; k < j->g.n; k++) {
    xlm_piece p = part(j, k, first, step);
    t->out[k] = j->x + (size_t)p.offset * j->g.elem;
    t->out_bytes[k] = (size_t)p.size * j->g.elem;
    t->in[k] = k == j->g.me ? (void *)(uintptr_t)t->out[k] : j->g.room + (size_t)(k * step) * j->g.elem;
    t->in_bytes[k] = (size_t)mine.size * j->g.elem;
  }
  return collect_exchange(&j->g);
}

static xlm_status gather(const job *j, int64_t first, int64_t step) {
  for (int64_t k = 0; k < j->g.n; k++) {
    xlm_piece p = part(j, k, first, step);
    j->g.t->in[k] = j->out + (size_t)p.offset * j->g.elem;
    j->g.t->in_bytes[k] = (size_t)p.size * j->g.elem;
  }
  return collect_gather(&j->g, j->g.t->in[j->g.me]);
}

static xlm_status twoshot(const job *j) {
  int64_t step = collect_step(&j->g, 1), most = xlm_mesh_split({0, j->count, 0, 0}, 1, j->g.n, 0).size;
  XLM_ASSERT(step > 0, "all_reduce over %lld members", (long long)j->g.n);
  for (int64_t first = 0; first < most; first += step) {
    xlm_piece mine = part(j, j->g.me, first, step);
    XLM_TRY(scatter(j, first, step));
    XLM_TRY(collect_reduce(&j->g, j->kind, j->x + (size_t)mine.offset * j->g.elem, step, mine.size,
                           j->out + (size_t)mine.offset * j->g.elem));
    XLM_TRY(gather(j, first, step));
  }
  return XLM_OK;
}

XLM_CUDA_RUN(all_reduce) {
  const xlm_type *t = c->in_type[0];
  job j = {collect_start(c), xlm_attr_enum(&c->instr->attrs, XLM_A_kind, XLM_REDUCTION_SUM),
           xlm_call_elements(c, t), (const char *)c->in[0], (char *)c->out[0]};
  if (xlm_collect_ragged(c, t)) {
    XLM_TRY(collect_rows_in_use(&j.g, t, &j.count));
    j.count *= xlm_call_inner(c, t, 1);
  }
  XLM_TRY(c->variant == XLM_ALL_REDUCE_ONESHOT ? oneshot(&j) : twoshot(&j));
  return collect_clear_tail(c, t, c->out[0]);
}
