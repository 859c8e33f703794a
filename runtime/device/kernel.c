// Index arithmetic shared by kernels; see kernel.h.
#include "runtime/device/kernel.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/plan/mesh.h"

int64_t xlm_call_members(const xlm_call *c) {
  return c->mesh ? xlm_mesh_group(c->mesh, (uint32_t)xlm_attr_int(&c->instr->attrs, XLM_A_axes, 0)) : 1;
}

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

xlm_dim xlm_call_dim(const xlm_call *c, xlm_attr_key key, int i) {
  xlm_dim d[XLM_MAX_RANK] = {0};
  xlm_attr_dims(&c->instr->attrs, key, d);
  return d[i];
}

int64_t xlm_call_stride(const xlm_call *c, const xlm_type *t, xlm_dim d) {
  int i = xlm_type_find(t, d);
  return i < 0 ? 0 : xlm_call_inner(c, t, i);
}

int xlm_kernel_variant(const xlm_kernel *kernel, const char *name) {
  bool named = name && *name;
  if (!kernel->variants) return named ? -1 : 0;
  for (int i = 0; named && kernel->variants[i]; i++)
    if (!strcmp(kernel->variants[i], name)) return i;
  return -1;
}

static void choose(const xlm_kernel *kernel, xlm_call *c, const xlm_target *t, xlm_kernel_choice *out) {
  while (kernel->variants && kernel->variants[c->variant + 1] && !kernel->applicable(c, t, c->variant))
    c->variant++;
  if (kernel->variants) out->variant = kernel->variants[c->variant];
  if (kernel->workspace) out->workspace = kernel->workspace(c, t);
}

xlm_planned xlm_kernel_plan(const xlm_kernel *kernel, const xlm_instr *instr, const xlm_tensor *tensors,
                            const xlm_dim_info *dims, const xlm_mesh *mesh, const xlm_target *t,
                            xlm_kernel_choice *out) {
  *out = (xlm_kernel_choice){.variant = ""};
  if (!kernel) return XLM_NO_KERNEL;
  if (!kernel->workspace && !kernel->variants) return XLM_PLANNED;
  int n = instr->n_in + instr->n_out;
  const xlm_type **types = (const xlm_type **)calloc((size_t)n + 1, sizeof *types);
  void **data = (void **)calloc((size_t)n + 1, sizeof *data);
  if (types && data) {
    for (int i = 0; i < n; i++)
      types[i] = &tensors[i < instr->n_in ? instr->in[i] : instr->out[i - instr->n_in]].type;
    xlm_call call = {.instr = instr,
                     .dims = dims,
                     .mesh = mesh,
                     .in_type = types,
                     .out_type = types + instr->n_in,
                     .in = data,
                     .out = data + instr->n_in};
    choose(kernel, &call, t, out);
  }
  bool ok = types && data;
  free(types);
  free(data);
  return ok ? XLM_PLANNED : XLM_NO_MEMORY;
}
