// Outputs at one place of the chunk, the last that counts: the logits from which the next token is chosen.
// What only they read, and what works on one place at a time, is computed at that place alone, from its rows
// of what is computed at all of them: the head and the last layer but for its attention.
#include "compiler/pass/incremental_priv.h"

typedef struct cut {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_dim chunk, place, batch;
  bool *live, *after; // by node: is computed; at the last place alone
  xlm_val *map, *row; // value -> out's, of the chunk and of that place; 0: not needed so far
  xlm_val count;      // g's
  xlm_val last;       // out's, i32 [batch, place]: the index in the chunk; 0: not needed so far
} cut;

// ---- what is computed at the last place

static bool has(const xlm_graph *g, xlm_val v, xlm_dim d) {
  return xlm_type_find(xlm_val_type(g, v), d) >= 0;
}

static void find_live(cut *c) {
  const xlm_graph *g = c->g;
  for (uint32_t i = 0; i < g->outputs.n; i++) c->live[xlm_val_at(g, g->outputs.at[i].val)->def] = true;
  for (uint32_t i = 0; i < g->n_updates; i++) c->live[xlm_val_at(g, g->updates[i].val)->def] = true;
  c->live[xlm_val_at(g, c->count)->def] = true;
  for (xlm_node n = g->n_nodes - 1; n; n--)
    for (int i = 0; c->live[n] && i < g->nodes[n].n_in; i++)
      c->live[xlm_val_at(g, g->nodes[n].in[i])->def] = true;
}

static bool is_row(const cut *c, xlm_val v) { // lookup takes the rows of real numbers of each sequence
  return has(c->g, v, c->batch) && xlm_val_type(c->g, v)->dtype != XLM_I32 && !xlm_val_at(c->g, v)->ragged_by;
}

// A node whose row at a place is a function of its operands' rows there, each of its own sequence.
static bool works_by_place(const cut *c, xlm_node id) {
  const xlm_node_info *n = &c->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  bool any = false;
  if (xlm_is_leaf(n) || op->n_alias || op->flags & XLM_OPF_RANDOM ||
      !xlm_op_is_local(n->op, &n->attrs, c->chunk))
    return false;
  for (int i = 0; i < n->n_in; i++) {
    bool rows = has(c->g, n->in[i], c->chunk);
    if (rows && !is_row(c, n->in[i])) return false;
    any |= rows;
  }
  for (int i = 0; i < n->n_out; i++)
    if (!has(c->g, n->out + (xlm_val)i, c->chunk) || !is_row(c, n->out + (xlm_val)i)) return false;
  return any && n->n_out;
}

static bool is_read(const bool *read, const xlm_node_info *n) {
  bool any = false;
  for (int i = 0; i < n->n_out; i++) any |= read[n->out + (xlm_val)i];
  return any;
}

// read[v]: at all places of the chunk.
static void find_after(cut *c, xlm_arena *a) {
  const xlm_graph *g = c->g;
  bool *read = XLM_NEW_N(a, bool, g->n_values);
  for (uint32_t i = 0; i < g->n_updates; i++) read[g->updates[i].val] = true;
  for (uint32_t i = 0; i < g->outputs.n; i++)
    if (!has(g, g->outputs.at[i].val, c->chunk) || !is_row(c, g->outputs.at[i].val))
      read[g->outputs.at[i].val] = true;
  for (xlm_node id = g->n_nodes - 1; id; id--) {
    const xlm_node_info *n = &g->nodes[id];
    if (!c->live[id]) continue;
    c->after[id] = !is_read(read, n) && works_by_place(c, id);
    for (int i = 0; i < n->n_in && !c->after[id]; i++) read[n->in[i]] = true;
  }
}

// ---- the graph

