// Partition, part 2: emits the graph of one rank. Nodes are emitted in order with local dimensions; operands
// are converted to the layouts that the node needs (partition_convert.c).
#include "compiler/pass/partition_emit_priv.h"

static int list_of(const xlm_node_info *n, int operand) {
  return xlm_layout_list(xlm_op_at(n->op), &n->attrs, n->n_in, operand);
}

// The local dimension for logical dimension d in this node: that of the operands to which the key refers.
static xlm_dim map_dim(xlm_emitter *e, const xlm_node_info *n, const xlm_val *in, const xlm_node_layouts *l,
                       xlm_attr_key key, xlm_dim d) {
  const xlm_layout_rule *r = &e->p->op_rules[n->op];
  for (int pass = 0; pass < 2; pass++) // operands whose rule names the key first
    for (int i = 0; i < n->n_in; i++) {
      int at = xlm_type_find(xlm_val_type(e->p->g, n->in[i]), d);
      if (at >= 0 && (pass == 1 || xlm_layout_mentions(r, false, list_of(n, i), key)))
        return xlm_val_type(e->out, in[i])->dim[at];
    }
  for (int i = 0; i < n->n_out; i++) {
    int at = xlm_type_find(xlm_val_type(e->p->g, n->out + (xlm_val)i), d);
    if (at >= 0) return e->p->g->dims[d].ragged ? 0 : xlm_partition_dim(e, d, l->out[i].axes[at]);
  }
  return e->p->g->dims[d].ragged ? 0 : d;
}

static xlm_attr_list map_attrs(xlm_emitter *e, xlm_node id, const xlm_val *in) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  xlm_attr_list l = xlm_attr_list_from(e->out->arena, &n->attrs);
  for (int i = 0; i < l.n; i++) {
    xlm_attr *a = &l.at[i];
    if (xlm_attr_kind_of(a->key) != XLM_ATTR_DIMS) continue;
    bool known = true;
    for (uint32_t k = 0; k < a->n; k++)
      known &= (a->dims[k] = map_dim(e, n, in, &e->p->nodes[id], a->key, a->dims[k])) != 0;
    if (!known) xlm_attr_drop(&l, l.at[i--].key); // a ragged dimension that the op creates
  }
  return l;
}

static void bind_results(xlm_emitter *e, xlm_node id, xlm_val first) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  for (int i = 0; i < n->n_out; i++) {
    e->map[n->out + (xlm_val)i] = first + (xlm_val)i;
    xlm_value *v = xlm_val_at(e->out, first + (xlm_val)i);
    v->name = e->p->g->values[n->out + (xlm_val)i].name;
    v->partial = e->p->have[n->out + (xlm_val)i].partial;
  }
}

static void context(xlm_emitter *e, const xlm_node_info *n) {
  xlm_build_context(&e->b, n);
  e->b.phase = n->phase;
}

static void emit_leaf(xlm_emitter *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  const xlm_type *t = xlm_val_type(e->p->g, n->out);
  xlm_attr_list l = xlm_attr_list_from(e->out->arena, &n->attrs);
  xlm_dim dims[XLM_MAX_RANK];
  for (int i = 0; i < t->rank; i++) dims[i] = xlm_partition_dim(e, t->dim[i], e->p->have[n->out].axes[i]);
  if (xlm_attr_find(&n->attrs, XLM_A_dims)) xlm_attr_put_dims(&l, XLM_A_dims, dims, t->rank);
  context(e, n);
  bind_results(e, id, xlm_emit(&e->b, n->op, NULL, 0, &l));
}

