// Fuse: every elementwise node becomes part of a `fused` node, one pass over memory per cluster; functions of
// rows, and sums over the leading dims, of what it computes or reads are parts of it, too. A product that is
// only added to an accumulator becomes one node with the addition.
#include "compiler/pass/fuse_priv.h"

// The value that n adds to a sum over microbatches; 0: it is not such a sum.
static xlm_val addend_of(const xlm_node_info *n) {
  int addend = xlm_op_facts_of(n->op)->addend;
  return addend ? n->in[addend - 1] : 0;
}

// accumulate(acc, contract(x, y)) -> contract_acc(acc, x, y), if the product has no other reader.
static void find_accumulated_products(xlm_fuse *f) {
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    xlm_val v = addend_of(n);
    if (!v) continue;
    xlm_node def = f->g->values[v].def;
    const xlm_type *acc = xlm_val_type(f->g, n->in[0]), *product = xlm_val_type(f->g, v);
    if (xlm_op_facts_of(f->g->nodes[def].op)->accumulating && f->uses[v] == 1 &&
        f->g->nodes[def].phase == n->phase && acc->dtype == product->dtype && xlm_same_dims(acc, product))
      f->contract_into[def] = id;
  }
}

static void emit_accumulated(xlm_fuse *f, xlm_node id, xlm_node product) {
  const xlm_node_info *n = &f->g->nodes[id], *c = &f->g->nodes[product];
  xlm_val *in = XLM_NEW_N(f->a, xlm_val, c->n_in + 1);
  xlm_build_context(&f->b, n);
  f->b.phase = n->phase;
  in[0] = f->map[n->in[0]];
  for (int i = 0; i < c->n_in; i++) in[i + 1] = xlm_fuse_operand(f, c->in[i]);
  xlm_attr_list l = xlm_attr_list_from(f->out->arena, &c->attrs);
  f->map[n->out] = xlm_emit(&f->b, xlm_op_facts_of(c->op)->accumulating, in, c->n_in + 1, &l);
  xlm_val_at(f->out, f->map[n->out])->name = f->g->values[n->out].name;
  f->out->nodes[f->out->n_nodes - 1].stage = n->stage;
}

static void emit_all(xlm_fuse *f) {
  for (xlm_node id = 1; id < f->g->n_nodes; id++) {
    const xlm_node_info *n = &f->g->nodes[id];
    uint32_t c = f->of[id] ? xlm_fuse_root(f, f->of[id]) : 0;
    if (c && f->clusters[c].last == id) xlm_fuse_emit_cluster(f, c);
    if (c || xlm_node_is(n, XLM_LEAF_CONSTANT) || f->contract_into[id] || f->inlined[id]) continue;
    xlm_node product = addend_of(n) ? f->g->values[addend_of(n)].def : 0;
    if (product && f->contract_into[product] == id)
      emit_accumulated(f, id, product);
    else
      xlm_fuse_copy(f, id, n->phase);
  }
}

static void copy_list(xlm_fuse *f, const xlm_vals *from, xlm_vals *to) {
  for (uint32_t i = 0; i < from->n; i++) {
    f->b = xlm_build_new(f->out);
    f->b.phase = xlm_val_node(f->g, from->at[i].val)->phase;
    xlm_vals_add(f->out, to, from->at[i].name, xlm_fuse_operand(f, from->at[i].val), from->at[i].span);
  }
}

xlm_graph *xlm_pass_fuse(const xlm_graph *g, xlm_arena *a, const xlm_mesh *mesh, bool split_weights) {
  xlm_graph *ordered = xlm_fuse_order(g, a);
  xlm_fuse f = {.g = ordered, .out = xlm_graph_like(g), .a = a, .mesh = mesh, .split_weights = split_weights};
  f.b = xlm_build_new(f.out);
  f.map = XLM_NEW_N(a, xlm_val, g->n_values);
  f.contract_into = XLM_NEW_N(a, xlm_node, g->n_nodes);
  for (int p = 0; p < XLM_PHASES; p++) f.constants[p] = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(f.out, g->n_nodes, g->n_values);
  xlm_fuse_find_clusters(&f);
  find_accumulated_products(&f);
  emit_all(&f);
  copy_list(&f, &f.g->outputs, &f.out->outputs);
  copy_list(&f, &f.g->metrics, &f.out->metrics);
  copy_list(&f, &f.g->losses, &f.out->losses);
  for (uint32_t i = 0; i < f.g->n_updates; i++)
    xlm_graph_update(f.out, f.map[f.g->updates[i].state], f.map[f.g->updates[i].val]);
  xlm_graph_free(ordered);
  return f.out;
}
