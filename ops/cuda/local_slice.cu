// local_slice: this rank's piece of a dimension, which may consist of two runs: a strided copy (copy.cu) of each. Of
// packed rows of experts those in use, followed by zeros.
#include "ops/cuda/copy_priv.h"
#include "runtime/plan/mesh.h"

static void limit_rows(const xlm_call *c, copy_shape *s) {
  const xlm_type *y = c->out_type[0];
  if (c->instr->n_in < 2 || y->rank < 2 || !c->dims[y->dim[1]].ragged) return;
  s->window = xlm_cuda_copy_position(c, y, y->dim[1]);
  s->end = s->size[s->window];
  s->used = (const int32_t *)c->in[1] + xlm_call_elements(c, c->in_type[1]) - 1;
}

static xlm_status copy_piece(const xlm_call *c, int64_t first, int64_t n, int64_t to_first) {
  const xlm_type *x = c->in_type[0], *y = c->out_type[0];
  xlm_dim from = xlm_call_dim(c, XLM_A_from, 0), to = xlm_call_dim(c, XLM_A_to, 0);
  copy_shape s = xlm_cuda_copy_between(c, x, y, from, to);
  s.size[xlm_cuda_copy_position(c, y, to)] = n;
  s.from_at = first * xlm_call_stride(c, x, from), s.to_at = to_first * xlm_call_stride(c, y, to);
  limit_rows(c, &s);
  return xlm_cuda_copy_strided(c, s, c->in[0], c->out[0], xlm_dtype_bytes(y->dtype));
}

XLM_CUDA_RUN(local_slice) {
  const xlm_dim_info *from = &c->dims[xlm_call_dim(c, XLM_A_from, 0)], *to = &c->dims[xlm_call_dim(c, XLM_A_to, 0)];
  xlm_piece here;
  bool within = xlm_piece_within(xlm_dim_piece(from), xlm_dim_piece(to), &here);
  XLM_ASSERT(within, "local_slice: what this rank has of `%s` is not in the whole", to->name);
  xlm_status done = copy_piece(c, here.offset, here.size - here.tail, 0);
  if (done != XLM_OK || !here.tail) return done;
  return copy_piece(c, here.tail_offset, here.tail, here.size - here.tail);
}
