// fused: a kernel made for each program and shape, compiled at load (generated.h); where sums over rows have
// several parts, a second one adds them up.
#include "ops/cuda/backend_priv.h"
#include "ops/cuda/fused_source.h"
#include "ops/cuda/fused_sums_priv.h"
#include "ops/cuda/generated.h"

#ifdef XLM_CUDA_KERNELS

typedef struct prepared {
  xlm_fused_shape shape;
  xlm_generated *kernel;
} prepared;

xlm_status xlm_cuda_prepare_fused(const xlm_call *c, xlm_arena *a, void **out, xlm_error *err) {
  prepared *p = XLM_NEW(a, prepared);
  p->shape = xlm_fused_shape_of(c);
  if (xlm_fused_blocks(&p->shape))
    XLM_TRY(xlm_generated_load(xlm_fused_source(a, &p->shape), &p->kernel, err));
  *out = p;
  return XLM_OK;
}

static xlm_status add_parts(const xlm_call *c, const xlm_fused_shape *s) {
  xlm_fused_sums sums = {
      .parts = s->parts, .len = s->len, .n = s->n_summed, .from = (const float *)c->workspace};
  for (int i = 0; i < s->n_summed; i++) sums.to[i] = (float *)c->out[s->n_whole + i];
  return xlm_cuda_fused_sums(c, &sums);
}

void xlm_cuda_request_fused(const xlm_call *c, xlm_arena *a) {
  xlm_fused_shape s = xlm_fused_shape_of(c);
  if (xlm_fused_blocks(&s)) xlm_generated_request(xlm_fused_source(a, &s));
}

xlm_status xlm_cuda_fused(const xlm_call *c) {
  const prepared *p = (const prepared *)c->prepared;
  const xlm_fused_shape *s = &p->shape;
  int64_t blocks = xlm_fused_blocks(s), most = xlm_generated_most_blocks();
  void *at[XLM_FUSED_OPERANDS];
  int n = 0;
  if (!blocks) return XLM_OK;
  for (int k = 0; k < s->n_in; k++) at[n++] = c->in[k];
  for (int k = 0; k < s->n_whole; k++) at[n++] = c->out[k];
  for (int k = 0; k < s->n_summed; k++)
    at[n++] = s->parts > 1 ? (float *)c->workspace + k * s->parts * s->len : (float *)c->out[s->n_whole + k];
  XLM_TRY(xlm_generated_launch(p->kernel, c, (unsigned)(blocks < most ? blocks : most),
                               (unsigned)xlm_fused_threads(s), at, sizeof *at * (size_t)n));
  return xlm_fused_partial(s) ? add_parts(c, s) : XLM_OK;
}

#endif
