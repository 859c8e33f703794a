// See moe_priv.h.
#include "ops/ref/moe_priv.h"

#include <string.h>

ref_walk ref_moe_choices(const xlm_call *c, int e_operand) {
  const xlm_type *e = c->in_type[e_operand];
  xlm_dim active = xlm_call_dim(c, XLM_A_active, 0), dims[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < e->rank; i++)
    if (e->dim[i] != active) dims[n++] = e->dim[i];
  dims[n++] = active;
  return ref_walk_over(c, dims, n);
}

static int64_t expert_of(const xlm_call *c, int e_operand, const ref_walk *choice) { // -1: on another rank
  const xlm_dim_info *experts = &c->dims[xlm_call_dim(c, XLM_A_experts, 0)];
  int64_t i = ((const int32_t *)c->in[e_operand])[ref_at(c, c->in_type[e_operand], choice)] - experts->offset;
  return i >= 0 && i < experts->size ? i : -1;
}

int64_t ref_moe_row(const xlm_call *c, int e_operand, const ref_walk *choice) {
  int64_t mine = expert_of(c, e_operand, choice), row = 0;
  bool before = true;
  ref_walk w = ref_moe_choices(c, e_operand);
  while (mine >= 0 && ref_walk_next(&w)) {
    if (!memcmp(w.index, choice->index, (size_t)w.n * sizeof *w.index)) before = false;
    int64_t other = expert_of(c, e_operand, &w);
    row += other >= 0 && (other < mine || (other == mine && before));
  }
  return mine >= 0 ? row : -1;
}

ref_walk ref_moe_rest(const xlm_call *c, const xlm_type *packed) {
  return ref_walk_over(c, packed->dim + 2, packed->rank - 2);
}

int64_t ref_moe_at(const xlm_call *c, const xlm_type *t, const ref_walk *choice, const ref_walk *rest) {
  ref_walk w = ref_walk_type(c, t);
  for (int i = 0; i < choice->n; i++) ref_walk_set(&w, choice->dim[i], choice->index[i]);
  for (int i = 0; rest && i < rest->n; i++) ref_walk_set(&w, rest->dim[i], rest->index[i]);
  return ref_at(c, t, &w);
}
