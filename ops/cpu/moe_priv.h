// The packed order of a choice e, computed by every kernel that needs it: a stable counting sort by expert.
//
// xlm_moe_start counts the tokens per expert in each worker's part and turns the counts into cursors: the
// worker's first row of each expert. A worker then visits its tokens in order and gets rows from moe_take.
// The rows are the same for any number of workers: by expert, then token, then choice.
#ifndef XLM_OPS_CPU_MOE_PRIV_H
#define XLM_OPS_CPU_MOE_PRIV_H

#include "ops/cpu/places_priv.h"

typedef struct moe {
  const int32_t *e;
  places token; // offset of a token's choices in e, in the order of e's dims without `active`
  int64_t slot; // stride of `active` in e
  int64_t tokens, active, experts;
  int32_t first;   // global index of the first expert here
  int64_t rows;    // total packed rows; set by start
  int32_t *cursor; // [workers, experts]
  int64_t *picked; // [workers, active]
  xlm_pool *pool;  // NULL when the work is too small to share; use it in the kernel's own run, too
} moe;

size_t XLM_ISA_NAME(xlm_moe_workspace)(const xlm_call *c, const xlm_target *t);
// `width`: elements moved per choice, by which it decides whether to use the pool.
moe XLM_ISA_NAME(xlm_moe_start)(const xlm_call *c, int e_operand, int64_t width);
// The dims of e without `active`, in e's order.
xlm_type XLM_ISA_NAME(xlm_moe_tokens)(const xlm_call *c, int e_operand);

// out 0 [tokens, ..] = for each token the sum of its rows of operand 0 times w (w_operand = -1: ones). f32,
// in the order of the choices. Each token gathers its rows, so no locks are needed.
void XLM_ISA_NAME(xlm_moe_gather)(const xlm_call *c, int w_operand, int e_operand);

static inline int64_t moe_choice(const moe *m, int64_t token, int64_t slot) { // element of e
  return places_at(&m->token, token) + slot * m->slot;
}

// The row of the worker's next choice; -1 if its expert is on another rank. Call once per choice, in order.
static inline int64_t moe_take(const moe *m, int worker, int64_t token, int64_t slot) {
  int64_t i = (int64_t)m->e[moe_choice(m, token, slot)] - m->first;
  return i >= 0 && i < m->experts ? m->cursor[worker * m->experts + i]++ : -1;
}

// Zeroes the rows of a packed tensor that no choice uses.
static inline void moe_clear_tail(const moe *m, const xlm_call *c, const xlm_type *packed, void *data) {
  int64_t bytes = xlm_call_inner(c, packed, 1) * (int64_t)xlm_dtype_bytes(packed->dtype);
  memset((char *)data + m->rows * bytes, 0, (size_t)((xlm_call_size(c, packed, 1) - m->rows) * bytes));
}

#endif
