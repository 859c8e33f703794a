// Merge loss: a loss and its gradient become one node, which goes over the logits once. In late_loss and
// chunk_loss they have come to stand in one phase. A gradient of the loss that depends on the loss itself, or
// that is computed after it, leaves them apart, and so does a reader of the loss's other result (a
// log-sum-exp per token): over a split vocabulary that is a reduction over ranks.
#include "compiler/pass/pass_priv.h"

typedef struct merge {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_build b;
  xlm_val *map;
  xlm_node *gradient; // by node: of a loss, the node of its gradient; 0: they stay apart
  bool *merged;       // by node: a gradient that its loss computes
} merge;

// Operands of the gradient: logits, targets, the loss's result 1, the gradient of the loss, others.
static bool reads_the_same(const xlm_node_info *loss, const xlm_node_info *gradient) {
  if (gradient->n_in != loss->n_in + 2 || gradient->in[2] != loss->out + 1) return false;
  for (int i = 0; i < loss->n_in; i++)
    if (gradient->in[i < 2 ? i : i + 2] != loss->in[i]) return false;
  return true;
}

static bool is_before(const xlm_graph *g, xlm_val v, xlm_node id) {
  return g->values[v].def < id || xlm_is_leaf(xlm_val_node(g, v));
}

static void find(merge *m, const uint32_t *uses) {
  for (xlm_node id = 1; id < m->g->n_nodes; id++) {
    const xlm_node_info *n = &m->g->nodes[id];
    xlm_node def = n->n_in > 3 ? m->g->values[n->in[2]].def : 0;
    const xlm_node_info *loss = &m->g->nodes[def];
    if (!def || xlm_op_facts_of(loss->op)->gradient != n->op || !reads_the_same(loss, n)) continue;
    if (uses[loss->out + 1] != 1 || !is_before(m->g, n->in[3], def) ||
        xlm_attrs_differ(&loss->attrs, &n->attrs) >= 0)
      continue;
    if (loss->phase != n->phase || loss->stage != n->stage) continue;
    m->gradient[def] = id;
    m->merged[id] = true;
  }
}

static void emit_both(merge *m, xlm_node id) {
  const xlm_node_info *loss = &m->g->nodes[id], *gradient = &m->g->nodes[m->gradient[id]];
  xlm_val in[XLM_MAX_RANK] = {m->map[loss->in[0]], m->map[loss->in[1]], m->map[gradient->in[3]]};
  for (int i = 2; i < loss->n_in; i++) in[i + 1] = m->map[loss->in[i]];
  xlm_attr_list l = xlm_attr_list_from(m->out->arena, &loss->attrs);
  xlm_build_context(&m->b, loss);
  m->b.phase = loss->phase;
  xlm_val both = xlm_emit(&m->b, xlm_op_facts_of(loss->op)->with_gradient, in, loss->n_in + 1, &l);
  const xlm_val old[] = {gradient->out, loss->out};
  for (xlm_val i = 0; i < 2; i++) {
    xlm_val_at(m->out, both + i)->name = m->g->values[old[i]].name;
    xlm_val_at(m->out, both + i)->partial = m->g->values[old[i]].partial;
    m->map[old[i]] = both + i;
  }
}

static void emit(merge *m, xlm_node id) {
  const xlm_node_info *n = &m->g->nodes[id];
  if (m->merged[id] || (xlm_is_leaf(n) && m->map[n->out])) return;
  if (!m->gradient[id]) {
    xlm_copy_node(m->out, m->g, id, m->map, m->map);
    return;
  }
  xlm_val dloss = m->g->nodes[m->gradient[id]].in[3];
  if (!m->map[dloss]) xlm_copy_node(m->out, m->g, m->g->values[dloss].def, m->map, m->map); // a leaf
  emit_both(m, id);
}

xlm_graph *xlm_pass_merge_loss(const xlm_graph *g, xlm_arena *a) {
  merge m = {.g = g, .out = xlm_graph_like(g)};
  m.b = xlm_build_new(m.out);
  m.map = XLM_NEW_N(a, xlm_val, g->n_values);
  m.gradient = XLM_NEW_N(a, xlm_node, g->n_nodes);
  m.merged = XLM_NEW_N(a, bool, g->n_nodes);
  xlm_graph_reserve(m.out, g->n_nodes, g->n_values);
  find(&m, xlm_graph_uses(g, a));
  for (xlm_node id = 1; id < g->n_nodes; id++) emit(&m, id);
  xlm_copy_ends(m.out, g, m.map);
  return m.out;
}
