// dispatch: the rows of the tokens in the packed order, a warp per packed row, moved in the largest units
// that addresses and rows allow. Its gradient is a gathering with weights of one (routing_run_priv.h).
#include "ops/cuda/routing_run_priv.h"

enum { BLOCK = 256, WARPS = BLOCK / XLM_WARP };

struct packing {
  int64_t rows, active, width; // width: of a row, in units
  int64_t per_unit;            // elements
  over_dims token, rest;       // in elements: where a token's row begins, where an element of it lies
  bool dense;
};

template <class U>
__global__ void __launch_bounds__(BLOCK)
    pack_rows(const int32_t *choice, const int32_t *used, const U *x, U *xs, packing p) {
  for (int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / XLM_WARP; row < p.rows;
       row += (int64_t)gridDim.x * WARPS) {
    bool some = row < *used;
    const U *from = x + (some ? over_offset(&p.token, choice[row] / p.active) / p.per_unit : 0);
    U *to = xs + row * p.width;
    for (int64_t i = threadIdx.x % XLM_WARP; i < p.width; i += XLM_WARP)
      to[i] = some ? from[p.dense ? i : over_offset(&p.rest, i)] : U{}; // rows that no choice owns are zeros
  }
}

static uintptr_t units_of(const packing &p, uintptr_t elem) { // what the places of rows are multiples of
  uintptr_t bits = p.dense ? 0 : elem;
  for (int i = 0; i < p.token.n; i++) bits |= (uintptr_t)p.token.stride[i] * elem;
  return bits;
}

XLM_CUDA_RUN(dispatch) {
  const xlm_type *x = c->in_type[0], *xs = c->out_type[0];
  int64_t elem = (int64_t)xlm_dtype_bytes(xs->dtype), row = xlm_call_inner(c, xs, 1) * elem;
  xlm_cuda_routing r;
  XLM_TRY(xlm_cuda_route(c, 1, (int32_t *)c->out[1], &r));
  packing p = {};
  p.rows = xlm_call_size(c, xs, 1), p.active = r.active;
  p.token = xlm_cuda_places(c, x, r.token_dims.dim, r.token_dims.rank);
  p.rest = xlm_cuda_places(c, x, xs->dim + 2, xs->rank - 2);
  p.dense = p.rest.n == 0 || (p.rest.n == 1 && p.rest.stride[0] == 1);
  if (!p.rows || !row) return XLM_OK;
  uintptr_t bits = (uintptr_t)c->in[0] | (uintptr_t)c->out[0] | (uintptr_t)row | units_of(p, (uintptr_t)elem);
  return xlm_cuda_units(bits, [&](auto unit) {
    using U = decltype(unit);
    p.width = row / (int64_t)sizeof(U), p.per_unit = (int64_t)sizeof(U) / elem;
    return xlm_cuda_launched(c, XLM_LAUNCH(pack_rows<U>, xlm_cuda_blocks(p.rows, WARPS), BLOCK, 0,
                                           xlm_cuda_stream(c), r.choice, r.used, (const U *)c->in[0],
                                           (U *)c->out[0], p));
  });
}

XLM_CUDA_RUN(dispatch_bwd) {
  return xlm_cuda_gather_choices(c, -1, 1);
} // dxs, e -> dx
