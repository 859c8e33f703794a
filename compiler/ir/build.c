// The builder; see build.h. Every node passes through emit, so types are inferred in one place only.
#include "compiler/ir/build.h"

#include <string.h>

#include "compiler/ir/op.h"

xlm_build xlm_build_new(xlm_graph *g) {
  return (xlm_build){.g = g, .scope = "", .round = -1, .stage = -1};
}

void xlm_build_context(xlm_build *b, const xlm_node_info *like) {
  b->span = like->span;
  b->scope = like->scope;
  b->round = like->round;
  b->stage = like->stage;
  b->recompute = like->recompute;
}

xlm_attr_list xlm_attr_list_new(xlm_arena *a) {
  return (xlm_attr_list){.arena = a};
}

xlm_attr_list xlm_attr_list_from(xlm_arena *a, const xlm_attrs *as) {
  xlm_attr_list l = {.arena = a, .n = as->n};
  if (as->n) memcpy(l.at, as->at, as->n * sizeof *as->at);
  return l;
}

void xlm_attr_put(xlm_attr_list *l, xlm_attr attr) {
  int i = 0;
  while (i < l->n && l->at[i].key < attr.key) i++;
  bool replaces = i < l->n && l->at[i].key == attr.key;
  if (!replaces) memmove(&l->at[i + 1], &l->at[i], (size_t)(l->n++ - i) * sizeof *l->at);
  l->at[i] = attr;
}

void xlm_attr_put_int(xlm_attr_list *l, xlm_attr_key k, int64_t v) {
  xlm_attr_put(l, (xlm_attr){.key = k, .i = v});
}
void xlm_attr_put_float(xlm_attr_list *l, xlm_attr_key k, double v) {
  xlm_attr_put(l, (xlm_attr){.key = k, .f = v});
}
void xlm_attr_put_enum(xlm_attr_list *l, xlm_attr_key k, int v) {
  xlm_attr_put(l, (xlm_attr){.key = k, .i = v});
}

void xlm_attr_put_ints(xlm_attr_list *l, xlm_attr_key k, const int64_t *v, uint32_t n) {
  int64_t *copy = XLM_NEW_N(l->arena, int64_t, n);
  if (n) memcpy(copy, v, n * sizeof *v);
  xlm_attr_put(l, (xlm_attr){.key = k, .n = n, .ints = copy});
}

void xlm_attr_put_init(xlm_attr_list *l, xlm_attr_key k, xlm_init_kind kind, double x, double y) {
  xlm_attr_put(l, (xlm_attr){.key = k, .init = {kind, {x, y}}});
}

void xlm_attr_put_text(xlm_attr_list *l, xlm_attr_key k, const char *v) {
  xlm_attr_put(l, (xlm_attr){.key = k, .text = v});
}

void xlm_attr_put_dims(xlm_attr_list *l, xlm_attr_key k, const xlm_dim *d, int n) {
  XLM_ASSERT(n <= XLM_MAX_RANK, "attribute %s with %d dims", xlm_attr_name(k), n);
  xlm_attr a = {.key = k, .n = (uint32_t)n};
  for (int i = 0; i < n; i++) a.dims[i] = d[i];
  xlm_attr_put(l, a);
}

void xlm_attr_drop(xlm_attr_list *l, xlm_attr_key k) {
  for (int i = 0; i < l->n; i++)
    if (l->at[i].key == k) {
      memmove(&l->at[i], &l->at[i + 1], (size_t)(l->n - i - 1) * sizeof *l->at);
      l->n--;
      return;
    }
}

xlm_attrs xlm_attr_freeze(const xlm_attr_list *l) {
  xlm_attr *at = l->n ? XLM_NEW_N(l->arena, xlm_attr, l->n) : NULL;
  if (l->n) memcpy(at, l->at, (size_t)l->n * sizeof *at);
  return (xlm_attrs){.n = (uint16_t)l->n, .at = at};
}

static xlm_val ragged_operand(const xlm_graph *g, const xlm_val *in, int n) {
  for (int i = 0; i < n; i++)
    if (xlm_val_at(g, in[i])->ragged_by) return xlm_val_at(g, in[i])->ragged_by;
  return 0;
}

static bool has_ragged_dim(const xlm_graph *g, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (g->dims[t->dim[i]].ragged) return true;
  return false;
}

