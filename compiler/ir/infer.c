// Helpers for inference rules, and the default cost; see op.h.
#include <stdio.h>
#include <string.h>

#include "compiler/ir/op.h"
#include "runtime/base/text.h"

static const char *format(xlm_infer *x, const char *fmt, va_list ap) {
  char buf[1024];
  vsnprintf(buf, sizeof buf, fmt, ap);
  return xlm_arena_strdup(x->g->arena, buf);
}

bool xlm_infer_fail(xlm_infer *x, xlm_fault f, int operand, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  x->fault_text = format(x, fmt, ap);
  va_end(ap);
  x->fault = f;
  x->fault_operand = operand;
  return false;
}

bool xlm_infer_help(xlm_infer *x, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  x->fault_help = format(x, fmt, ap);
  va_end(ap);
  return false;
}

const xlm_type *xlm_infer_type(const xlm_infer *x, int operand) {
  return xlm_val_type(x->g, x->in[operand]);
}

const char *xlm_infer_dims_text(const xlm_infer *x, const xlm_type *t) {
  xlm_text s = xlm_text_new(x->g->arena);
  xlm_text_add(&s, "[");
  for (int i = 0; i < t->rank; i++) xlm_text_printf(&s, "%s%s", i ? ", " : "", x->g->dims[t->dim[i]].name);
  xlm_text_add(&s, "]");
  return s.data;
}

static void put(xlm_infer *x, xlm_attr a) {
  const xlm_attr *have = xlm_attr_find(&x->attrs, a.key);
  if (have && xlm_attr_same(have, &a)) return;
  xlm_attr_list l = xlm_attr_list_from(x->g->arena, &x->attrs);
  xlm_attr_put(&l, a);
  x->attrs = xlm_attr_freeze(&l);
}

int xlm_infer_operand(const xlm_infer *x, xlm_operand what) {
  return xlm_attr_operand(&x->attrs, x->n_in, what);
}

void xlm_infer_add_operand(xlm_infer *x, xlm_operand what, xlm_val v) {
  xlm_ints given = xlm_attr_ints(&x->attrs, XLM_A_operands);
  int first = x->n_in - (int)given.n, at = 0;
  while (at < (int)given.n && given.at[at] < (int64_t)what) at++;
  xlm_val *in = XLM_NEW_N(x->g->tables, xlm_val, x->n_in + 1);
  int64_t *all = XLM_NEW_N(x->g->arena, int64_t, given.n + 1);
  for (int i = 0; i <= x->n_in; i++) in[i] = i < first + at ? x->in[i] : i == first + at ? v : x->in[i - 1];
  for (int i = 0; i <= (int)given.n; i++)
    all[i] = i < at ? given.at[i] : i == at ? (int64_t)what : given.at[i - 1];
  x->in = in, x->n_in++;
  put(x, (xlm_attr){.key = XLM_A_operands, .n = given.n + 1, .ints = all});
}

void xlm_infer_set_int(xlm_infer *x, xlm_attr_key key, int64_t v) {
  put(x, (xlm_attr){.key = key, .i = v});
}
void xlm_infer_set_float(xlm_infer *x, xlm_attr_key key, double v) {
  put(x, (xlm_attr){.key = key, .f = v});
}

void xlm_infer_set_dims(xlm_infer *x, xlm_attr_key key, const xlm_dim *dims, int n) {
  xlm_attr a = {.key = key, .n = (uint32_t)n};
  for (int i = 0; i < n; i++) a.dims[i] = dims[i];
  put(x, a);
}

bool xlm_infer_is_float(xlm_infer *x, int operand) {
  if (xlm_dtype_is_float(xlm_infer_type(x, operand)->dtype)) return true;
  xlm_infer_fail(x, XLM_FAULT_DTYPE, operand, "`%s` takes real numbers here, not %s", x->op->name,
                 xlm_dtype_name(xlm_infer_type(x, operand)->dtype));
  return xlm_infer_help(x, "`f32(..)` makes real numbers of integers");
}

bool xlm_infer_has(xlm_infer *x, int operand, xlm_dim d, const char *which) {
  const xlm_type *t = xlm_infer_type(x, operand);
  if (d && xlm_type_find(t, d) >= 0) return true;
  return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, operand, "%s has no dimension `%s`, %s",
                        xlm_infer_dims_text(x, t), d ? x->g->dims[d].name : "?", which);
}

static xlm_dim named(const xlm_infer *x, const xlm_type *t, const char *name) {
  for (int i = 0; name && i < t->rank; i++)
    if (!strcmp(x->g->dims[t->dim[i]].name, name)) return t->dim[i];
  return 0;
}

bool xlm_infer_dim_attr(xlm_infer *x, xlm_attr_key key, int operand, const char *fallback, bool last,
                        xlm_dim *out) {
  const xlm_type *t = xlm_infer_type(x, operand);
  xlm_dim set[XLM_MAX_RANK];
  *out = xlm_attr_dims(&x->attrs, key, set) ? set[0] : named(x, t, fallback);
  if (!*out && last && t->rank) *out = t->dim[t->rank - 1];
  if (!*out || xlm_type_find(t, *out) < 0) {
    const char *wanted = *out ? x->g->dims[*out].name : fallback ? fallback : xlm_attr_name(key);
    xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, operand, "%s has no dimension `%s`, which `%s` works along",
                   xlm_infer_dims_text(x, t), wanted, x->op->name);
    return xlm_infer_help(x, "name the dimension: `%s = ...`", xlm_attr_name(key));
  }
  xlm_infer_set_dims(x, key, out, 1);
  return true;
}

void xlm_op_cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = &g->nodes[n];
  *out = (xlm_cost){0};
  for (int i = 0; i < node->n_in; i++)
    out->bytes += (double)xlm_type_bytes(xlm_val_type(g, node->in[i]), g->dims);
  for (int i = 0; i < node->n_out; i++)
    out->bytes += (double)xlm_type_bytes(&g->values[node->out + (xlm_val)i].type, g->dims);
  const xlm_op *op = xlm_op_at(node->op);
  if (op->facts.leaf || op->flags & XLM_OPF_VIEW) *out = (xlm_cost){0};
  if (op->cost) op->cost(g, n, out);
}
