// Residual: a product that is added to a value of its own type, h + f(h) @ w, adds that value itself, before
// its sums are rounded. The addition would read both and write the result once more. Sums of products, as the
// gradient of what several products read, become a chain of them.
//
// An operation that can add into an accumulator (facts.accumulating) does so where the other operand is one
// that nothing else reads: the gradients of an embedding that is also the output head.
//
// The product moves to its addition. Its only reader is the addition; the other operand is in memory anyway:
// it is not a function of elements that would have been part of the addition's program.
//
// No bit depends on where a pipeline is cut or on what is recomputed. So the product and its addition are
// never apart; the other operand may be, but then counts as in memory always. Accumulators of other parts
// have the bits of the addition (facts.adds_last).
#include "compiler/pass/residual.h"

#include "compiler/pass/bias.h"

typedef struct sum { // product + other
  xlm_val product, other;
  bool into; // into the memory of `other`
} sum;

typedef struct residuals {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_build b;
  bool split_weights;
  xlm_val *map;
  const uint32_t *uses;
  sum *sums;   // by node: an addition
  bool *moves; // by value: a product that is computed by its addition
  bool *late;  // by value: made, without a product, of rows of experts that other ranks send in its round
} residuals;

// ---- which additions ----

static bool is_ragged(const xlm_graph *g, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (g->dims[t->dim[i]].ragged) return true;
  return false;
}

// Can node p, a product with or without a bias, add a tensor of its type?
static bool takes_residual(const xlm_graph *g, const xlm_node_info *p) {
  const xlm_type *out = xlm_val_type(g, p->out);
  if (is_ragged(g, xlm_val_type(g, p->in[0])) || is_ragged(g, xlm_val_type(g, p->in[1]))) return false;
  if (!xlm_op_facts_of(p->op)->biased) return false;
  return p->n_in == 2 || (p->n_in == 3 && xlm_val_type(g, p->in[2])->rank < out->rank);
}

// Gradients of weights run with the backward unless they have segments of their own.
static bool run_together(const residuals *r, const xlm_node_info *a, const xlm_node_info *b) {
  bool backward = a->phase == XLM_PHASE_BWD && b->phase == XLM_PHASE_WGT && !r->split_weights;
  return a->stage == b->stage && (a->phase == b->phase || backward);
}

// Is v a sum in memory of its own, to which can be added?
static bool is_sum(const residuals *r, xlm_val v) {
  for (;;) {
    xlm_node def = r->g->values[v].def;
    const xlm_op_facts *f = xlm_op_facts_of(r->g->nodes[def].op);
    if (f->accumulating || r->sums[def].into) return true;
    if (!f->sums || f->addend) return false;
    v = r->g->nodes[def].in[0];
  }
}

// Can p add into the memory of `other`, which only their addition reads?
static bool takes_accumulator(const residuals *r, const xlm_node_info *p, xlm_val other) {
  const xlm_op_facts *f = xlm_op_facts_of(p->op);
  xlm_node def = r->g->values[other].def;
  const xlm_node_info *n = &r->g->nodes[def];
  if (!f->accumulating || xlm_val_type(r->g, other)->dtype != XLM_F32) return false;
  if (r->uses[other] != 1 || !is_sum(r, other)) return false;
  bool always = n->phase == p->phase && xlm_is_uncut(r->g, def, r->g->values[p->out].def);
  return f->adds_last ? run_together(r, n, p) : always;
}

// Is v in memory when node n runs, whatever is fused?
static bool is_stored(const residuals *r, xlm_val v, xlm_node n) {
  xlm_node def = r->g->values[v].def;
  bool fusable = xlm_op_at(r->g->nodes[def].op)->flags & (XLM_OPF_ELEMENTWISE | XLM_OPF_ROWS);
  return !fusable || r->sums[def].product || !xlm_is_uncut(r->g, def, n);
}

// Would an addition to v in node n's round wait for rows that other ranks send there? A value of another
// round may come from another stage.
static bool is_late_for(const residuals *r, xlm_val v, const xlm_node_info *n) {
  return r->late[v] && xlm_val_node(r->g, v)->round == n->round;
}

