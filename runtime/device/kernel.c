// Index arithmetic shared by kernels; see kernel.h.
#include "runtime/device/kernel.h"

#include <stdlib.h>

int64_t xlm_call_inner(const xlm_call *c, const xlm_type *t, int i) {
  int64_t n = 1;
  for (int j = i + 1; j < t->rank; j++) n *= xlm_call_size(c, t, j);
  return n;
}

int64_t xlm_call_outer(const xlm_call *c, const xlm_type *t, int i) {
  int64_t n = 1;
  for (int j = 0; j < i; j++) {
    bool packed = c->dims[t->dim[j + 1]].ragged;
    if (!packed) n *= xlm_call_size(c, t, j);
  }
  return n;
}

int64_t xlm_call_stride(const xlm_call *c, const xlm_type *t, xlm_dim d) {
  int i = xlm_type_find(t, d);
  return i < 0 ? 0 : xlm_call_inner(c, t, i);
}

bool xlm_backend_workspace(const xlm_kernel *kernel, const xlm_instr *instr, const xlm_tensor *tensors,
                           const xlm_dim_info *dims, int threads, uint64_t *bytes) {
  *bytes = 0;
  if (!kernel) return false;
  if (!kernel->workspace) return true;
  int n = instr->n_in + instr->n_out;
  const xlm_type **types = calloc((size_t)n + 1, sizeof *types);
  void **data = calloc((size_t)n + 1, sizeof *data);
  if (types && data) {
    for (int i = 0; i < n; i++)
      types[i] = &tensors[i < instr->n_in ? instr->in[i] : instr->out[i - instr->n_in]].type;
    xlm_call call = {.instr = instr,
                     .dims = dims,
                     .in_type = types,
                     .out_type = types + instr->n_in,
                     .in = data,
                     .out = data + instr->n_in};
    *bytes = kernel->workspace(&call, threads);
  }
  bool ok = types && data;
  if (!ok) *bytes = XLM_NO_WORKSPACE;
  free(types);
  free(data);
  return ok;
}
