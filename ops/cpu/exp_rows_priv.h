// Shared by softmax and logsumexp: e^(x - maximum) for several rows at a time.
//
// Short rows (experts) are processed several at a time, so that exponentials run on whole vectors; e^x of an
// element does not depend on its neighbours, so grouping does not change bits.
#ifndef XLM_OPS_CPU_EXP_ROWS_PRIV_H
#define XLM_OPS_CPU_EXP_ROWS_PRIV_H

#include "ops/cpu/over_priv.h"

enum { EXP_GROUP = 512 };

static inline int64_t exp_rows_group(const over_rows *r) {
  return r->len && r->len < EXP_GROUP ? EXP_GROUP / r->len : 1;
}
static inline int64_t exp_rows_buffer(const over_rows *r) {
  return vec_pad(exp_rows_group(r) * r->len);
} // floats
static inline size_t exp_rows_workspace(const xlm_call *c, const xlm_target *t) {
  over_rows r = over_of(c, c->in_type[0]);
  return (size_t)exp_rows_buffer(&r) * (size_t)t->threads * sizeof(float);
}

// Rows [row, row + n) of operand 0 into e, as e^(x - largest); largest[i] is the maximum of each row.
static inline void exp_rows(const xlm_call *c, const over_rows *r, int64_t row, int64_t n, float *e,
                            float *largest) {
  for (int64_t i = 0; i < n; i++) {
    float *x = e + i * r->len;
    over_read(r, c->in_type[0]->dtype, c->in[0], row + i, x);
    float m = vec_max(x, r->len);
    largest[i] = m = m > -INFINITY && m < INFINITY ? m : 0;
    for (int64_t j = 0; j < r->len; j++) x[j] -= m;
  }
  int64_t count = n * r->len;
  for (int64_t j = count; j < vec_pad(count); j++) e[j] = 0;
  for (int64_t j = 0; j < vec_lanes(vec_pad(count)); j++) e[j] = vec_exp(e[j]);
}

#endif
