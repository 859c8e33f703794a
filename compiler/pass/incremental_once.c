// What is computed once per sequence: values that depend on inputs, but on nothing along `seq`, such as what an
// encoder makes of a source, and the keys and values that a decoder takes of it. See incremental.h.
//
// The values that tokens read of them are the boundary. Views are not part of it: they cost nothing, and what
// several of them show is kept once. Both graphs are derived from the same model graph and number the boundary
// alike, so that their states have the same names.
#include "compiler/pass/incremental_priv.h"

static bool is_once(const xlm_step *s, xlm_val v) {
  return s->data[v] && !s->along[v];
}

static xlm_val kept_of(const xlm_step *s, xlm_val v) {
  for (;;) {
    const xlm_node_info *n = xlm_val_node(s->g, v);
    if (!xlm_is_view(n) || n->n_in != 1 || !is_once(s, n->in[0])) return v;
    v = n->in[0];
  }
}

static bool keep(xlm_step *s, xlm_node reader, int i) {
  const xlm_node_info *n = &s->g->nodes[reader];
  xlm_val v = kept_of(s, n->in[i]);
  if (s->once[v].reader) return true;
  s->once[v].reader = reader, s->once[v].operand = i;
  if (xlm_type_find(xlm_val_type(s->g, v), s->all.batch) >= 0) return true;
  return xlm_step_refuse(
      s, xlm_val_node(s->g, v)->span,
      xlm_arena_printf(s->out->arena, "`%s` combines several sequences in what tokens read",
                       xlm_op_name(xlm_val_node(s->g, v)->op)),
      "what does not lie along `seq` is computed once for each sequence: give the result the dimension `batch`");
}

bool xlm_step_find_once(xlm_step *s) {
  bool any = false;
  for (xlm_node id = 1; id < s->g->n_nodes; id++) {
    const xlm_node_info *n = &s->g->nodes[id];
    for (int i = 0; s->live[id] && i < n->n_in; i++) {
      bool last = is_once(s, n->in[i]) && (!n->n_out || !is_once(s, n->out));
      if (last && !keep(s, id, i)) return false;
      any |= last;
    }
  }
  s->any_once = any;
  return true;
}

// In the order of the values, so that both graphs give them the same names.
void xlm_step_make_once(xlm_step *s) {
  for (xlm_val v = 1; v < s->g->n_values; v++) {
    xlm_once *o = &s->once[v];
    if (!o->reader) continue;
    const xlm_node_info *reader = &s->g->nodes[o->reader];
    xlm_build_context(&s->all.b, reader);
    o->state = xlm_chunk_state(&s->all, o->reader, xlm_step_operand_name(reader, o->operand), xlm_val_type(s->g, v));
  }
}

// ---- the graph of what is computed once

// The rows of sequences that do not count stay as they are.
static void store(xlm_step *s, xlm_val v) {
  const xlm_once *o = &s->once[v];
  xlm_build *b = &s->all.b;
  const xlm_type *t = xlm_val_type(s->g, v);
  xlm_build_context(b, &s->g->nodes[o->reader]);
  xlm_val counts = xlm_op2(b, XLM_OP_LT, xlm_scalar(b, 0), s->all.count[0]);
  xlm_val next = xlm_op3(b, XLM_OP_WHERE, counts, s->map[v], o->state);
  next = xlm_order_to(b, xlm_cast_to(b, next, t->dtype), t);
  xlm_graph_update(s->out, o->state, xlm_op2(b, XLM_OP_ASSIGN, o->state, next));
}

bool xlm_step_emit_once(xlm_step *s) {
  const xlm_graph *g = s->g;
  if (!s->any_once)
    return xlm_step_refuse(s, (xlm_span){0, 0}, "the model computes nothing once per sequence",
                           "all that its output depends on lies along `seq`: --program prefill or decode");
  s->all.count[0] = xlm_step_counted_input(s, "decode/count", XLM_INPUT_COUNT);
  xlm_step_make_once(s);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (!s->live[id]) continue;
    xlm_copy_node(s->out, g, id, s->map, s->map);
    for (int i = 0; i < n->n_out; i++)
      if (s->once[n->out + (xlm_val)i].reader) store(s, n->out + (xlm_val)i);
  }
  return true;
}
