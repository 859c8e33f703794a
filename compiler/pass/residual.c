// Residual: a product that is added to a value of its own type, h + f(h) @ w, adds that value itself, before
// its sums are rounded. The addition would read both and write the result once more. Sums of products, as the
// gradient of what several products read, become a chain of them.
//
// An operation that can add into an accumulator (facts.accumulating) does so where the other operand is a sum
// of such operations that nothing else reads: the gradients of an embedding that is also the output head. Where
// such a sum is then added to a sum over microbatches, it begins with that.
//
// The product moves to its addition. Its only reader is the addition; the other operand is in memory anyway:
// it is not a function of elements that would have been part of the addition's program.
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
  sum *sums;       // by node: an addition
  bool *moves;     // by value: a product that is computed by its addition
  xlm_val *begins; // by node: the sum over microbatches, operand 0 of `accumulate`, that it adds to; 0: none
  xlm_val *total;  // by node `accumulate`: the value that is its result
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

// The first term of v, where v is a sum of operations that can add into an accumulator, each read by the next
// only and the last by `reader`. 0: it is none.
static xlm_node first_term(const residuals *r, xlm_val v, const xlm_node_info *reader) {
  for (;;) {
    xlm_node id = r->g->values[v].def;
    const xlm_node_info *n = &r->g->nodes[id];
    if (r->uses[v] != 1 || !run_together(r, n, reader)) return 0;
    if (xlm_op_facts_of(n->op)->accumulating) return id;
    bool adds = xlm_op_facts_of(n->op)->sums && !xlm_op_facts_of(n->op)->addend;
    if (!adds && !r->sums[id].into) return 0;
    v = adds ? n->in[0] : r->sums[id].other;
  }
}

static bool takes_accumulator(const residuals *r, const xlm_node_info *p, xlm_val other) {
  return xlm_op_facts_of(p->op)->accumulating && xlm_val_type(r->g, other)->dtype == XLM_F32 &&
         first_term(r, other, p);
}

// Is v in memory when the product p runs, whatever is fused?
static bool is_stored(const residuals *r, xlm_val v, xlm_node p) {
  const xlm_node_info *n = xlm_val_node(r->g, v);
  bool fusable = xlm_op_at(n->op)->flags & (XLM_OPF_ELEMENTWISE | XLM_OPF_ROWS);
  return !fusable || r->sums[r->g->values[v].def].product || (r->g->values[v].def < p && r->uses[v] > 1);
}

static sum sum_with(const residuals *r, const xlm_node_info *n, xlm_val product, xlm_val other) {
  const xlm_graph *g = r->g;
  const xlm_node_info *p = xlm_val_node(g, product);
  const xlm_value *v = &g->values[product], *o = &g->values[other];
  sum none = {0};
  if (product == other || r->uses[product] != 1 || p->phase != n->phase || p->stage != n->stage) return none;
  if (!xlm_same_type(&v->type, &o->type) || !xlm_same_type(&v->type, xlm_val_type(g, n->out)) ||
      v->partial != o->partial || is_ragged(g, &v->type) || xlm_is_updated(g, v->def, g->values[n->out].def))
    return none;
  bool into = takes_accumulator(r, p, other);
  bool adds = into || (takes_residual(g, p) && v->type.rank > 0 && is_stored(r, other, v->def));
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

// accumulate(acc, sum): the first term adds to acc.
static void find_total(residuals *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  int addend = xlm_op_facts_of(n->op)->addend;
  if (!addend || !xlm_is_leaf(xlm_val_node(r->g, n->in[0]))) return;
  xlm_val v = n->in[addend - 1];
  xlm_node first = first_term(r, v, n);
  if (!first || !xlm_same_type(xlm_val_type(r->g, n->in[0]), xlm_val_type(r->g, v)) ||
      xlm_is_updated(r->g, first, id))
    return;
  r->begins[first] = n->in[0];
  r->total[id] = v;
}

static void find(residuals *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    sum s = r->sums[id] = sum_of(r, &r->g->nodes[id]);
    if (s.product) r->moves[s.product] = true;
    find_total(r, id);
  }
}

// ---- the graph ----

static xlm_val leaf(residuals *r, xlm_val v) { // may come later in the graph
  if (!r->map[v]) xlm_copy_node(r->out, r->g, r->g->values[v].def, r->map, r->map);
  return r->map[v];
}

// The operation of node p in place of n: with acc in front of its operands, or residual behind; 0: without.
static void emit_product(residuals *r, const xlm_node_info *n, const xlm_node_info *p, xlm_val acc, xlm_val residual) {
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
  bool copied = n->n_out && r->map[n->out];
  if (copied || (n->n_out && r->moves[n->out])) return;
  if (r->total[id])
    r->map[n->out] = r->map[r->total[id]];
  else if (r->begins[id])
    emit_product(r, n, n, leaf(r, r->begins[id]), 0);
  else if (s.product)
    emit_product(r, n, xlm_val_node(r->g, s.product), s.into ? r->map[s.other] : 0, s.into ? 0 : r->map[s.other]);
  else
    xlm_copy_node(r->out, r->g, id, r->map, r->map);
}

xlm_graph *xlm_pass_residual(const xlm_graph *g, xlm_arena *a, bool split_weights) {
  residuals r = {.g = g, .out = xlm_graph_like(g), .split_weights = split_weights};
  r.b = xlm_build_new(r.out);
  r.map = XLM_NEW_N(a, xlm_val, g->n_values);
  r.moves = XLM_NEW_N(a, bool, g->n_values);
  r.sums = XLM_NEW_N(a, sum, g->n_nodes);
  r.begins = XLM_NEW_N(a, xlm_val, g->n_nodes);
  r.total = XLM_NEW_N(a, xlm_val, g->n_nodes);
  r.uses = xlm_graph_uses(g, a);
  xlm_graph_reserve(r.out, g->n_nodes, g->n_values);
  find(&r);
  for (xlm_node id = 1; id < g->n_nodes; id++) emit(&r, id);
  xlm_copy_list(r.out, &r.out->outputs, &g->outputs, r.map);
  xlm_copy_list(r.out, &r.out->metrics, &g->metrics, r.map);
  xlm_copy_list(r.out, &r.out->losses, &g->losses, r.map);
  xlm_copy_updates(r.out, g, r.map);
  return r.out;
}
