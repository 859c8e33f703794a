// Shared by the mixture-of-experts rules: the dimensions of tokens, choices and experts.
//
// A choice e[tokens .., active] i32 has `active` experts per token; the attribute `experts` is the dimension
// it indexes. A packed tensor [experts, routed, ..] has the chosen tokens' rows sorted by expert, and within
// an expert by (token, choice), in the storage order of e. That order is a function of e alone, so dispatch,
// combine and their gradients each compute it (a counting sort) and pass no map between them.
#ifndef XLM_OPS_MOE_PRIV_H
#define XLM_OPS_MOE_PRIV_H

#include <string.h>

#include "ops/shape_priv.h"

// The experts: the attribute, else the dimension named `experts`.
static inline bool moe_experts(xlm_infer *x, xlm_dim *out) {
  *out = shape_attr_dim(x, XLM_A_experts);
  if (!*out) *out = xlm_graph_dim_find(x->g, "experts", 0);
  if (!*out)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` does not know which dimension the experts are",
                          x->op->name) ||
           xlm_infer_help(x, "name it: `experts = D`");
  xlm_infer_set_dims(x, XLM_A_experts, out, 1);
  return true;
}

// The choices per token in e: the attribute, else the one named `active`, else the last dimension.
static inline bool moe_active(xlm_infer *x, int operand, xlm_dim *out) {
  return shape_is_index(x, operand, "the chosen experts") &&
         xlm_infer_dim_attr(x, XLM_A_active, operand, "active", true, out);
}

static inline double moe_full(const xlm_infer *x, const xlm_type *t) { // logical elements
  double n = 1;
  for (int i = 0; i < t->rank; i++) n *= (double)x->g->dims[t->dim[i]].full;
  return n;
}

// ys must be packed rows [experts, routed, ..] of the choice e.
static inline bool moe_packed(xlm_infer *x, int operand, const xlm_type *e, xlm_dim *experts) {
  const xlm_type *ys = xlm_infer_type(x, operand);
  if (ys->rank < 2 || !x->g->dims[ys->dim[1]].ragged)
    return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, operand,
                          "%s are not rows that `dispatch` made: [experts, routed, ..]",
                          xlm_infer_dims_text(x, ys));
  *experts = shape_attr_dim(x, XLM_A_experts);
  if (!*experts) *experts = ys->dim[0];
  if (*experts != ys->dim[0])
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, operand, "the rows belong to `%s`, not to `%s`",
                          shape_name(x, ys->dim[0]), shape_name(x, *experts));
  if (xlm_type_elements(e, x->g->dims) != shape_size(x, ys->dim[1]))
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, operand,
                          "there are %lld rows but %lld choices: the rows were "
                          "dispatched by another choice of experts",
                          (long long)shape_size(x, ys->dim[1]), (long long)xlm_type_elements(e, x->g->dims));
  xlm_infer_set_dims(x, XLM_A_experts, experts, 1);
  return true;
}

// The dimension of the offsets, one longer than the experts.
static inline xlm_dim moe_offsets_dim(xlm_infer *x, xlm_dim experts) {
  xlm_graph *g = x->g;
  int64_t size = g->dims[experts].size + 1;
  for (int i = 0;; i++) {
    const char *name = i ? xlm_arena_printf(g->arena, "%s.offsets.%d", g->dims[experts].name, i)
                         : xlm_arena_printf(g->arena, "%s.offsets", g->dims[experts].name);
    xlm_dim d = xlm_graph_dim_find(g, name, 0);
    if (!d) return xlm_graph_dim_add(g, (xlm_dim_info){.name = name, .size = size, .full = size});
    if (g->dims[d].size == size) return d;
  }
}

#endif
