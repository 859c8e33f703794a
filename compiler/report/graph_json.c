// Every node and value of a graph as JSON: {"nodes": [{id, op, phase, scope, at, in, out}], "values": [{id,
// name, type}]}; collectives and messages also have `over` (axes of the group) and `sent` (bytes), values
// that are sums to be completed `partial`.
#include "compiler/ir/op.h"
#include "compiler/report/graph_view.h"

static void quoted(xlm_text *t, const char *s) {
  xlm_text_add(t, "\"");
  for (; s && *s; s++) {
    if (*s == '"' || *s == '\\') xlm_text_add(t, "\\");
    if ((unsigned char)*s >= 0x20) xlm_text_addn(t, s, 1);
  }
  xlm_text_add(t, "\"");
}

static void axes_field(xlm_text *t, const char *key, const xlm_mesh *m, uint32_t axes) {
  xlm_text_printf(t, ", \"%s\": \"", key);
  xlm_view_axes(t, m, axes);
  xlm_text_add(t, "\"");
}

static void node(xlm_text *t, const xlm_graph *g, const xlm_graph_view *view, xlm_node id) {
  const xlm_node_info *n = &g->nodes[id];
  xlm_text_printf(t, "{\"id\": %u, \"op\": \"%s\", \"phase\": \"%s\", \"scope\": ", id,
                  xlm_op_at(n->op)->name, xlm_phase_name(n->phase));
  quoted(t, n->scope);
  xlm_text_printf(t, ", \"round\": %d, \"stage\": %d, \"at\": [%u, %u], \"in\": [", n->round, n->stage,
                  n->span.begin, n->span.end);
  for (int i = 0; i < n->n_in; i++) xlm_text_printf(t, "%s%u", i ? ", " : "", n->in[i]);
  xlm_text_add(t, "], \"out\": [");
  for (int i = 0; i < n->n_out; i++) xlm_text_printf(t, "%s%u", i ? ", " : "", n->out + (xlm_val)i);
  xlm_text_add(t, "]");
  uint32_t axes = (uint32_t)xlm_attr_int(&n->attrs, XLM_A_axes, 0);
  if (axes) axes_field(t, "over", view->mesh, axes);
  uint64_t sent = xlm_view_wire(g, view, id);
  if (sent) xlm_text_printf(t, ", \"sent\": %llu", (unsigned long long)sent);
  xlm_text_add(t, "}");
}

static void named(xlm_text *t, const char *key, const xlm_vals *list) {
  xlm_text_printf(t, ",\n \"%s\": [", key);
  for (uint32_t i = 0; i < list->n; i++) {
    xlm_text_printf(t, "%s{\"name\": ", i ? ", " : "");
    quoted(t, list->at[i].name);
    xlm_text_printf(t, ", \"value\": %u}", list->at[i].val);
  }
  xlm_text_add(t, "]");
}

void xlm_report_graph_json(const xlm_graph *g, const xlm_graph_view *view, xlm_text *t) {
  xlm_text_add(t, "{\"model\": ");
  quoted(t, g->model);
  xlm_text_add(t, ",\n \"nodes\": [\n");
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    node(t, g, view, id);
    xlm_text_add(t, id + 1 < g->n_nodes ? ",\n" : "],\n \"values\": [\n");
  }
  for (xlm_val v = 1; v < g->n_values; v++) {
    xlm_text_printf(t, "{\"id\": %u, \"name\": ", v);
    quoted(t, g->values[v].name);
    xlm_text_printf(t, ", \"type\": \"%s\"", xlm_view_type(g, view, v, t->arena));
    if (g->values[v].partial) axes_field(t, "partial", view->mesh, g->values[v].partial);
    xlm_text_add(t, v + 1 < g->n_values ? "},\n" : "}]");
  }
  named(t, "losses", &g->losses);
  named(t, "outputs", &g->outputs);
  named(t, "metrics", &g->metrics);
  xlm_text_add(t, "}\n");
}