// An additive operation (norm_sq): one result per distinct split, each reduced over its own axes; its reader
// adds them up.
static void emit_parts(xlm_emitter *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  const xlm_node_layouts *l = &e->p->nodes[id];
  bool *done = XLM_NEW_N(e->a, bool, n->n_in);
  xlm_val *in = XLM_NEW_N(e->a, xlm_val, n->n_in);
  xlm_parts *p = &e->parts[n->out];
  p->at = XLM_NEW_N(e->a, xlm_val, n->n_in);
  context(e, n);
  for (int i = 0; i < n->n_in; i++) in[i] = xlm_partition_convert(e, n->in[i], &l->in[i]);
  for (int i = 0; i < n->n_in; i++) {
    if (done[i]) continue;
    uint32_t axes = xlm_layout_axes(&l->in[i], xlm_val_rank(e->p, n->in[i]));
    xlm_val *group = XLM_NEW_N(e->a, xlm_val, n->n_in);
    int count = 0;
    for (int j = i; j < n->n_in; j++) {
      if (xlm_layout_axes(&l->in[j], xlm_val_rank(e->p, n->in[j])) != axes) continue;
      group[count++] = in[j];
      done[j] = true;
    }
    xlm_val sum = xlm_emit(&e->b, n->op, group, count, NULL);
    xlm_val_at(e->out, sum)->partial = axes;
    p->at[p->n++] = xlm_partition_complete(e, n->out, sum, axes);
  }
  e->map[n->out] = p->at[0];
}

static void emit_sum_of_parts(xlm_emitter *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  context(e, n);
  xlm_val *in = NULL;
  uint32_t n_in = 0, cap = 0;
  for (int i = 0; i < n->n_in; i++) {
    const xlm_parts *p = &e->parts[n->in[i]];
    for (int k = 0; k < p->n; k++) XLM_PUSH(e->a, in, n_in, cap, p->at[k]);
    if (!p->n) XLM_PUSH(e->a, in, n_in, cap, xlm_partition_convert(e, n->in[i], &e->p->nodes[id].in[i]));
  }
  xlm_attr_list l = xlm_attr_list_from(e->out->arena, &n->attrs);
  bind_results(e, id, xlm_emit(&e->b, n->op, in, (int)n_in, &l));
}

// A gradient summed over microbatches is complete in the last one.
static void reduce_early(xlm_emitter *e, const xlm_node_info *n, xlm_val v) {
  if (!e->p->early[v]) return;
  context(e, n);
  if (xlm_op_facts_of(n->op)->sums) e->b.phase = XLM_PHASE_LAST;
  xlm_partition_convert(e, v, e->p->early[v]);
}

// A state keeps its own layout: the result of an op in another layout is stored back at once.
static void store(xlm_emitter *e, const xlm_node_info *n, xlm_val v) {
  const xlm_update *u = e->update[v];
  if (!u || xlm_layout_equal(&e->p->have[u->state], &e->p->have[v], xlm_val_rank(e->p, u->state))) return;
  context(e, n);
  xlm_val now = xlm_partition_convert(e, v, &e->p->have[u->state]);
  e->stored[u->state] = xlm_op2(&e->b, XLM_OP_ASSIGN, e->map[u->state], now);
}

static const char *group_name(const xlm_emitter *e, uint32_t axes) {
  xlm_text name = xlm_text_new(e->out->arena);
  for (int a = 0; a < e->p->o.mesh.n; a++)
    if (axes >> a & 1) xlm_text_printf(&name, "%s%s", name.n ? "." : "", e->p->o.mesh.axis[a]);
  return name.data;
}

static void bind_cut(xlm_emitter *e, xlm_node id, const xlm_val *out) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  for (int i = 0; i < n->n_out; i++) {
    xlm_val old = n->out + (xlm_val)i;
    e->map[old] = out[i];
    if (!out[i]) continue; // unused
    xlm_val_at(e->out, out[i])->partial = e->p->have[old].partial;
    xlm_val_at(e->out, out[i])->name = e->p->g->values[old].name;
    reduce_early(e, n, old);
    store(e, n, old);
  }
}

static void emit_cut(xlm_emitter *e, xlm_node id, xlm_dim along, uint32_t axes) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  xlm_val *in = XLM_NEW_N(e->a, xlm_val, n->n_in), out[8] = {0};
  context(e, n);
  for (int i = 0; i < n->n_in; i++) in[i] = xlm_partition_convert(e, n->in[i], &e->p->nodes[id].in[i]);
  xlm_attr_list l = map_attrs(e, id, in);
  xlm_attrs attrs = xlm_attr_freeze(&l);
  xlm_cut cut = {.b = &e->b,
                 .in = in,
                 .n_in = n->n_in,
                 .attrs = &attrs,
                 .axes = axes,
                 .full = e->p->g->dims[along].full,
                 .sizes = xlm_partition_sizes(e, along, 0, axes),
                 .group = group_name(e, axes),
                 .member = xlm_mesh_member(&e->p->o.mesh, axes, e->coord),
                 .out = out};
  xlm_op_at(n->op)->cut(&cut);
  bind_cut(e, id, out);
}

