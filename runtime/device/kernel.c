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

typedef struct unbound { // a call without data
  xlm_call call;
  const xlm_type **types;
  void **data;
} unbound;

static bool open_call(unbound *u, const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                      const xlm_mesh *mesh) {
  int n = instr->n_in + instr->n_out;
  u->types = (const xlm_type **)calloc((size_t)n + 1, sizeof *u->types);
  u->data = (void **)calloc((size_t)n + 1, sizeof *u->data);
  if (!u->types || !u->data) return false;
  for (int i = 0; i < n; i++)
    u->types[i] = &tensors[i < instr->n_in ? instr->in[i] : instr->out[i - instr->n_in]].type;
  u->call = (xlm_call){.instr = instr,
                       .dims = dims,
                       .mesh = mesh,
                       .in_type = u->types,
                       .out_type = u->types + instr->n_in,
                       .in = u->data,
                       .out = u->data + instr->n_in};
  return true;
}

static void close_call(unbound *u) {
  free(u->types);
  free(u->data);
}

xlm_planned xlm_kernel_plan(const xlm_kernel *kernel, const xlm_instr *instr, const xlm_tensor *tensors,
                            const xlm_dim_info *dims, const xlm_mesh *mesh, const xlm_target *t,
                            xlm_kernel_choice *out) {
  *out = (xlm_kernel_choice){.variant = ""};
  if (!kernel) return XLM_NO_KERNEL;
  if (!kernel->workspace && !kernel->variants) return XLM_PLANNED;
  unbound u;
  bool ok = open_call(&u, instr, tensors, dims, mesh);
  if (ok) choose(kernel, &u.call, t, out);
  close_call(&u);
  return ok ? XLM_PLANNED : XLM_NO_MEMORY;
}

xlm_panel_use xlm_kernel_panels(const xlm_kernel *kernel, const xlm_instr *instr, int operand,
                                const xlm_tensor *tensors, const xlm_dim_info *dims, const xlm_mesh *mesh,
                                const xlm_target *t, xlm_panels *panels) {
  if (!kernel || !kernel->panels) return XLM_PANELS_NEVER;
  unbound u;
  xlm_panel_use use = XLM_PANELS_NEVER;
  if (open_call(&u, instr, tensors, dims, mesh)) use = kernel->panels(&u.call, t, operand, panels);
  close_call(&u);
  return use;
}
