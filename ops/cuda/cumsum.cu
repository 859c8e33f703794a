// cumsum: see scan_priv.h, with factors of 1.
#include "ops/cuda/scan_priv.h"

XLM_CUDA_RUN(cumsum) {
  scan_shape s = scan_shape_of(c);
  s.b = scan_strides_of(c, c->in_type[0]);
  if (!s.steps || !s.width || !s.lines) return XLM_OK;
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto t) {
    using T = decltype(t);
    return xlm_cuda_launched(c, XLM_LAUNCH((scan_columns<true, float, T, float>),
                                           xlm_cuda_blocks(s.lines * s.blocks, 1), SCAN_BLOCK, 0,
                                           xlm_cuda_stream(c), (const float *)nullptr, (const T *)c->in[0],
                                           (float *)c->out[0], s));
  });
}
