// Simplify: folds constants, removes identities, merges equal nodes and drops dead ones, in one sweep and
// linear time.
//
// Each node is visited once, when its operands are final. It folds to an existing value, or equals a node in
// the table of nodes so far (hash-consing), or is appended. Nodes of different phases or pipeline rounds are
// never merged: that would keep an activation alive to save a little arithmetic, undo a recomputation, or
// make a stage wait for another. A replacement has the type of what it replaces, so nothing is inferred
// again.
#include <math.h>
#include <string.h>

#include "compiler/pass/pass_priv.h"
#include "runtime/base/philox.h"

enum { VIEW_CHAIN = 4 }; // views looked through; bounded so that the pass stays linear

typedef struct simplifier {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_val *map;       // g's values -> out's
  xlm_node *table;    // open addressing, by hash of the node
  uint32_t n_buckets; // a power of two
} simplifier;

// ---- constants ----

static bool is_const(const xlm_graph *g, xlm_val v, double *value) {
  const xlm_node_info *n = xlm_val_node(g, v);
  if (!xlm_node_is(n, XLM_LEAF_CONSTANT) || xlm_val_type(g, v)->rank) return false;
  *value = xlm_attr_float(&n->attrs, XLM_A_value, 0);
  return true;
}

static xlm_val constant(simplifier *s, const xlm_node_info *like, double value, xlm_dtype t) {
  xlm_build b = xlm_build_new(s->out);
  xlm_build_context(&b, like);
  b.phase = like->phase;
  xlm_attr_list l = xlm_attr_list_new(s->out->arena);
  xlm_attr_put_float(&l, XLM_A_value, value);
  if (t != XLM_F32) xlm_attr_put_enum(&l, XLM_A_dtype, t);
  return xlm_emit(&b, XLM_OP_CONST, NULL, 0, &l);
}

static xlm_val fold_constant(simplifier *s, const xlm_node_info *n, const xlm_val *in) {
  double x[3];
  const xlm_type *t = xlm_val_type(s->g, n->out);
  double (*fold)(const double *) = xlm_op_at(n->op)->fold;
  if (!fold || t->rank || !xlm_dtype_is_float(t->dtype) || n->n_in > 3) return 0;
  for (int i = 0; i < n->n_in; i++)
    if (!is_const(s->out, in[i], &x[i])) return 0;
  double y = fold(x);
  return isfinite(y) ? constant(s, n, y, t->dtype) : 0;
}

// ---- identities ----

static bool same_value_type(const simplifier *s, const xlm_node_info *n, xlm_val candidate) {
  return xlm_same_type(xlm_val_type(s->g, n->out), xlm_val_type(s->out, candidate));
}

static xlm_val fold_neutral(simplifier *s, const xlm_node_info *n, const xlm_val *in) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  for (int i = 0; i < 2 && f->neutral[i].operand; i++) {
    int at = f->neutral[i].operand - 1;
    double c;
    if (!is_const(s->out, in[at], &c) || c != f->neutral[i].value) continue;
    if (same_value_type(s, n, in[1 - at])) return in[1 - at];
  }
  return 0;
}

// A cast, permute or broadcast that changes nothing.
static xlm_val fold_unchanged(simplifier *s, const xlm_node_info *n, const xlm_val *in) {
  return xlm_op_facts_of(n->op)->keeps_values && same_value_type(s, n, in[0]) ? in[0] : 0;
}

// A view that undoes an earlier view in its chain. An opaque one (stop_gradient) changes no bits but matters
// until gradients are made, so it stays, and the search ends at it.
static bool is_clear_view(const xlm_node_info *n) {
  return xlm_is_view(n) && !xlm_op_facts_of(n->op)->opaque;
}

static xlm_val fold_view(simplifier *s, const xlm_node_info *n, const xlm_val *in) {
  if (!is_clear_view(n)) return 0;
  xlm_val offsets = xlm_val_at(s->g, n->out)->ragged_by, v = in[0];
  for (int i = 0; i < VIEW_CHAIN; i++) {
    if (same_value_type(s, n, v) && xlm_val_at(s->out, v)->ragged_by == (offsets ? s->map[offsets] : 0))
      return v;
    const xlm_node_info *def = xlm_val_node(s->out, v);
    if (!is_clear_view(def)) return 0;
    v = def->in[0];
  }
  return 0;
}

// ---- canonical forms ----

// A function of an operand and a number that equals a function of one operand: x ^ 2 is square(x).
static void rewrite_number(simplifier *s, xlm_node_info *n, const xlm_val *in) {
  xlm_op_id (*simpler)(double) = xlm_op_at(n->op)->simpler;
  double c;
  if (!simpler || !is_const(s->out, in[1], &c) || !same_value_type(s, n, in[0])) return;
  xlm_op_id op = simpler(c);
  if (op) n->op = op, n->n_in = 1;
}

static bool reorders(const xlm_node_info *n) {
  return xlm_op_facts_of(n->op)->reorders;
}

static void rewrite_order(simplifier *s, const xlm_node_info *n, xlm_val *in) {
  const xlm_node_info *def = xlm_val_node(s->out, in[0]);
  if (reorders(n) && reorders(def)) in[0] = def->in[0];
}

