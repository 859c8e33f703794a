// Reductions over any dims: the common driver of sum, mean and amax.
#ifndef XLM_OPS_CPU_REDUCE_PRIV_H
#define XLM_OPS_CPU_REDUCE_PRIV_H

#include "ops/cpu/isa.h"
#include "runtime/device/cpu.h"

typedef struct reduce_kind {
  float (*run)(const float *x, int64_t n);              // reduces n <= VEC_RUN elements
  void (*merge)(float *acc, const float *x, int64_t n); // acc[i] = acc[i] with x[i]
  float start;                                          // the result for no elements
} reduce_kind;

size_t XLM_ISA_NAME(reduce_workspace)(const xlm_call *c, const xlm_target *t);
void XLM_ISA_NAME(reduce_run)(const xlm_call *c, const reduce_kind *kind, double scale);

#endif
