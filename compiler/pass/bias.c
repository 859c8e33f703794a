// Bias: a product to which a bias is added does so itself, before its sums are rounded to the result's type.
// The addition would read and write the whole product again.
//
// The pass runs on the graph of a rank: where the summed dimension is split, the product is a partial sum,
// and the bias is added once, after the reduction. The product moves to its addition, and must have no other
// reader than additions of the same bias: recomputation evaluates an addition again, and must find the same
// bits as without it.
#include "compiler/pass/bias.h"

#include <string.h>

typedef struct biases {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_build b;
  xlm_val *map;
  xlm_node *first; // by value: of a product, the first addition of a bias to it; 0: none
  uint32_t *n;     // by value: of a product, how many additions there are of the bias that the first adds
} biases;

// ---- which additions ----

static bool is_sum(const xlm_node_info *n) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  return n->n_in == 2 && f->terms[0] == 1 && f->terms[1] == 1;
}

static bool is_last_of(const xlm_type *bias, const xlm_type *product) {
  int first = product->rank - bias->rank;
  return bias->rank && first >= 0 && bias->dtype == product->dtype &&
         !memcmp(bias->dim, product->dim + first, bias->rank * sizeof *bias->dim);
}

// Are they the dimensions that only operand 1 of the product has?
static bool are_own(const xlm_graph *g, const xlm_node_info *product, const xlm_type *bias) {
  const xlm_type *x = xlm_val_type(g, product->in[0]), *y = xlm_val_type(g, product->in[1]);
  int own = 0;
  for (int i = 0; i < y->rank; i++) own += xlm_type_find(x, y->dim[i]) < 0;
  for (int i = 0; i < bias->rank; i++)
    if (xlm_type_find(x, bias->dim[i]) >= 0) return false;
  return own == bias->rank;
}

static bool adds_bias(const xlm_graph *g, const xlm_node_info *n, xlm_val product, xlm_val bias) {
  const xlm_node_info *p = xlm_val_node(g, product);
  return xlm_op_facts_of(p->op)->biased && p->n_in == 2 && p->phase <= n->phase && p->stage == n->stage &&
         !g->values[product].partial && !g->values[bias].partial &&
         xlm_same_type(xlm_val_type(g, product), xlm_val_type(g, n->out)) &&
         is_last_of(xlm_val_type(g, bias), xlm_val_type(g, product)) && are_own(g, p, xlm_val_type(g, bias));
}

xlm_bias xlm_bias_of(const xlm_graph *g, const xlm_node_info *n) {
  for (int i = 0; is_sum(n) && i < 2; i++)
    if (adds_bias(g, n, n->in[i], n->in[1 - i])) return (xlm_bias){n->in[i], n->in[1 - i]};
  return (xlm_bias){0};
}

// ---- which products ----

bool xlm_is_uncut(const xlm_graph *g, xlm_node a, xlm_node b) {
  int32_t round = g->nodes[a].round;
  if (round != g->nodes[b].round) return false;
  for (xlm_node id = a; round < 0 && id < b; id++)
    if (g->nodes[id].round >= 0) return false;
  return true;
}

bool xlm_is_updated(const xlm_graph *g, xlm_node product, xlm_node addition) {
  const xlm_node_info *of = &g->nodes[product];
  for (xlm_node id = product + 1; id < addition; id++)
    for (int i = 0; i < xlm_op_at(g->nodes[id].op)->n_alias; i++)
      for (int k = 0; k < of->n_in; k++)
        if (xlm_view_root(g, of->in[k]) == g->nodes[id].in[i]) return true;
  return false;
}

static void find(biases *p, xlm_arena *a) {
  const xlm_graph *g = p->g;
  const uint32_t *uses = xlm_graph_uses(g, a);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    xlm_bias x = xlm_bias_of(g, &g->nodes[id]);
    if (!x.product) continue;
    xlm_node *first = &p->first[x.product];
    xlm_node def = g->values[x.product].def;
    bool near = g->nodes[def].phase == g->nodes[id].phase && xlm_is_uncut(g, def, id);
    if (!*first && near && !xlm_is_updated(g, def, id)) *first = id;
    p->n[x.product] += *first && xlm_bias_of(g, &g->nodes[*first]).bias == x.bias;
  }
  for (xlm_val v = 1; v < g->n_values; v++)
    if (p->n[v] != uses[v]) p->first[v] = 0;
}

// ---- the graph ----

static void emit_biased(biases *p, xlm_node addition, xlm_bias x) {
  const xlm_node_info *n = &p->g->nodes[addition], *product = xlm_val_node(p->g, x.product);
  xlm_val in[] = {p->map[product->in[0]], p->map[product->in[1]], p->map[x.bias]};
  xlm_attr_list l = xlm_attr_list_from(p->out->arena, &product->attrs);
  xlm_build_context(&p->b, n);
  p->b.phase = n->phase;
  xlm_val v = xlm_emit(&p->b, xlm_op_facts_of(product->op)->biased, in, 3, &l);
  xlm_val_at(p->out, v)->name = p->g->values[n->out].name;
  p->map[n->out] = v;
}

static void emit(biases *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  if (n->n_out && p->first[n->out]) return; // it moves to the addition
  xlm_bias x = xlm_bias_of(p->g, n);
  xlm_node first = x.product ? p->first[x.product] : 0;
  if (!first)
    xlm_copy_node(p->out, p->g, id, p->map, p->map);
  else if (first == id)
    emit_biased(p, id, x);
  else
    p->map[n->out] = p->map[p->g->nodes[first].out];
}

xlm_graph *xlm_pass_bias(const xlm_graph *g, xlm_arena *a) {
  biases p = {.g = g, .out = xlm_graph_like(g)};
  p.b = xlm_build_new(p.out);
  p.map = XLM_NEW_N(a, xlm_val, g->n_values);
  p.first = XLM_NEW_N(a, xlm_node, g->n_values);
  p.n = XLM_NEW_N(a, uint32_t, g->n_values);
  xlm_graph_reserve(p.out, g->n_nodes, g->n_values);
  find(&p, a);
  for (xlm_node id = 1; id < g->n_nodes; id++) emit(&p, id);
  xlm_copy_ends(p.out, g, p.map);
  return p.out;
}
