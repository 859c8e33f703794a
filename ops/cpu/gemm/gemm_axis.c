// Offsets of the indices of a group in one operand.
#include <assert.h>

#include "ops/cpu/gemm/gemm_priv.h"

static const int64_t *strides(const xlm_matmul_index *x, xlm_gemm_side side) {
  return side == XLM_SIDE_A ? x->a : side == XLM_SIDE_B ? x->b : x->c;
}

void xlm_gemm_axis_fill(xlm_gemm_axis *axis, const xlm_matmul_index *x, xlm_gemm_side side, int64_t begin,
                        int64_t count) {
  axis->n = (int)count;
  assert(count <= AXIS);
  if (!count) return;
  const int64_t *stride = strides(x, side);
  if (x->n == 1) {
    bool adjacent = *stride == 1;
    for (int i = 0; i < count; i++) axis->off[i] = (begin + i) * *stride;
    for (int i = 0; i < count; i++) axis->run[i] = adjacent ? (int32_t)count - i : 1;
    return;
  }
  int64_t at[XLM_MATMUL_DIMS] = {0}, off = 0, rest = begin;
  int last = x->n - 1;
  for (int d = last; d >= 0; d--) {
    at[d] = d ? rest % x->size[d] : rest;
    rest = d ? rest / x->size[d] : 0;
    off += at[d] * stride[d];
  }
  for (int i = 0; i < count; i++) {
    axis->off[i] = off;
    if (last < 0) continue;
    off += stride[last];
    at[last]++;
    for (int d = last; d > 0 && at[d] == x->size[d]; d--) {
      off += stride[d - 1] - at[d] * stride[d];
      at[d] = 0;
      at[d - 1]++;
    }
  }
  for (int i = (int)count - 1; i >= 0; i--)
    axis->run[i] = i + 1 < count && axis->off[i + 1] == axis->off[i] + 1 ? axis->run[i + 1] + 1 : 1;
}
