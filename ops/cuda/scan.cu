// scan: see scan_priv.h.
#include "ops/cuda/scan_priv.h"

XLM_CUDA_RUN(scan) {
  scan_shape s = scan_shape_of(c);
  s.a = scan_strides_of(c, c->in_type[0]), s.b = scan_strides_of(c, c->in_type[1]);
  if (!s.steps || !s.width || !s.lines) return XLM_OK;
  return xlm_cuda_float(c->in_type[0]->dtype, [&](auto a) {
    using A = decltype(a);
    return xlm_cuda_float(c->in_type[1]->dtype, [&](auto b) {
      using B = decltype(b);
      return xlm_cuda_float(c->out_type[0]->dtype, [&](auto h) {
        using H = decltype(h);
        return xlm_cuda_launched(c, XLM_LAUNCH((scan_columns<false, A, B, H>),
                                               xlm_cuda_blocks(s.lines * s.blocks, 1), SCAN_BLOCK, 0,
                                               xlm_cuda_stream(c), (const A *)c->in[0], (const B *)c->in[1],
                                               (H *)c->out[0], s));
      });
    });
  });
}
