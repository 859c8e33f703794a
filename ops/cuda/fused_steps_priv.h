// What functions of rows need of their rows: sums over the row, in steps. A sum of one step is of values that
// depend on no sums but those of the steps before; an element of the function is then arithmetic of its
// operands' elements and of numbers of the row (norm.def), computed anew wherever it is read.
//
// In the source, sum0, sum1, .. are sums over the row, mean<r> the mean of register r, scale<k> and slope<k>
// numbers of instruction k.
#ifndef XLM_CUDA_FUSED_STEPS_PRIV_H
#define XLM_CUDA_FUSED_STEPS_PRIV_H

#include "ops/cuda/fused_shape.h"
#include "runtime/base/text.h"

XLM_C_BEGIN

enum { XLM_FUSED_REGISTERS = XLM_CODE_MAX_IN + XLM_CODE_MAX };

typedef struct xlm_fused_sum {
  const char *of; // in C, of the registers in `reads`
  int step, n_reads;
  uint16_t reads[2];
} xlm_fused_sum;

typedef struct xlm_fused_steps {
  const xlm_code *code;
  int64_t len;
  int n, n_sums;
  xlm_fused_sum sums[4 * XLM_CODE_MAX];
  int sum_of[XLM_CODE_MAX][2];      // the sums of an instruction
  int mean_of[XLM_FUSED_REGISTERS]; // the sum whose mean is read; -1: none
  int step_of[XLM_FUSED_REGISTERS]; // how many steps are before a register's value
} xlm_fused_steps;

const xlm_fused_steps *xlm_fused_steps_of(xlm_arena *a, const xlm_fused_shape *s);
int xlm_fused_step_sums(const xlm_fused_steps *p, int step); // how many there are

extern const char xlm_fused_row_functions[]; // that the following call
// The numbers that are complete with the sums of this step.
void xlm_fused_add_row_numbers(xlm_text *t, const xlm_fused_steps *p, int step);
// An element of instruction k, a function of rows.
void xlm_fused_add_row_value(xlm_text *t, const xlm_fused_steps *p, int k);

XLM_C_END

#endif
