// A graph for reading: one line per operation, with the axes by name. (`xlmc dump` prints the form that can
// be read back.) Of equal blocks the first is listed.
//
//   all_gather over tp, 192.00 KiB sent    f32[batch/dp 1, seq 256, hidden 384]      layers.0.attention
//   model.xlm:38
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/report/graph_view.h"

enum { TYPE_AT = 47, SCOPE_AT = 103 };

// Its line in the model; for the reduction of a gradient, that of the gradient.
static void place(xlm_text *t, const xlm_graph *g, const xlm_node_info *n, bool collective) {
  if (collective && !*n->scope && n->n_in) n = xlm_val_node(g, n->in[0]);
  uint32_t at = xlm_view_line(g, n->span);
  xlm_text_pad(t, SCOPE_AT);
  xlm_text_printf(t, " %s", *n->scope ? n->scope : "model");
  if (at) xlm_text_printf(t, ", %s", xlm_view_line_text(g, at, t->arena));
  xlm_text_add(t, "\n");
}

// parts: of how many equal operations this is the first; 0: it is alone.
static void line(xlm_text *t, const xlm_graph *g, const xlm_graph_view *view, xlm_node id, uint32_t parts) {
  const xlm_node_info *n = &g->nodes[id];
  uint32_t axes = (uint32_t)xlm_attr_int(&n->attrs, XLM_A_axes, 0);
  uint64_t sent = xlm_view_wire(g, view, id);
  xlm_text_printf(t, "%-4s %s", xlm_phase_name(n->phase), xlm_op_at(n->op)->name);
  if (axes) xlm_text_add(t, " over ");
  if (axes) xlm_view_axes(t, view->mesh, axes);
  if (sent) xlm_text_printf(t, ", %s sent", xlm_text_bytes(t->arena, sent));
  xlm_view_weights(t, g, n);
  if (parts) xlm_text_printf(t, "  \xc3\x97 %u", parts);
  xlm_text_pad(t, TYPE_AT);
  if (n->n_out) {
    xlm_text_printf(t, " %s", xlm_view_type(g, view, n->out, t->arena));
    if (g->values[n->out].partial) xlm_text_add(t, " partial over ");
    if (g->values[n->out].partial) xlm_view_axes(t, view->mesh, g->values[n->out].partial);
  }
  place(t, g, n, axes != 0);
}

// Before the first of equal blocks.
static void heading(xlm_text *t, const xlm_view_series *s, xlm_phase phase) {
  xlm_text_printf(t, "%-4s %s: ", xlm_phase_name(phase), xlm_view_series_name(s, t->arena));
  if (s->period == 1)
    xlm_text_printf(t, "%u equal blocks, the first follows; --each lists all\n", s->copies);
  else
    xlm_text_printf(t, "%u times the same %u blocks, the first %u follow; --each lists all\n", s->copies,
                    s->period, s->period);
}

void xlm_report_graph_text(const xlm_graph *g, const xlm_graph_view *view, xlm_text *t) {
  xlm_view_equal e = xlm_view_find_equal(g, view, t->arena);
  bool *named = XLM_NEW_N(t->arena, bool, e.n + 1);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (xlm_op_is_leaf(n->op) || !xlm_view_shows(view, n->scope) || e.as[id] != id) continue;
    uint32_t series = e.series[id];
    if (series && !named[series]) heading(t, &e.at[series - 1], n->phase);
    named[series] = true;
    line(t, g, view, id, e.parts[id]);
  }
}
