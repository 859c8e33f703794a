// Moves elements between two layouts; used by permute, slice, pad, concat, shift, local_slice and broadcast.
#ifndef XLM_CUDA_COPY_PRIV_H
#define XLM_CUDA_COPY_PRIV_H

#include "ops/cuda/cuda.h"

enum { COPY_RANK = XLM_MAX_RANK, COPY_NO_WINDOW = -1 };

// to[to_at + i . to_stride] = from[from_at + i . from_stride] for all index tuples i below `size`, outermost first; of
// the dim `window` only for indices in [begin, end), elsewhere zero. Strides and offsets in elements; a stride of 0 in
// `from` repeats.
typedef struct copy_shape {
  int n, window;
  int64_t size[COPY_RANK], from_stride[COPY_RANK], to_stride[COPY_RANK], from_at, to_at;
  int64_t begin, end;
  const int32_t *used; // NULL, or on the device: the window ends at the latest at *used times used_each
  int64_t used_each;
} copy_shape;

// The dims of `out` in order against those of `in`; out's dim `to` is in's dim `from` (0, 0: all the same). Dims that `in`
// lacks are repeated. Sizes are the smaller of both: the part that both have.
copy_shape xlm_cuda_copy_between(const xlm_call *c, const xlm_type *in, const xlm_type *out, xlm_dim from, xlm_dim to);
// Position of `out`'s dim d in the shape.
int xlm_cuda_copy_position(const xlm_call *c, const xlm_type *out, xlm_dim d);
// Operand and result must not overlap. elem: 2 or 4 bytes.
xlm_status xlm_cuda_copy_strided(const xlm_call *c, const copy_shape &shape, const void *from, void *to, size_t elem);

#endif