// Of a sequence that is not read from, any row.
static xlm_val last_of(cut *c) {
  if (c->last) return c->last;
  xlm_build b = xlm_build_new(c->out); // it belongs to no node of the model
  xlm_attr_list l = xlm_attr_list_new(c->out->arena);
  xlm_val before = xlm_op2(&b, XLM_OP_SUB, c->map[c->count], xlm_scalar(&b, 1));
  before = xlm_op2(&b, XLM_OP_MAX, before, xlm_scalar(&b, 0));
  xlm_attr_put_dims(&l, XLM_A_dims, (xlm_dim[]){c->batch, c->place}, 2);
  return c->last = xlm_emit(&b, XLM_OP_BROADCAST, &before, 1, &l);
}

// v at the last place; its dimensions keep their order.
static xlm_val row_of(cut *c, xlm_build *b, xlm_val v) {
  if (c->row[v]) return c->row[v];
  xlm_attr_list l = xlm_attr_list_new(c->out->arena);
  xlm_type like = *xlm_val_type(c->g, v);
  like.dim[xlm_type_find(&like, c->chunk)] = c->place;
  xlm_attr_put_dims(&l, XLM_A_vocab, &c->chunk, 1);
  xlm_val row = xlm_emit(b, XLM_OP_LOOKUP, (xlm_val[]){c->map[v], last_of(c)}, 2, &l);
  return c->row[v] = xlm_order_to(b, row, &like);
}

static void emit_row(cut *c, xlm_node id) {
  const xlm_node_info *n = &c->g->nodes[id];
  xlm_val *in = XLM_NEW_N(c->out->tables, xlm_val, n->n_in);
  xlm_build b = xlm_build_new(c->out);
  xlm_build_context(&b, n);
  for (int i = 0; i < n->n_in; i++)
    in[i] = has(c->g, n->in[i], c->chunk) ? row_of(c, &b, n->in[i]) : c->map[n->in[i]];
  xlm_attr_list l = xlm_attrs_with(c->out->arena, &n->attrs, c->chunk, c->place);
  xlm_val first = xlm_emit(&b, n->op, in, n->n_in, &l);
  for (int i = 0; i < n->n_out; i++) {
    c->row[n->out + (xlm_val)i] = first + (xlm_val)i;
    xlm_val_at(c->out, first + (xlm_val)i)->name = xlm_val_at(c->g, n->out + (xlm_val)i)->name;
  }
}

static void emit_outputs(cut *c) {
  const xlm_vals *o = &c->g->outputs;
  for (uint32_t i = 0; i < o->n; i++) {
    xlm_val v = o->at[i].val;
    xlm_build b = xlm_build_new(c->out);
    xlm_build_context(&b, xlm_val_node(c->g, v));
    bool rows = has(c->g, v, c->chunk) && is_row(c, v);
    xlm_vals_add(c->out, &c->out->outputs, o->at[i].name, rows ? row_of(c, &b, v) : c->map[v], o->at[i].span);
  }
}

static const char *name_of_place(const xlm_graph *g) {
  const char *name = "chunk.last";
  for (int i = 2; xlm_graph_dim_find(g, name, 0); i++) name = xlm_arena_printf(g->arena, "chunk.last.%d", i);
  return name;
}

xlm_graph *xlm_step_at_last(const xlm_step *s) {
  const xlm_graph *g = s->out;
  cut c = {.g = g,
           .out = xlm_graph_like(g),
           .chunk = s->all.chunk,
           .batch = s->all.batch,
           .count = s->all.count[0]};
  c.place = xlm_graph_dim(c.out, name_of_place(g), 1);
  c.live = XLM_NEW_N(s->a, bool, g->n_nodes);
  c.after = XLM_NEW_N(s->a, bool, g->n_nodes);
  c.map = XLM_NEW_N(s->a, xlm_val, g->n_values);
  c.row = XLM_NEW_N(s->a, xlm_val, g->n_values);
  find_live(&c);
  find_after(&c, s->a);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    if (c.after[id]) emit_row(&c, id);
    if (c.live[id] && !c.after[id]) xlm_copy_node(c.out, g, id, c.map, c.map);
  }
  emit_outputs(&c);
  xlm_copy_updates(c.out, g, c.map);
  return c.out;
}