// A number in the model text does not raise the precision of the other operands, a computed one does. So
// where an operand has folded to a number, the others are cast to the precision it required. Whole numbers do
// not make real numbers of integers either.
static void keep_precision(simplifier *s, const xlm_node_info *n, xlm_val *in) {
  bool folded = false;
  double unused;
  if (!(xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE) || xlm_op_casts(n->op)) return;
  for (int i = 0; i < n->n_in; i++)
    folded |= is_const(s->out, in[i], &unused) && !is_const(s->g, n->in[i], &unused);
  xlm_dtype wanted = xlm_val_type(s->g, n->out)->dtype;
  xlm_build b = xlm_build_new(s->out);
  xlm_build_context(&b, n);
  b.phase = n->phase;
  for (int i = 0; folded && i < n->n_in; i++)
    if (wanted != XLM_I32 &&
        (xlm_val_type(s->out, in[i])->dtype == XLM_BF16 || xlm_val_type(s->out, in[i])->dtype == XLM_I32))
      in[i] = xlm_cast_to(&b, in[i], wanted);
}

// ---- equal nodes ----

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n) {
  const unsigned char *c = p;
  for (size_t i = 0; i < n; i++) h = (h ^ c[i]) * 1099511628211u;
  return h;
}

static uint64_t hash_node(const xlm_node_info *n, const xlm_val *in) {
  int32_t key[] = {(int32_t)n->op, xlm_is_leaf(n) ? 0 : (int32_t)n->phase, xlm_is_leaf(n) ? 0 : n->round,
                   n->stage};
  uint64_t h = hash_bytes(1469598103934665603u, key, sizeof key);
  h = hash_bytes(h, in, n->n_in * sizeof *in);
  for (int i = 0; i < n->attrs.n; i++) h = xlm_hash_mix(h ^ xlm_attr_hash(&n->attrs.at[i]));
  return xlm_hash_mix(h);
}

static bool same_node(const xlm_node_info *a, const xlm_node_info *n, const xlm_val *in) {
  if (a->op != n->op || a->stage != n->stage || a->n_in != n->n_in || a->n_out != n->n_out) return false;
  if (!xlm_is_leaf(n) && (a->phase != n->phase || a->round != n->round)) return false;
  if (n->n_in && memcmp(a->in, in, n->n_in * sizeof *in)) return false;
  if (a->attrs.n != n->attrs.n) return false;
  for (int i = 0; i < n->attrs.n; i++)
    if (!xlm_attr_same(&a->attrs.at[i], &n->attrs.at[i])) return false;
  return true;
}

// The equal node of the new graph, or a free bucket of the table for this one.
static xlm_node *find(simplifier *s, const xlm_node_info *n, const xlm_val *in) {
  uint32_t at = (uint32_t)hash_node(n, in) & (s->n_buckets - 1);
  while (s->table[at] && !same_node(&s->out->nodes[s->table[at]], n, in)) at = (at + 1) & (s->n_buckets - 1);
  return &s->table[at];
}

static bool mergeable(const xlm_node_info *n) {
  const xlm_op *op = xlm_op_at(n->op);
  return n->n_out && !op->n_alias && !(op->flags & XLM_OPF_RANDOM) && !op->facts.converts_layout;
}

static void merge(simplifier *s, const xlm_node_info *n, xlm_node into) {
  xlm_node_info *same = &s->out->nodes[into];
  same->recompute &= n->recompute;
  for (xlm_val i = 0; i < n->n_out; i++) {
    s->map[n->out + i] = same->out + i;
    xlm_value *v = &s->out->values[same->out + i];
    if (!v->name) v->name = s->g->values[n->out + i].name;
  }
}

// ---- the sweep ----

static void append(simplifier *s, xlm_node id, const xlm_node_info *n, const xlm_val *in) {
  static const xlm_val none[1];
  xlm_node made = xlm_copy_node(s->out, s->g, id, s->map, s->map);
  xlm_node_info *copy = &s->out->nodes[made];
  copy->op = n->op;
  copy->n_in = n->n_in;
  copy->in = n->n_in ? in : none;
}

static void simplify_node(simplifier *s, xlm_node id) {
  xlm_node_info n = s->g->nodes[id];
  xlm_val *in = XLM_NEW_N(s->out->tables, xlm_val, n.n_in), same = 0;
  for (int i = 0; i < n.n_in; i++) in[i] = s->map[n.in[i]];
  if (n.n_in && n.n_out) {
    rewrite_order(s, &n, in);
    same = fold_constant(s, &n, in);
    if (!same) same = fold_neutral(s, &n, in);
    if (!same) same = fold_unchanged(s, &n, in);
    if (!same) same = fold_view(s, &n, in);
    rewrite_number(s, &n, in);
  }
  if (same) {
    s->map[n.out] = same;
    return;
  }
  keep_precision(s, &n, in);
  xlm_node *bucket = mergeable(&n) ? find(s, &n, in) : NULL;
  if (bucket && *bucket) {
    merge(s, &n, *bucket);
    return;
  }
  append(s, id, &n, in);
  if (bucket) *bucket = s->out->n_nodes - 1;
}

xlm_graph *xlm_pass_simplify(const xlm_graph *g, xlm_arena *a) {
  simplifier s = {.g = g, .out = xlm_graph_like(g), .n_buckets = 64};
  while (s.n_buckets < 2 * g->n_nodes) s.n_buckets *= 2;
  s.map = XLM_NEW_N(a, xlm_val, g->n_values);
  s.table = XLM_NEW_N(a, xlm_node, s.n_buckets);
  xlm_graph_reserve(s.out, g->n_nodes, g->n_values);
  for (xlm_node n = 1; n < g->n_nodes; n++) simplify_node(&s, n);
  xlm_copy_ends(s.out, g, s.map);
  xlm_drop_dead(s.out, a);
  return s.out;
}
