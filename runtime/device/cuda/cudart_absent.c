// Replaces cudart.c if the CUDA toolkit was not found or not requested.
#include "runtime/device/cuda/runtime.h"

const xlm_cuda_runtime *const xlm_cuda_runtime_here = NULL;