// Operands as stored in the node, with the offsets of a ragged operand appended if the op requires them.
static const xlm_val *node_operands(xlm_build *b, const xlm_op *op, const xlm_val *in, int *n,
                                    xlm_val offsets) {
  bool append = (op->flags & XLM_OPF_OFFSETS) && offsets && (*n == 0 || in[*n - 1] != offsets);
  xlm_val *copy = XLM_NEW_N(b->g->tables, xlm_val, *n + append);
  if (*n) memcpy(copy, in, (size_t)*n * sizeof *in);
  if (append) copy[(*n)++] = offsets;
  return copy;
}

static xlm_val add_outputs(xlm_build *b, const xlm_infer *x, xlm_node def, xlm_val offsets) {
  xlm_graph *g = b->g;
  xlm_val first = x->n_out ? g->n_values : 0;
  for (int i = 0; i < x->n_out; i++) {
    xlm_value v = {.type = x->out[i], .def = def, .ragged_by = x->ragged_by[i]};
    if (!v.ragged_by && has_ragged_dim(g, &v.type)) v.ragged_by = offsets;
    XLM_PUSH(g->tables, g->values, g->n_values, g->cap_values, v);
  }
  return first;
}

xlm_val xlm_emit_checked(xlm_build *b, xlm_op_id id, const xlm_val *in, int n_in, const xlm_attr_list *attrs,
                         xlm_infer *x) {
  xlm_graph *g = b->g;
  const xlm_op *op = xlm_op_at(id);
  xlm_val offsets = ragged_operand(g, in, n_in);
  xlm_attr_list empty = xlm_attr_list_new(g->arena);
  const xlm_val *operands = node_operands(b, op, in, &n_in, offsets); // may append one to n_in
  *x = (xlm_infer){.g = g,
                   .op = op,
                   .in = operands,
                   .n_in = n_in,
                   .n_out = op->n_out,
                   .fault_operand = -1,
                   .attrs = xlm_attr_freeze(attrs ? attrs : &empty)};
  if (!op->infer(x)) return 0;
  if (op->expand) return op->expand(b, x);
  xlm_node_info n = {.op = id,
                     .phase = b->phase,
                     .n_in = (uint16_t)x->n_in,
                     .n_out = (uint16_t)x->n_out,
                     .in = x->in,
                     .attrs = x->attrs,
                     .span = b->span,
                     .scope = b->scope,
                     .round = b->round,
                     .stage = b->stage,
                     .recompute = b->recompute};
  n.out = add_outputs(b, x, g->n_nodes, offsets);
  XLM_PUSH(g->tables, g->nodes, g->n_nodes, g->cap_nodes, n);
  return n.out;
}

xlm_val xlm_emit(xlm_build *b, xlm_op_id op, const xlm_val *in, int n_in, const xlm_attr_list *attrs) {
  xlm_infer x;
  xlm_val v = xlm_emit_checked(b, op, in, n_in, attrs, &x);
  XLM_ASSERT(v || xlm_op_at(op)->n_out == 0, "%s: %s", xlm_op_at(op)->name,
             x.fault_text ? x.fault_text : "refused");
  return v;
}

xlm_val xlm_op1(xlm_build *b, xlm_op_id op, xlm_val x) {
  return xlm_emit(b, op, &x, 1, NULL);
}
xlm_val xlm_op2(xlm_build *b, xlm_op_id op, xlm_val x, xlm_val y) {
  return xlm_emit(b, op, (xlm_val[]){x, y}, 2, NULL);
}
xlm_val xlm_op3(xlm_build *b, xlm_op_id op, xlm_val x, xlm_val y, xlm_val z) {
  return xlm_emit(b, op, (xlm_val[]){x, y, z}, 3, NULL);
}

xlm_val xlm_scalar(xlm_build *b, double value) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_float(&l, XLM_A_value, value);
  return xlm_emit(b, XLM_OP_CONST, NULL, 0, &l);
}

// Its entries for dimensions that `like` has.
static void put_split(xlm_build *b, xlm_attr_list *l, const xlm_attr *split, const xlm_type *like) {
  xlm_override *at = XLM_NEW_N(b->g->arena, xlm_override, split->n);
  xlm_attr out = {.key = split->key, .split = at};
  for (uint32_t i = 0; i < split->n; i++)
    for (int k = 0; k < like->rank; k++)
      if (!strcmp(split->split[i].dim, b->g->dims[like->dim[k]].name)) at[out.n++] = split->split[i];
  if (out.n) xlm_attr_put(l, out);
}

