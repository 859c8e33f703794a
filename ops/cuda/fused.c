// fused: a kernel made for each program and shape, compiled at load (generated.h).
#include "ops/cuda/backend_priv.h"
#include "ops/cuda/fused_source.h"
#include "ops/cuda/generated.h"

#ifdef XLM_CUDA_KERNELS

typedef struct prepared {
  xlm_generated *kernel;
  unsigned blocks;
  int n_in, n_out;
} prepared;

static unsigned blocks_of(const xlm_fused_geometry *g) {
  int64_t each = (int64_t)XLM_GENERATED_THREADS * g->vector, n = (g->total + each - 1) / each;
  int64_t most = xlm_generated_most_blocks();
  return (unsigned)(n < most ? n : most);
}

xlm_status xlm_cuda_prepare_fused(const xlm_call *c, xlm_arena *a, void **out, xlm_error *err) {
  xlm_fused_geometry g = xlm_fused_geometry_of(c);
  prepared *p = XLM_NEW(a, prepared);
  *p = (prepared){.blocks = blocks_of(&g), .n_in = g.n_in, .n_out = g.n_out};
  if (p->blocks) XLM_TRY(xlm_generated_load(xlm_fused_source(a, c, &g), &p->kernel, err));
  *out = p;
  return XLM_OK;
}

xlm_status xlm_cuda_fused(const xlm_call *c) {
  const prepared *p = (const prepared *)c->prepared;
  void *at[XLM_FUSED_OPERANDS];
  if (!p->blocks) return XLM_OK;
  for (int k = 0; k < p->n_in; k++) at[k] = c->in[k];
  for (int k = 0; k < p->n_out; k++) at[p->n_in + k] = c->out[k];
  return xlm_generated_launch(p->kernel, c, p->blocks, at, sizeof *at * (size_t)(p->n_in + p->n_out));
}

#endif
