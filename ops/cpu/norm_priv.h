// Vector loops of the norms, over one row. Written with explicit vectors: the end of a row uses the same
// arithmetic as the rest, and results may overwrite operands. norm_run is the kernel of a function of rows.
#ifndef XLM_OPS_CPU_NORM_PRIV_H
#define XLM_OPS_CPU_NORM_PRIV_H

#include "ops/cpu/over_priv.h"
#include "ops/cpu/rows_priv.h"
#include "runtime/device/cpu.h"

// y = p x + q
static inline void norm_scale(float *y, const float *x, float p, float q, int64_t n) {
  int64_t i = 0;
  for (; i + VEC_LANES <= n; i += VEC_LANES) vec_store(y + i, vec_load(x + i) * p + q);
  if (i < n) vec_store_part(y + i, vec_load_part(x + i, n - i) * p + q, n - i);
}

// dx = a dy + b x + d
static inline void norm_combine(float *dx, const float *dy, const float *x, float a, float b, float d,
                                int64_t n) {
  int64_t i = 0;
  for (; i + VEC_LANES <= n; i += VEC_LANES)
    vec_store(dx + i, vec_load(dy + i) * a + (vec_load(x + i) * b + d));
  if (i == n) return;
  vec_f v = vec_load_part(dy + i, n - i) * a + (vec_load_part(x + i, n - i) * b + d);
  vec_store_part(dx + i, v, n - i);
}

// sum of (x - m) y
static inline float norm_dot(const float *x, float m, const float *y, int64_t n) {
  vec_tree t = {0};
  for (int64_t i = 0; i < n; i += VEC_RUN)
    vec_tree_add(&t, vec_dot_around(x + i, m, y + i, n - i < VEC_RUN ? n - i : VEC_RUN));
  return vec_tree_total(&t);
}

static inline void norm_add_squares(vec_sums *s, const float *x, float m) {
  for (int p = 0; p < 2 * VEC_PARTS; p++) {
    vec_f u = vec_load(x + p * VEC_LANES) - m;
    s->part[p] += u * u;
  }
}

// sum of (x - m)^2 over n <= VEC_RUN elements
static inline float norm_square_run(const float *x, float m, int64_t n) {
  vec_sums s = {0};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) norm_add_squares(&s, x + i, m);
  float rest = 0;
  for (; i < n; i++) rest += (x[i] - m) * (x[i] - m);
  return vec_fold(&s) + rest;
}

static inline float norm_square(const float *x, float m, int64_t n) {
  vec_tree t = {0};
  for (int64_t i = 0; i < n; i += VEC_RUN)
    vec_tree_add(&t, norm_square_run(x + i, m, n - i < VEC_RUN ? n - i : VEC_RUN));
  return vec_tree_total(&t);
}

static inline int64_t norm_buffer(const over_rows *r) { // floats of an operand, per worker
  return r->contiguous ? r->len : over_tile(r) * over_pitch(r);
}

static inline size_t norm_workspace(const xlm_call *c, const xlm_target *t) { // x and dy
  over_rows r = over_of(c, c->in_type[0]);
  return (size_t)norm_buffer(&r) * 2 * sizeof(float) * (size_t)t->threads;
}

typedef struct norm_job {
  const xlm_call *c;
  row_fn *fn;
  over_rows r;
  float eps;
} norm_job;

static inline void norm_row(const norm_job *j, int64_t row, float *a, float *b) {
  const float *x = over_get(j->c, &j->r, 0, row, a), *dy = x;
  if (j->c->instr->n_in > 1) dy = over_get(j->c, &j->r, 1, row, b);
  float *y = over_place(j->c, &j->r, row, a);
  j->fn(y, x, dy, j->r.len, j->eps);
  over_put(j->c, &j->r, row, y, a);
}

static inline void norm_tile(const norm_job *j, int64_t row, int64_t n, float *a, float *b) {
  const xlm_call *c = j->c;
  bool two = c->instr->n_in > 1;
  over_read_tile(&j->r, c->in_type[0]->dtype, c->in[0], row, n, a);
  if (two) over_read_tile(&j->r, c->in_type[1]->dtype, c->in[1], row, n, b);
  for (int64_t k = 0; k < n; k++) {
    float *x = a + k * over_pitch(&j->r);
    j->fn(x, x, two ? b + k * over_pitch(&j->r) : x, j->r.len, j->eps);
  }
  over_write_tile(&j->r, c->out_type[0]->dtype, c->out[0], row, n, a);
}

static inline void norm_rows(void *arg, int worker, int workers) {
  const norm_job *j = arg;
  int64_t size = norm_buffer(&j->r), begin, end, n;
  float *a = (float *)j->c->workspace + worker * 2 * size, *b = a + size;
  xlm_pool_range(j->r.count, worker, workers, &begin, &end);
  for (int64_t row = begin; row < end; row += n) {
    n = over_beside(&j->r, row, end);
    if (n > 1)
      norm_tile(j, row, n, a, b);
    else
      norm_row(j, row, a, b);
  }
}

static inline xlm_status norm_run(const xlm_call *c, row_fn *fn) {
  float eps = (float)xlm_attr_float(&c->instr->attrs, XLM_A_eps, 1e-5);
  norm_job job = {c, fn, over_of(c, c->in_type[0]), eps};
  xlm_pool_run(xlm_cpu_pool(c), norm_rows, &job);
  return XLM_OK;
}

#endif
