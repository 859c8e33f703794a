// How much workspace the collectives take: what kernels and plan.c share. All of it is staging: pieces of the
// other members, and pieces packed to be sent; pieces that need more go in several rounds. Figures come from
// the sizes attribute, so that all members agree on the number of rounds.
#ifndef XLM_CUDA_COLLECT_PLAN_H
#define XLM_CUDA_COLLECT_PLAN_H

#include <string.h>

#include "runtime/device/collect.h"

enum { XLM_COLLECT_STAGING = 32 << 20, XLM_COLLECT_ALIGN = 16 }; // bytes

// Room for `n` members to move pieces of up to `piece` elements, `copies` of each.
static inline size_t xlm_collect_room(int64_t n, int64_t piece, size_t elem, int copies) {
  size_t one = ((size_t)piece * elem + XLM_COLLECT_ALIGN - 1) / XLM_COLLECT_ALIGN * XLM_COLLECT_ALIGN;
  size_t parts = (size_t)n * (size_t)copies, most = XLM_COLLECT_STAGING / (parts ? parts : 1);
  most -= most % XLM_COLLECT_ALIGN;
  if (most < XLM_COLLECT_ALIGN) most = XLM_COLLECT_ALIGN;
  return parts * (one < most ? one : most);
}

// Elements of every piece in a round, where `room` bytes are divided into n * copies parts.
static inline int64_t xlm_collect_step(size_t room, size_t elem, int64_t n, int copies) {
  size_t part = room / (size_t)(n * copies);
  if (part > XLM_COLLECT_ALIGN) part -= part % XLM_COLLECT_ALIGN;
  return (int64_t)(part / elem);
}

// Elements of type t beside dimension d.
static inline int64_t xlm_collect_beside(const xlm_call *c, const xlm_type *t, xlm_dim d) {
  int i = xlm_type_find(t, d);
  return xlm_call_outer(c, t, i) * xlm_call_inner(c, t, i);
}

static inline bool xlm_collect_outermost(const xlm_call *c, const xlm_type *t, xlm_dim d) {
  return xlm_call_outer(c, t, xlm_type_find(t, d)) == 1;
}

// reduce_scatter: is every member's piece of operand 0 contiguous?
static inline bool xlm_collect_dense(const xlm_call *c) {
  return xlm_collect_outermost(c, c->in_type[0], xlm_call_dim(c, XLM_A_from, 0)) &&
         xlm_collect_runs(c, xlm_call_dim(c, XLM_A_to, 0)) == 1;
}

// Elements of the largest piece that two members exchange in all_to_all: all but the two dimensions.
static inline int64_t xlm_collect_exchanged(const xlm_call *c) {
  xlm_type t = *c->out_type[0], rest;
  memset(&rest, 0, sizeof rest);
  for (int i = 0; i < t.rank; i++)
    if (t.dim[i] != xlm_call_dim(c, XLM_A_to, 0) && t.dim[i] != xlm_call_dim(c, XLM_A_to, 1))
      rest.dim[rest.rank++] = t.dim[i];
  return xlm_call_elements(c, &rest) * xlm_collect_largest(c, 0) * xlm_collect_largest(c, 1);
}

// The members' rows of experts: those of this rank by expert, then those of each member for the experts here.
static inline size_t xlm_collect_counts(int64_t n, int64_t home, int64_t here) {
  return (size_t)(home + n * here) * sizeof(int32_t);
}

#endif
