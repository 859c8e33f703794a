// clip_scale: squared norms, in digits (ops/norm_sq.h), become the norm and the factor, as on the CPU. One
// warp: a lane adds up one digit of all operands, the first lane carries.
#include <cfloat>

#include "ops/cuda/cuda.h"
#include "ops/norm_sq.h"

enum {
  LIMBS = XLM_NORM_LIMBS,
  OPERANDS = 1 << XLM_MAX_AXES
}; // one operand per way in which gradients are split

struct operands {
  int n;
  const double *at[OPERANDS];
};

struct digits {
  double of[LIMBS];
};

static __device__ double total(const digits &sum) {
  double all = 0;
  uint64_t above = 0;
  for (int k = 0; k < LIMBS; k++) {
    if (!(fabs(sum.of[k]) <= DBL_MAX)) return sum.of[k];
    above += (uint64_t)ldexp(sum.of[k], -XLM_NORM_LOWEST - 32 * k);
    uint64_t digit = k == LIMBS - 1 ? above : above & 0xffffffffu;
    all += ldexp((double)digit, XLM_NORM_LOWEST + 32 * k);
    above >>= 32;
  }
  return all;
}

__global__ void __launch_bounds__(XLM_WARP) clip(operands in, double most, float *factor, float *norm) {
  XLM_SHARED(digits, sum);
  if (threadIdx.x < LIMBS) {
    double digit = 0;
    for (int i = 0; i < in.n; i++) digit += in.at[i][threadIdx.x];
    sum.of[threadIdx.x] = digit;
  }
  __syncthreads();
  if (threadIdx.x) return;
  double root = sqrt(total(sum)), scale = most / (root + 1e-6);
  *factor = root <= DBL_MAX ? (float)(scale < 1 ? scale : 1) : NAN; // then nothing is updated
  *norm = (float)root;
}

XLM_CUDA_RUN(clip_scale) {
  operands in = {};
  XLM_ASSERT(c->instr->n_in <= OPERANDS, "clip_scale of %d norms", c->instr->n_in);
  for (in.n = 0; in.n < c->instr->n_in; in.n++) in.at[in.n] = (const double *)c->in[in.n];
  double most = xlm_attr_float(&c->instr->attrs, XLM_A_value, (double)INFINITY);
  return xlm_cuda_launched(c, XLM_LAUNCH(clip, 1, XLM_WARP, 0, xlm_cuda_stream(c), in, most,
                                         (float *)c->out[0], (float *)c->out[1]));
}
