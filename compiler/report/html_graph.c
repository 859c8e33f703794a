// `xlmc graph --format html`: a graph in the form of a stage of the plan's page (html_stage.c), so that the
// same script draws both. Values take the place of tensors, phases that of segments.
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/report/graph_view.h"
#include "compiler/report/html_priv.h"

static void value(xlm_html *h, const xlm_graph *g, const xlm_mesh *m, xlm_val v) {
  const xlm_value *x = &g->values[v];
  xlm_html_open(h, NULL, "[");
  if (v) {
    const xlm_node_info *n = &g->nodes[x->def];
    bool leaf = xlm_op_is_leaf(n->op);
    xlm_html_text(h, NULL, leaf ? xlm_attr_text(&n->attrs, XLM_A_name, x->name) : x->name);
    xlm_html_text(h, NULL, xlm_html_type(h->a, &x->type, g->dims, m));
    xlm_html_int(h, NULL,
                 xlm_node_is(n, XLM_LEAF_PARAMETER) ? XLM_CATEGORY_PARAMETER
                 : leaf                             ? XLM_CATEGORY_IO
                                                    : XLM_CATEGORY_ACTIVATION);
    xlm_html_int(h, NULL, 0);
    xlm_html_int(h, NULL, (int64_t)xlm_type_bytes(&x->type, g->dims));
    xlm_html_int(h, NULL, -1);
    xlm_html_int(h, NULL, -1);
    xlm_html_int(h, NULL, xlm_view_line(g, n->span));
    xlm_html_int(h, NULL, 0);
    xlm_html_int(h, NULL, xlm_html_split(&x->type, g->dims));
    xlm_html_int(h, NULL, x->partial);
  }
  xlm_html_close(h, "]");
}

static void operands(xlm_html *h, const xlm_val *at, xlm_val first, int n) {
  xlm_html_open(h, NULL, "[");
  for (int i = 0; i < n; i++) xlm_html_int(h, NULL, at ? at[i] : first + (xlm_val)i);
  xlm_html_close(h, "]");
}

static void node(xlm_html *h, const xlm_graph *g, const xlm_graph_view *view, xlm_node id) {
  const xlm_node_info *n = &g->nodes[id];
  const char *name = xlm_op_name(n->op);
  int kind = xlm_html_kind(n->op);
  xlm_cost c;
  xlm_op_cost(g, id, &c);
  xlm_html_open(h, NULL, "[");
  xlm_html_text(h, NULL, name);
  xlm_html_text(h, NULL, xlm_html_label(h->a, n->op, &n->attrs));
  xlm_html_text(h, NULL, n->scope);
  xlm_html_int(h, NULL, xlm_view_line(g, n->span));
  operands(h, n->in, 0, n->n_in);
  operands(h, NULL, n->out, n->n_out);
  xlm_html_number(h, NULL, c.flops);
  xlm_html_number(h, NULL, c.bytes);
  xlm_html_int(h, NULL, 0);
  xlm_html_int(h, NULL, n->phase);
  xlm_html_int(h, NULL, kind);
  xlm_html_int(h, NULL, 0); // no time: a graph is of no machine
  xlm_html_attrs(h, &n->attrs);
  if (kind) {
    xlm_html_int(h, NULL, xlm_attr_int(&n->attrs, kind == XLM_HTML_COLLECTIVE ? XLM_A_axes : XLM_A_peer, 0));
    xlm_html_int(h, NULL, (int64_t)xlm_view_wire(g, view, id));
  }
  xlm_html_close(h, "]");
}

static void phases(xlm_html *h) {
  static const char *const names[XLM_PHASES] = {"F", "B", "W", "B, last", "step", "prologue"};
  xlm_html_open(h, "segments", "[");
  for (int k = 0; k < XLM_PHASES; k++) {
    xlm_html_open(h, NULL, "[");
    xlm_html_text(h, NULL, names[k]);
    xlm_html_int(h, NULL, 0);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}

static void graph(xlm_html *h, const xlm_graph *g, const xlm_graph_view *view) {
  xlm_html_open(h, "stages", "[");
  xlm_html_open(h, NULL, "{");
  xlm_html_open(h, "tensors", "[");
  for (xlm_val v = 0; v < g->n_values; v++) value(h, g, view->mesh, v);
  xlm_html_close(h, "]");
  xlm_html_open(h, "ops", "[");
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    bool leaf = xlm_op_is_leaf(n->op);
    if (!leaf && xlm_view_shows(view, n->scope)) node(h, g, view, id);
  }
  xlm_html_close(h, "]");
  phases(h);
  xlm_html_close(h, "}");
  xlm_html_close(h, "]");
}

void xlm_report_graph_html(const xlm_graph *g, const xlm_graph_view *view, xlm_text *out) {
  xlm_html h = xlm_html_new(out);
  xlm_html_head(out, xlm_arena_printf(h.a, "%s%s%s: graph", g->model, g->preset ? " " : "",
                                      g->preset ? g->preset : ""), view->mesh);
  xlm_html_open(&h, NULL, "{");
  xlm_html_string(&h, "model", g->model);
  xlm_html_string(&h, "preset", g->preset);
  xlm_html_string(&h, "path", g->source ? g->source->path : "");
  xlm_html_mesh(&h, "mesh", view->mesh);
  graph(&h, g, view);
  xlm_html_source(&h, "source", g->source);
  xlm_html_texts(&h, "texts");
  xlm_html_close(&h, "}");
  xlm_html_foot(out, "graph");
}