static sum sum_with(const residuals *r, const xlm_node_info *n, xlm_val product, xlm_val other) {
  const xlm_graph *g = r->g;
  const xlm_node_info *p = xlm_val_node(g, product);
  const xlm_value *v = &g->values[product], *o = &g->values[other];
  sum none = {0};
  xlm_node at = g->values[n->out].def;
  if (product == other || r->uses[product] != 1 || p->phase != n->phase || p->stage != n->stage ||
      is_late_for(r, other, n) || !xlm_is_uncut(g, v->def, at))
    return none;
  if (!xlm_same_type(&v->type, &o->type) || !xlm_same_type(&v->type, xlm_val_type(g, n->out)) ||
      v->partial != o->partial || is_ragged(g, &v->type) || xlm_is_updated(g, v->def, at))
    return none;
  bool into = takes_accumulator(r, p, other);
  bool adds = into || (takes_residual(g, p) && v->type.rank > 0 && is_stored(r, other, at));
  return adds ? (sum){product, other, into} : none;
}

// The later of two products adds the earlier, so that neither moves far.
static sum sum_of(const residuals *r, const xlm_node_info *n) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  if (n->n_in != 2 || f->terms[0] != 1 || f->terms[1] != 1) return (sum){0};
  int late = r->g->values[n->in[1]].def > r->g->values[n->in[0]].def;
  sum s = sum_with(r, n, n->in[late], n->in[!late]);
  return s.product ? s : sum_with(r, n, n->in[!late], n->in[late]);
}

static bool is_late(const residuals *r, const xlm_node_info *n) {
  const xlm_comm_info *c = xlm_comm_of(n->op);
  if (c && c->rows) return true;
  for (int i = 0; !xlm_op_facts_of(n->op)->biased && i < n->n_in; i++)
    if (is_late_for(r, n->in[i], n)) return true;
  return false;
}

static residuals find(const xlm_graph *g, xlm_arena *a, bool split_weights) {
  residuals found = {.g = g, .split_weights = split_weights}, *r = &found;
  r->moves = XLM_NEW_N(a, bool, g->n_values);
  r->late = XLM_NEW_N(a, bool, g->n_values);
  r->sums = XLM_NEW_N(a, sum, g->n_nodes);
  r->uses = xlm_graph_uses(g, a);
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    for (int i = 0; i < n->n_out; i++) r->late[n->out + (xlm_val)i] = is_late(r, n);
    sum s = r->sums[id] = sum_of(r, n);
    if (s.product) r->moves[s.product] = true;
  }
  return found;
}

xlm_val *xlm_residual_products(const xlm_graph *g, xlm_arena *a) {
  const residuals r = find(g, a, false);
  xlm_val *products = XLM_NEW_N(a, xlm_val, g->n_nodes);
  for (xlm_node id = 1; id < g->n_nodes; id++) products[id] = r.sums[id].product;
  return products;
}

// ---- the graph ----

// The operation of node p in place of n: with acc in front of its operands, or residual behind; 0: without.
static void emit_product(residuals *r, const xlm_node_info *n, const xlm_node_info *p, xlm_val acc,
                         xlm_val residual) {
  const xlm_op_facts *f = xlm_op_facts_of(p->op);
  xlm_val in[5];
  int n_in = 0;
  if (acc) in[n_in++] = acc;
  for (int i = 0; i < p->n_in; i++) in[n_in++] = r->map[p->in[i]];
  if (residual) in[n_in++] = residual;
  xlm_attr_list l = xlm_attr_list_from(r->out->arena, &p->attrs);
  xlm_build_context(&r->b, n);
  r->b.phase = n->phase;
  xlm_val v = xlm_emit(&r->b, acc ? f->accumulating : f->biased, in, n_in, &l);
  xlm_val_at(r->out, v)->name = r->g->values[n->out].name;
  xlm_val_at(r->out, v)->partial = r->g->values[n->out].partial;
  r->out->nodes[r->out->n_nodes - 1].stage = n->stage;
  r->map[n->out] = v;
}

static void emit(residuals *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  sum s = r->sums[id];
  if (n->n_out && r->moves[n->out]) return;
  if (s.product)
    emit_product(r, n, xlm_val_node(r->g, s.product), s.into ? r->map[s.other] : 0,
                 s.into ? 0 : r->map[s.other]);
  else
    xlm_copy_node(r->out, r->g, id, r->map, r->map);
}

xlm_graph *xlm_pass_residual(const xlm_graph *g, xlm_arena *a, bool split_weights) {
  residuals r = find(g, a, split_weights);
  r.out = xlm_graph_like(g);
  r.b = xlm_build_new(r.out);
  r.map = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(r.out, g->n_nodes, g->n_values);
  for (xlm_node id = 1; id < g->n_nodes; id++) emit(&r, id);
  xlm_copy_ends(r.out, g, r.map);
  return r.out;
}
