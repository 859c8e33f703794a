// Copies nodes and lists from graph to graph; see pass_priv.h.
#include <string.h>

#include "compiler/pass/pass_priv.h"

bool xlm_same_type(const xlm_type *a, const xlm_type *b) {
  return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

xlm_val xlm_view_root(const xlm_graph *g, xlm_val v) {
  while (xlm_is_view(xlm_val_node(g, v))) v = xlm_val_node(g, v)->in[0];
  return v;
}

xlm_attr_list xlm_attrs_with(xlm_arena *a, const xlm_attrs *as, xlm_dim from, xlm_dim to) {
  xlm_attr_list l = xlm_attr_list_from(a, as);
  for (int i = 0; i < as->n; i++) {
    xlm_attr_key key = as->at[i].key;
    if (xlm_attr_kind_of(key) != XLM_ATTR_DIMS || !xlm_attr_has_dim(as, key, from)) continue;
    xlm_dim dims[XLM_MAX_RANK];
    int count = xlm_attr_dims(as, key, dims);
    for (int k = 0; k < count; k++)
      if (dims[k] == from) dims[k] = to;
    xlm_attr_put_dims(&l, key, dims, count);
  }
  return l;
}

xlm_node xlm_copy_node(xlm_graph *to, const xlm_graph *from, xlm_node n, const xlm_val *read,
                       xlm_val *write) {
  const xlm_node_info *old = &from->nodes[n];
  xlm_node_info copy = *old;
  xlm_val *in = XLM_NEW_N(to->tables, xlm_val, old->n_in);
  for (int i = 0; i < old->n_in; i++) {
    in[i] = read[old->in[i]];
    XLM_ASSERT(in[i], "operand %d of node %u (%s) was dropped", i, n, xlm_op_at(old->op)->name);
  }
  copy.in = in;
  copy.out = old->n_out ? to->n_values : 0;
  for (int i = 0; i < old->n_out; i++) {
    xlm_value v = from->values[old->out + (xlm_val)i];
    v.def = to->n_nodes;
    bool own = v.ragged_by && from->values[v.ragged_by].def == n; // the node makes these offsets itself
    if (v.ragged_by) v.ragged_by = own ? copy.out + (v.ragged_by - old->out) : read[v.ragged_by];
    XLM_PUSH(to->tables, to->values, to->n_values, to->cap_values, v);
  }
  for (int i = 0; i < old->n_out; i++) write[old->out + (xlm_val)i] = copy.out + (xlm_val)i;
  XLM_PUSH(to->tables, to->nodes, to->n_nodes, to->cap_nodes, copy);
  return to->n_nodes - 1;
}

static xlm_val offsets_of(const xlm_graph *g, const xlm_val *in, int n) {
  for (int i = 0; i < n; i++)
    if (g->values[in[i]].ragged_by) return g->values[in[i]].ragged_by;
  return 0;
}

xlm_val xlm_copy_with(xlm_build *b, const xlm_graph *from, xlm_node n, const xlm_val *in) {
  xlm_graph *g = b->g;
  const xlm_node_info *old = &from->nodes[n];
  xlm_val *operands = XLM_NEW_N(g->tables, xlm_val, old->n_in);
  if (old->n_in) memcpy(operands, in, old->n_in * sizeof *in);
  xlm_node_info copy = {.op = old->op,
                        .phase = b->phase,
                        .n_in = old->n_in,
                        .n_out = old->n_out,
                        .in = operands,
                        .out = old->n_out ? g->n_values : 0,
                        .attrs = old->attrs,
                        .span = b->span,
                        .scope = b->scope,
                        .round = b->round,
                        .stage = b->stage,
                        .recompute = b->recompute};
  for (int i = 0; i < old->n_out; i++) {
    xlm_value v = from->values[old->out + (xlm_val)i];
    bool own = v.ragged_by && from->values[v.ragged_by].def == n;
    v.def = g->n_nodes;
    if (v.ragged_by) v.ragged_by = own ? copy.out + (v.ragged_by - old->out) : offsets_of(g, in, old->n_in);
    XLM_PUSH(g->tables, g->values, g->n_values, g->cap_values, v);
  }
  XLM_PUSH(g->tables, g->nodes, g->n_nodes, g->cap_nodes, copy);
  return copy.out;
}

void xlm_copy_list(xlm_graph *to, xlm_vals *into, const xlm_vals *list, const xlm_val *map) {
  for (uint32_t i = 0; i < list->n; i++)
    xlm_vals_add(to, into, list->at[i].name, map[list->at[i].val], list->at[i].span);
}

void xlm_copy_updates(xlm_graph *to, const xlm_graph *from, const xlm_val *map) {
  for (uint32_t i = 0; i < from->n_updates; i++)
    xlm_graph_update(to, map[from->updates[i].state], map[from->updates[i].val]);
}

void xlm_copy_ends(xlm_graph *to, const xlm_graph *from, const xlm_val *map) {
  xlm_copy_list(to, &to->outputs, &from->outputs, map);
  xlm_copy_list(to, &to->metrics, &from->metrics, map);
  xlm_copy_list(to, &to->losses, &from->losses, map);
  xlm_copy_updates(to, from, map);
}

static void mark(const xlm_graph *g, bool *live, xlm_val v) {
  live[g->values[v].def] = true;
}

static bool *live_nodes(const xlm_graph *g, xlm_arena *a) {
  bool *live = XLM_NEW_N(a, bool, g->n_nodes);
  const xlm_vals *lists[] = {&g->outputs, &g->metrics, &g->losses};
  for (int l = 0; l < 3; l++)
    for (uint32_t i = 0; i < lists[l]->n; i++) mark(g, live, lists[l]->at[i].val);
  for (uint32_t i = 0; i < g->n_updates; i++) {
    mark(g, live, g->updates[i].state);
    mark(g, live, g->updates[i].val);
  }
  for (xlm_node n = g->n_nodes; n-- > 1;) {
    const xlm_node_info *node = &g->nodes[n];
    for (int i = 0; live[n] && i < node->n_in; i++) mark(g, live, node->in[i]);
    for (int i = 0; live[n] && i < node->n_out; i++) {
      xlm_val offsets = g->values[node->out + (xlm_val)i].ragged_by;
      if (offsets) mark(g, live, offsets);
    }
  }
  return live;
}

// Moves a node down in its table, and its results in theirs.
static void move_node(xlm_graph *g, xlm_node from, xlm_node to, xlm_val *map, xlm_val out) {
  xlm_node_info n = g->nodes[from];
  xlm_val *in = XLM_NEW_N(g->tables, xlm_val, n.n_in), old = n.out;
  for (int i = 0; i < n.n_in; i++) in[i] = map[n.in[i]];
  n.in = in;
  n.out = n.n_out ? out : 0;
  for (xlm_val i = 0; i < n.n_out; i++) map[old + i] = out + i;
  for (xlm_val i = 0; i < n.n_out; i++) {
    xlm_value v = g->values[old + i];
    v.def = to;
    v.ragged_by = map[v.ragged_by];
    g->values[out + i] = v;
  }
  g->nodes[to] = n;
}

static void map_list(xlm_vals *list, const xlm_val *map) {
  for (uint32_t i = 0; i < list->n; i++) list->at[i].val = map[list->at[i].val];
}

void xlm_drop_dead(xlm_graph *g, xlm_arena *scratch) {
  bool *live = live_nodes(g, scratch);
  xlm_val *map = XLM_NEW_N(scratch, xlm_val, g->n_values), values = 1;
  xlm_node nodes = 1;
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    uint16_t n_out = g->nodes[n].n_out;
    if (!live[n]) continue;
    move_node(g, n, nodes++, map, values);
    values += n_out;
  }
  g->n_nodes = nodes;
  g->n_values = values;
  map_list(&g->outputs, map);
  map_list(&g->metrics, map);
  map_list(&g->losses, map);
  for (uint32_t i = 0; i < g->n_updates; i++)
    g->updates[i] = (xlm_update){map[g->updates[i].state], map[g->updates[i].val]};
}