static void emit_node(xlm_emitter *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  xlm_val *in = XLM_NEW_N(e->a, xlm_val, n->n_in);
  context(e, n);
  for (int i = 0; i < n->n_in; i++) in[i] = xlm_partition_convert(e, n->in[i], &e->p->nodes[id].in[i]);
  xlm_attr_list l = map_attrs(e, id, in);
  int n_in = n->n_in;
  if ((xlm_op_at(n->op)->flags & XLM_OPF_OFFSETS) &&
      n_in > 1) { // the layout may have changed the offsets: derive them again
    xlm_val last = n->in[n_in - 1];
    for (int i = 0; i < n->n_in - 1; i++)
      if (e->p->g->values[n->in[i]].ragged_by == last) {
        n_in--;
        break;
      }
  }
  bind_results(e, id, xlm_emit(&e->b, n->op, in, n_in, &l));
  for (int i = 0; i < n->n_out; i++) reduce_early(e, n, n->out + (xlm_val)i);
  for (int i = 0; i < n->n_out; i++) store(e, n, n->out + (xlm_val)i);
}

static void emit_one(xlm_emitter *e, xlm_node id) {
  xlm_dim along;
  uint32_t axes = xlm_partition_cut_axes(e->p, id, &along);
  if (axes)
    emit_cut(e, id, along, axes);
  else
    emit_node(e, id);
}

// The context for nodes at the end of the graph: its last phase.
static void context_at_end(xlm_emitter *e, const xlm_node_info *n) {
  context(e, n);
  e->b.phase = e->out->nodes[e->out->n_nodes - 1].phase;
}

static void emit_updates(xlm_emitter *e) {
  const xlm_graph *g = e->p->g;
  for (uint32_t i = 0; i < g->n_updates; i++) {
    xlm_val state = g->updates[i].state;
    xlm_graph_update(e->out, e->map[state], e->stored[state] ? e->stored[state] : e->map[g->updates[i].val]);
  }
}

static void emit_list(xlm_emitter *e, const xlm_vals *from, xlm_vals *to) {
  for (uint32_t i = 0; i < from->n; i++) {
    context_at_end(e, xlm_val_node(e->p->g, from->at[i].val));
    xlm_vals_add(e->out, to, from->at[i].name, xlm_partition_convert(e, from->at[i].val, &(xlm_layout){0}),
                 from->at[i].span);
  }
}

xlm_graph *xlm_partition_emit(const xlm_partitioning *p, xlm_arena *a, const int32_t coord[XLM_MAX_AXES]) {
  xlm_emitter e = {.p = p, .coord = coord, .out = xlm_graph_like(p->g), .a = a};
  e.b = xlm_build_new(e.out);
  xlm_graph_reserve(e.out, p->g->n_nodes, p->g->n_values);
  e.pieces = XLM_NEW_N(a, xlm_pieces *, p->g->n_dims);
  e.map = XLM_NEW_N(a, xlm_val, p->g->n_values);
  e.parts = XLM_NEW_N(a, xlm_parts, p->g->n_values);
  e.ready = XLM_NEW_N(a, xlm_converted *, p->g->n_values);
  e.stored = XLM_NEW_N(a, xlm_val, p->g->n_values);
  e.update = XLM_NEW_N(a, const xlm_update *, p->g->n_values);
  for (uint32_t i = 0; i < p->g->n_updates; i++) e.update[p->g->updates[i].val] = &p->g->updates[i];
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    const xlm_node_info *n = &p->g->nodes[id];
    if (xlm_is_leaf(n))
      emit_leaf(&e, id);
    else if (xlm_op_facts_of(n->op)->additive)
      emit_parts(&e, id);
    else if (xlm_op_facts_of(n->op)->adds_operands)
      emit_sum_of_parts(&e, id);
    else
      emit_one(&e, id);
  }
  emit_updates(&e);
  emit_list(&e, &p->g->outputs, &e.out->outputs);
  emit_list(&e, &p->g->metrics, &e.out->metrics);
  emit_list(&e, &p->g->losses, &e.out->losses);
  return e.out;
}
