// While CUDA kernels are missing: see bridge.c.
#ifndef XLM_TESTS_BRIDGE_H
#define XLM_TESTS_BRIDGE_H

#include "runtime/device/kernel.h"

XLM_C_BEGIN

const xlm_kernel *xlm_cuda_bridge(xlm_op_id op); // NULL: the CPU has none either
bool bridge_needs(xlm_op_id op);                 // the op has kernels, and none of CUDA's yet

XLM_C_END

#endif
