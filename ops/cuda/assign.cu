// assign: a copy.
#include "ops/cuda/cuda.h"

XLM_CUDA_RUN(assign) {
  return xlm_cuda_copy(c, c->out[0], c->in[1], xlm_type_bytes(c->in_type[1], c->dims));
}
