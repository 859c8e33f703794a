// Cast weights: a parameter that products read in another element type is cast once per step, before the
// first microbatch, instead of in the forward and the backward of every microbatch.
//
// The result is a state: with ZeRO 3 it is split as its parameter is, so what is gathered for a product is
// the smaller type; a pipeline stage has the casts of the parameters that it reads. It is not saved: every
// step makes it anew. The bias that is added to a product counts as one of its operands (the bias pass). A
// parameter that only other elementwise operations read (the scale of a norm) stays as it is, since its cast
// costs nothing within them.
#include "compiler/pass/bias.h"

typedef struct casts {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_build b;
  xlm_val *map;
  bool *stored;  // by node: a cast that is made once per step
  xlm_val *cast; // by value: of a parameter, its cast in the new graph; 0: none
} casts;

static void find_stored(casts *c) {
  for (xlm_node id = 1; id < c->g->n_nodes; id++) {
    const xlm_node_info *n = &c->g->nodes[id];
    xlm_val bias = xlm_bias_of(c->g, n).bias;
    bool elementwise = xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE;
    for (int i = 0; i < n->n_in; i++) {
      if (elementwise && n->in[i] != bias) continue;
      xlm_node def = c->g->values[n->in[i]].def;
      const xlm_node_info *made = &c->g->nodes[def];
      c->stored[def] |= made->phase == XLM_PHASE_FWD && xlm_casts_parameter(c->g, made);
    }
  }
}

// Rounds that share a parameter share its cast.
static void emit_cast(casts *c, xlm_node id) {
  const xlm_node_info *n = &c->g->nodes[id], *param = xlm_val_node(c->g, n->in[0]);
  xlm_val *cast = &c->cast[n->in[0]];
  if (!*cast) {
    xlm_copy_node(c->out, c->g, c->g->values[n->in[0]].def, c->map, c->map);
    xlm_build_context(&c->b, n);
    c->b.recompute = false;
    const char *name =
        xlm_arena_printf(c->out->arena, "cast/%s", xlm_attr_text(&param->attrs, XLM_A_name, ""));
    *cast = xlm_build_stored(&c->b, name, XLM_ROLE_CAST, xlm_copy_with(&c->b, c->g, id, &c->map[n->in[0]]),
                             xlm_attr_find(&param->attrs, XLM_A_split));
  }
  XLM_ASSERT(xlm_same_type(xlm_val_type(c->out, *cast), xlm_val_type(c->g, n->out)),
             "node %u casts to another type than an earlier one", id);
  c->map[n->out] = *cast;
}

xlm_graph *xlm_pass_cast_weights(const xlm_graph *g, xlm_arena *a) {
  casts c = {.g = g, .out = xlm_graph_like(g)};
  c.b = xlm_build_new(c.out);
  c.b.phase = XLM_PHASE_PROLOGUE;
  c.map = XLM_NEW_N(a, xlm_val, g->n_values);
  c.stored = XLM_NEW_N(a, bool, g->n_nodes);
  c.cast = XLM_NEW_N(a, xlm_val, g->n_values);
  xlm_graph_reserve(c.out, g->n_nodes, g->n_values);
  find_stored(&c);
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (c.stored[id]) emit_cast(&c, id);
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (!c.stored[id] && !(g->nodes[id].n_out && c.map[g->nodes[id].out]))
      xlm_copy_node(c.out, g, id, c.map, c.map);
  xlm_copy_ends(c.out, g, c.map);
  return c.out;
}
