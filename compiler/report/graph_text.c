// A graph for reading: one line per operation, with the axes by name. (`xlmc dump` prints the form that can
// be read back.)
//
//   all_gather over tp, 192.00 KiB sent    f32[batch/dp 1, seq 256, hidden 384]      layers.0.attention
//   model.xlm:38
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/report/graph_view.h"

enum { TYPE_AT = 47, SCOPE_AT = 103 };

// The parameters and inputs it reads, by the last part of their names.
static void leaves(xlm_text *t, const xlm_graph *g, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *def = xlm_val_node(g, n->in[i]);
    if (!(xlm_op_is_leaf(def->op)) || xlm_node_is(def, XLM_LEAF_CONSTANT)) continue;
    const char *name = xlm_attr_text(&def->attrs, XLM_A_name, ""), *dot = strrchr(name, '.');
    xlm_text_printf(t, " %s", dot ? dot + 1 : name);
  }
}

// Its line in the model; for the reduction of a gradient, that of the gradient.
static void place(xlm_text *t, const xlm_graph *g, const xlm_node_info *n, bool collective) {
  if (collective && !*n->scope && n->n_in) n = xlm_val_node(g, n->in[0]);
  uint32_t at = xlm_view_line(g, n->span);
  xlm_text_pad(t, SCOPE_AT);
  xlm_text_printf(t, " %s", *n->scope ? n->scope : "model");
  if (at) xlm_text_printf(t, ", %s", xlm_view_line_text(g, at, t->arena));
  xlm_text_add(t, "\n");
}

static void line(xlm_text *t, const xlm_graph *g, const xlm_graph_view *view, xlm_node id) {
  const xlm_node_info *n = &g->nodes[id];
  uint32_t axes = (uint32_t)xlm_attr_int(&n->attrs, XLM_A_axes, 0);
  uint64_t sent = xlm_view_wire(g, view, id);
  xlm_text_printf(t, "%-4s %s", xlm_phase_name(n->phase), xlm_op_at(n->op)->name);
  if (axes) xlm_text_add(t, " over ");
  if (axes) xlm_view_axes(t, view->mesh, axes);
  if (sent) xlm_text_printf(t, ", %s sent", xlm_text_bytes(t->arena, sent));
  leaves(t, g, n);
  xlm_text_pad(t, TYPE_AT);
  if (n->n_out) {
    xlm_text_printf(t, " %s", xlm_view_type(g, view, n->out, t->arena));
    if (g->values[n->out].partial) xlm_text_add(t, " partial over ");
    if (g->values[n->out].partial) xlm_view_axes(t, view->mesh, g->values[n->out].partial);
  }
  place(t, g, n, axes != 0);
}

void xlm_report_graph_text(const xlm_graph *g, const xlm_graph_view *view, xlm_text *t) {
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (xlm_op_is_leaf(n->op)) continue;
    if (xlm_view_shows(view, n->scope)) line(t, g, view, id);
  }
}
