// See fusable.h.
#include "compiler/pass/fusable.h"

#include <string.h>

#include "compiler/ir/op.h"
#include "runtime/plan/code.h"

bool xlm_same_dims(const xlm_type *a, const xlm_type *b) {
  return a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static bool is_ragged(const xlm_graph *g, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (g->dims[t->dim[i]].ragged) return true;
  return false;
}

// Is `over` the n dims of t from `first` on?
static bool is_over(const xlm_dim *over, const xlm_type *t, int first, int n) {
  return n <= t->rank && !memcmp(over, t->dim + first, (size_t)n * sizeof *over);
}

static bool operands_like_result(const xlm_graph *g, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (!xlm_same_dims(xlm_val_type(g, n->in[i]), xlm_val_type(g, n->out))) return false;
  return true;
}

static bool is_sum(const xlm_node_info *n) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  return f->reduces == XLM_REDUCTION_SUM && f->linear == 1 && n->n_in == 1;
}

xlm_fusable xlm_fusable_of(const xlm_graph *g, const xlm_node_info *n) {
  const xlm_op *op = xlm_op_at(n->op);
  bool rows = op->flags & XLM_OPF_ROWS;
  xlm_dim over[XLM_MAX_RANK];
  if (op->flags & XLM_OPF_ELEMENTWISE) return (xlm_fusable){XLM_FUSABLE_ELEMENTS, 0, xlm_val_type(g, n->out)};
  if (!rows && !is_sum(n)) return (xlm_fusable){0};
  const xlm_type *space = xlm_val_type(g, n->in[0]);
  int n_over = xlm_attr_dims(&n->attrs, XLM_A_over, over), others = space->rank - n_over;
  if (is_ragged(g, space) || n_over < 1) return (xlm_fusable){0};
  if (rows && operands_like_result(g, n) && is_over(over, space, others, n_over))
    return (xlm_fusable){XLM_FUSABLE_ROWS, (uint8_t)n_over, space};
  if (!rows && others > 0 && is_over(over, space, 0, n_over))
    return (xlm_fusable){XLM_FUSABLE_SUM, (uint8_t)others, space};
  return (xlm_fusable){0};
}

bool xlm_fusable_fits(const xlm_graph *g, const xlm_mesh *mesh, const xlm_fusable *f) {
  int64_t least = 1, most = 1; // elements of a row
  for (int i = f->space->rank - f->row; i < f->space->rank; i++) {
    const xlm_dim_info *d = &g->dims[f->space->dim[i]];
    int64_t smallest = d->size, largest = d->size;
    if (mesh && d->axes) xlm_mesh_bounds(mesh, d, &smallest, &largest);
    least *= smallest, most *= largest;
  }
  if (f->kind == XLM_FUSABLE_SUM) return least > 1 && most <= XLM_CODE_MAX_SUMMED;
  return f->kind != XLM_FUSABLE_ROWS || most <= XLM_CODE_MAX_ROW;
}
