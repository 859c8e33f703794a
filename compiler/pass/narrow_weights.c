// Narrow weights: a parameter that is only read through casts to one other type is stored in that type, and
// the casts are gone. For plans that never change their parameters and never save them: the numbers computed
// are the same to the bit, since what fills a state rounds as a cast does.
//
// Done before anything of the model is dropped, so that all programs of a plan decide alike.
#include "compiler/pass/pass_priv.h"

typedef struct narrowing {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_val *map;
  xlm_dtype *to;     // by value: of a parameter, the type that its readers cast it to
  bool *read, *wide; // by value: is there a reader; is it read in its own type, or in several
} narrowing;

static void note_cast(narrowing *w, const xlm_node_info *cast) {
  xlm_val v = cast->in[0];
  xlm_dtype to = xlm_val_type(w->g, cast->out)->dtype;
  w->wide[v] |= w->read[v] && w->to[v] != to;
  w->read[v] = true;
  w->to[v] = to;
}

static void note_list(narrowing *w, const xlm_vals *list) {
  for (uint32_t i = 0; i < list->n; i++) w->wide[list->at[i].val] = true;
}

static void note_readers(narrowing *w) {
  for (xlm_node id = 1; id < w->g->n_nodes; id++) {
    const xlm_node_info *n = &w->g->nodes[id];
    if (xlm_op_casts(n->op))
      note_cast(w, n);
    else
      for (int i = 0; i < n->n_in; i++) w->wide[n->in[i]] = true;
  }
  note_list(w, &w->g->outputs), note_list(w, &w->g->metrics), note_list(w, &w->g->losses);
}

static bool is_narrowed(const narrowing *w, xlm_val v) {
  return xlm_node_is(xlm_val_node(w->g, v), XLM_LEAF_PARAMETER) && w->read[v] && !w->wide[v];
}

static void emit_narrow(narrowing *w, xlm_node id) {
  xlm_node copy = xlm_copy_node(w->out, w->g, id, w->map, w->map);
  xlm_val v = w->g->nodes[id].out;
  xlm_attr_list l = xlm_attr_list_from(w->out->arena, &w->g->nodes[id].attrs);
  xlm_attr_put_enum(&l, XLM_A_dtype, w->to[v]);
  w->out->nodes[copy].attrs = xlm_attr_freeze(&l);
  xlm_val_at(w->out, w->map[v])->type.dtype = w->to[v];
}

xlm_graph *xlm_pass_narrow_weights(const xlm_graph *g, xlm_arena *a) {
  narrowing w = {.g = g,
                 .out = xlm_graph_like(g),
                 .map = XLM_NEW_N(a, xlm_val, g->n_values),
                 .to = XLM_NEW_N(a, xlm_dtype, g->n_values),
                 .read = XLM_NEW_N(a, bool, g->n_values),
                 .wide = XLM_NEW_N(a, bool, g->n_values)};
  note_readers(&w);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (n->n_out && is_narrowed(&w, n->out))
      emit_narrow(&w, id);
    else if (xlm_casts_parameter(g, n) && is_narrowed(&w, n->in[0]))
      w.map[n->out] = w.map[n->in[0]];
    else
      xlm_copy_node(w.out, g, id, w.map, w.map);
  }
  xlm_copy_ends(w.out, g, w.map);
  return w.out;
}
