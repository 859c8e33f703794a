// scan_from and cumsum_from, in decoding: a thread per column goes along the few places of a chunk.
#include "ops/cuda/scan_priv.h"
#include "runtime/plan/chunks.h"

struct from_strides {
  scan_shape s;
  scan_strides past, start; // the step of `past` is along the ring
  int64_t ring;
};

static __device__ __forceinline__ float as_float(const void *data, bool bf, int64_t at) {
  return bf ? to_float(((const bf16 *)data)[at]) : ((const float *)data)[at];
}

// The value of the place before `start` in a ring; 0 where a sequence begins.
static __device__ __forceinline__ float before(const float *past, const from_strides &x, int64_t start, int64_t line,
                                               int64_t column) {
  return start ? past[scan_at(&x.past, line, column) + (start - 1) % x.ring * x.past.step] : 0;
}

__global__ void __launch_bounds__(XLM_BLOCK)
    scan_some(const float *past, const void *a, bool a_bf16, const void *b, bool b_bf16, const int32_t *starts, float *h,
              const __grid_constant__ from_strides x) {
  const scan_shape &s = x.s;
  for (int64_t u = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; u < s.lines * s.width;
       u += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t line = u / s.width, column = u % s.width;
    int64_t a_at = scan_at(&s.a, line, column), b_at = scan_at(&s.b, line, column), h_at = scan_at(&s.h, line, column);
    float state = before(past, x, starts[scan_at(&x.start, line, column)], line, column);
    for (int64_t i = 0; i < s.steps; i++) {
      state = as_float(a, a_bf16, a_at + i * s.a.step) * state + as_float(b, b_bf16, b_at + i * s.b.step);
      h[h_at + i * s.h.step] = state;
    }
  }
}

__global__ void __launch_bounds__(XLM_BLOCK)
    cumsum_some(const float *past_sum, const float *past_run, const void *v, bool v_bf16, const int32_t *starts,
                float *sums, float *runs, const __grid_constant__ from_strides x) {
  const scan_shape &s = x.s;
  for (int64_t u = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; u < s.lines * s.width;
       u += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t line = u / s.width, column = u % s.width, start = starts[scan_at(&x.start, line, column)];
    int64_t from = scan_at(&s.b, line, column), to = scan_at(&s.h, line, column);
    float sum = before(past_sum, x, start, line, column), run = before(past_run, x, start, line, column);
    for (int64_t i = 0; i < s.steps; i++) {
      if ((start + i) % XLM_CUMSUM_RUN == 0) sum += run, run = 0;
      run += as_float(v, v_bf16, from + i * s.b.step);
      sums[to + i * s.h.step] = sum, runs[to + i * s.h.step] = run;
    }
  }
}

static from_strides strides_of(const xlm_call *c) {
  from_strides x;
  memset(&x, 0, sizeof x);
  xlm_dim past = xlm_call_dim(c, XLM_A_past, 0);
  x.s = scan_shape_of(c), x.ring = c->dims[past].size;
  x.past = scan_strides_of(c, c->in_type[0]), x.past.step = xlm_call_stride(c, c->in_type[0], past);
  x.start = scan_strides_of(c, c->in_type[3]), x.s.b = scan_strides_of(c, c->in_type[2]);
  return x;
}

XLM_CUDA_RUN(scan_from) {
  from_strides x = strides_of(c);
  x.s.a = scan_strides_of(c, c->in_type[1]);
  int64_t n = x.s.lines * x.s.width;
  if (!n || !x.s.steps) return XLM_OK;
  return xlm_cuda_launched(
      c, XLM_LAUNCH(scan_some, xlm_cuda_blocks(n, XLM_BLOCK), XLM_BLOCK, 0, xlm_cuda_stream(c), (const float *)c->in[0],
                    (const void *)c->in[1], c->in_type[1]->dtype == XLM_BF16, (const void *)c->in[2],
                    c->in_type[2]->dtype == XLM_BF16, (const int32_t *)c->in[3], (float *)c->out[0], x));
}

XLM_CUDA_RUN(cumsum_from) {
  from_strides x = strides_of(c);
  int64_t n = x.s.lines * x.s.width;
  if (!n || !x.s.steps) return XLM_OK;
  return xlm_cuda_launched(
      c, XLM_LAUNCH(cumsum_some, xlm_cuda_blocks(n, XLM_BLOCK), XLM_BLOCK, 0, xlm_cuda_stream(c),
                    (const float *)c->in[0], (const float *)c->in[1], (const void *)c->in[2],
                    c->in_type[2]->dtype == XLM_BF16, (const int32_t *)c->in[3], (float *)c->out[0],
                    (float *)c->out[1], x));
}
