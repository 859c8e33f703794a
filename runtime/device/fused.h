// Geometry that the kernels of `fused` share (runtime/plan/code.h): the program's space as `rows` rows of `len`
// elements. Without rows, all of the space is one row.
#ifndef XLM_DEVICE_FUSED_H
#define XLM_DEVICE_FUSED_H

#include "runtime/device/kernel.h"
#include "runtime/plan/code.h"

XLM_C_BEGIN

typedef struct xlm_fused_rows {
  const xlm_code *code;
  xlm_type space;    // of the operands' broadcast and of results that are not summed
  int64_t rows, len; // a ragged pair of dims counts as the rows that there are room for
} xlm_fused_rows;

static inline xlm_fused_rows xlm_fused_rows_of(const xlm_call *c) {
  xlm_fused_rows f = {.code = xlm_attr_find(&c->instr->attrs, XLM_A_code)->code,
                      .space = xlm_code_space(&c->instr->attrs),
                      .rows = 1,
                      .len = 1};
  if (!f.code->row) f.len = xlm_call_elements(c, &f.space);
  if (!f.code->row) return f;
  for (int i = 0; i < f.space.rank; i++)
    *(i < f.space.rank - f.code->row ? &f.rows : &f.len) *= xlm_call_size(c, &f.space, i);
  return f;
}

// Results from this one on are summed.
static inline int xlm_fused_whole(const xlm_code *code) {
  return code->n_out - code->n_summed;
}

XLM_C_END

#endif
