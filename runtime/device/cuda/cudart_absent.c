// In place of cudart.c where the CUDA toolkit was not found or not asked for.
#include "runtime/device/cuda/runtime.h"

const xlm_cuda_runtime *const xlm_cuda_runtime_here = NULL;