static xlm_val emit_state(xlm_build *b, const char *name, xlm_role role, const xlm_type *like,
                          const xlm_attr *split) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_role, role);
  xlm_attr_put_init(&l, XLM_A_init, XLM_INIT_ZEROS, 0, 0);
  xlm_attr_put_enum(&l, XLM_A_dtype, like->dtype);
  xlm_attr_put_dims(&l, XLM_A_dims, like->dim, like->rank);
  if (split) put_split(b, &l, split, like);
  xlm_val v = xlm_emit(b, XLM_OP_STATE, NULL, 0, &l);
  xlm_val_at(b->g, v)->name = name;
  return v;
}

xlm_val xlm_build_state(xlm_build *b, const char *name, xlm_role role, const xlm_type *like,
                        const xlm_attr *split) {
  xlm_type t = *like;
  t.dtype = like->dtype == XLM_F64 ? XLM_F64 : XLM_F32;
  return emit_state(b, name, role, &t, split);
}

xlm_val xlm_build_stored(xlm_build *b, const char *name, xlm_role role, xlm_val v, const xlm_attr *split) {
  xlm_type t = *xlm_val_type(b->g, v);
  xlm_val state = emit_state(b, name, role, &t, split), assigned = xlm_op2(b, XLM_OP_ASSIGN, state, v);
  xlm_val_at(b->g, assigned)->name = name;
  xlm_graph_update(b->g, state, assigned);
  return assigned;
}

xlm_val xlm_scale(xlm_build *b, xlm_val x, double factor) {
  return factor == 1 ? x : xlm_op2(b, XLM_OP_MUL, x, xlm_scalar(b, factor));
}

xlm_val xlm_add_to(xlm_build *b, xlm_val sum, xlm_val x) {
  return sum ? xlm_op2(b, XLM_OP_ADD, sum, x) : x;
}

xlm_val xlm_slice_to(xlm_build *b, xlm_val x, xlm_dim from, int64_t start, xlm_dim to) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_from, &from, 1);
  xlm_attr_put_dims(&l, XLM_A_to, &to, 1);
  xlm_attr_put_int(&l, XLM_A_start, start);
  return xlm_emit(b, XLM_OP_SLICE, &x, 1, &l);
}

xlm_val xlm_join_to(xlm_build *b, const xlm_val *x, const xlm_dim *from, int n, xlm_dim to) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_from, from, n);
  xlm_attr_put_dims(&l, XLM_A_to, &to, 1);
  return xlm_emit(b, XLM_OP_CONCAT, x, n, &l);
}

xlm_val xlm_sum_over(xlm_build *b, xlm_val x, const xlm_dim *over, int n) {
  if (n == 0) return x;
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, over, n);
  return xlm_emit(b, XLM_OP_SUM, &x, 1, &l);
}

xlm_val xlm_sum_to(xlm_build *b, xlm_val x, const xlm_type *like) {
  xlm_type t = *xlm_val_type(b->g, x);
  xlm_dim over[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < t.rank; i++)
    if (xlm_type_find(like, t.dim[i]) < 0) over[n++] = t.dim[i];
  return xlm_sum_over(b, x, over, n);
}

xlm_val xlm_contract(xlm_build *b, xlm_val x, xlm_val y, const xlm_dim *over, int n_over, const xlm_dim *dims,
                     int n_dims) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, over, n_over);
  if (n_dims >= 0) xlm_attr_put_dims(&l, XLM_A_dims, dims, n_dims);
  return xlm_emit(b, XLM_OP_CONTRACT, (xlm_val[]){x, y}, 2, &l);
}

xlm_val xlm_cast_to(xlm_build *b, xlm_val x, xlm_dtype t) {
  if (xlm_val_type(b->g, x)->dtype == t) return x;
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_enum(&l, XLM_A_dtype, t);
  return xlm_emit(b, XLM_OP_CAST, &x, 1, &l);
}

xlm_val xlm_order_to(xlm_build *b, xlm_val x, const xlm_type *like) {
  const xlm_type *t = xlm_val_type(b->g, x);
  XLM_ASSERT(t->rank == like->rank, "order of %d dims to %d", t->rank, like->rank);
  if (!memcmp(t->dim, like->dim, t->rank * sizeof *t->dim)) return x;
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, like->dim, like->rank);
  return xlm_emit(b, XLM_OP_PERMUTE, &x, 1, &l);
}
