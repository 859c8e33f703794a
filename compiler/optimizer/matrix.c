// Finds which parameters are matrices, and which of their dimensions are rows and columns. In products of the
// forward pass, the summed dimensions are inputs, the others outputs, and those of both operands (experts)
// number the matrices. Each parameter is followed through casts, renames and factors, in one sweep over the
// graph.
#include <string.h>

#include "compiler/optimizer/step_priv.h"

typedef struct origin { // of a value that is a parameter, possibly renamed or cast
  xlm_val param;
  xlm_dim dim[XLM_MAX_RANK]; // the parameter's dimension, by position in this value
} origin;

typedef struct finder {
  const xlm_graph *g;
  xlm_arena *a;
  origin *from;        // by value; param 0: none
  xlm_matrix **matrix; // by value of a parameter
  bool *other;         // by value of a parameter: a reader is not a product, or uses another matrix
  bool *vocabulary;    // by dimension: tokens index it, or are classes along it
} finder;

static void begin(finder *f, xlm_val v) {
  const xlm_type *t = xlm_val_type(f->g, v);
  f->from[v].param = v;
  memcpy(f->from[v].dim, t->dim, sizeof t->dim);
}

bool xlm_hands_on(const xlm_graph *g, const xlm_node_info *n, int i) {
  uint32_t flags = xlm_op_at(n->op)->flags;
  const xlm_type *t = xlm_val_type(g, n->in[i]), *u = n->n_out ? xlm_val_type(g, n->out) : NULL;
  if (!u || t->rank != u->rank) return false;
  if (flags & XLM_OPF_VIEW) return true;
  for (int k = 0; k < n->n_in; k++)
    if (k != i && xlm_val_type(g, n->in[k])->rank) return false;
  return (flags & XLM_OPF_ELEMENTWISE) && !memcmp(t->dim, u->dim, t->rank * sizeof *t->dim);
}

static bool same_matrix(const xlm_matrix *a, const xlm_matrix *b) {
  return a->n_batch == b->n_batch && a->n_in == b->n_in && a->n_out == b->n_out &&
         !memcmp(a->batch, b->batch, sizeof a->batch) && !memcmp(a->in, b->in, sizeof a->in) &&
         !memcmp(a->out, b->out, sizeof a->out);
}

static void note_product(finder *f, const xlm_node_info *n, int i) {
  const origin *o = &f->from[n->in[i]];
  const xlm_type *t = xlm_val_type(f->g, n->in[i]), *other = xlm_val_type(f->g, n->in[1 - i]);
  xlm_matrix m = {0};
  for (int k = 0; k < t->rank; k++) {
    if (xlm_attr_has_dim(&n->attrs, XLM_A_over, t->dim[k]))
      m.in[m.n_in++] = o->dim[k];
    else if (xlm_type_find(other, t->dim[k]) >= 0)
      m.batch[m.n_batch++] = o->dim[k];
    else
      m.out[m.n_out++] = o->dim[k];
  }
  xlm_matrix **at = &f->matrix[o->param];
  if (!*at) {
    *at = XLM_NEW(f->a, xlm_matrix);
    **at = m;
  } else if (!same_matrix(*at, &m))
    f->other[o->param] = true;
}

static void read_operand(finder *f, const xlm_node_info *n, int i) {
  const origin *o = &f->from[n->in[i]];
  if (!o->param) return;
  if (xlm_op_facts_of(n->op)->product == XLM_PRODUCT_MATRIX && i < 2)
    note_product(f, n, i);
  else if (xlm_hands_on(f->g, n, i))
    f->from[n->out] = *o;
  else
    f->other[o->param] = true;
}

static void note_vocabulary(finder *f, const xlm_node_info *n) {
  xlm_dim dims[XLM_MAX_RANK];
  int count = xlm_attr_dims(&n->attrs, XLM_A_vocab, dims);
  for (int i = 0; i < count; i++) f->vocabulary[dims[i]] = true;
}

static bool is_matrix(const finder *f, xlm_val param) {
  const xlm_matrix *m = f->matrix[param];
  const xlm_type *t = xlm_val_type(f->g, param);
  for (int i = 0; i < t->rank; i++)
    if (f->vocabulary[t->dim[i]]) return false;
  return m && m->n_in && m->n_out && !f->other[param];
}

const xlm_matrix *const *xlm_find_matrices(const xlm_graph *g, xlm_arena *a) {
  finder f = {.g = g, .a = a};
  f.from = XLM_NEW_N(a, origin, g->n_values);
  f.matrix = XLM_NEW_N(a, xlm_matrix *, g->n_values);
  f.other = XLM_NEW_N(a, bool, g->n_values);
  f.vocabulary = XLM_NEW_N(a, bool, g->n_dims);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (n->phase != XLM_PHASE_FWD) continue;
    if (xlm_node_is(n, XLM_LEAF_PARAMETER)) begin(&f, n->out);
    note_vocabulary(&f, n);
    for (int i = 0; i < n->n_in; i++) read_operand(&f, n, i);
  }
  for (xlm_val v = 1; v < g->n_values; v++)
    if (!is_matrix(&f, v)) f.matrix[v] = NULL;
  return (const xlm_matrix *const *)f.matrix;
}
