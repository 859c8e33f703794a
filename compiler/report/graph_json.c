// Every node and value of a graph as JSON: {"nodes": [{id, op, phase, scope, at, in, out}], "values": [{id,
// name, type}]}; collectives and messages also have `over` (axes of the group) and `sent` (bytes), and
// partial sums have `partial`.
#include "compiler/ir/op.h"
#include "compiler/report/graph_view.h"

static void axes_field(xlm_json *j, const char *key, const xlm_graph_view *view, uint32_t axes,
                       xlm_arena *a) {
  xlm_text t = xlm_text_new(a);
  xlm_view_axes(&t, view->mesh, axes);
  xlm_json_put_text(j, key, t.data);
}

static void node(xlm_json *j, const xlm_graph *g, const xlm_graph_view *view, xlm_node id, xlm_arena *a) {
  const xlm_node_info *n = &g->nodes[id];
  xlm_json_object(j, NULL, XLM_JSON_ROW);
  xlm_json_put_int(j, "id", id);
  xlm_json_put_text(j, "op", xlm_op_at(n->op)->name);
  xlm_json_put_text(j, "phase", xlm_phase_name(n->phase));
  xlm_json_put_text(j, "scope", n->scope ? n->scope : "");
  xlm_json_put_int(j, "round", n->round);
  xlm_json_put_int(j, "stage", n->stage);
  xlm_json_array(j, "at", XLM_JSON_ROW);
  xlm_json_put_int(j, NULL, n->span.begin);
  xlm_json_put_int(j, NULL, n->span.end);
  xlm_json_close(j);
  xlm_json_array(j, "in", XLM_JSON_ROW);
  for (int i = 0; i < n->n_in; i++) xlm_json_put_int(j, NULL, n->in[i]);
  xlm_json_close(j);
  xlm_json_array(j, "out", XLM_JSON_ROW);
  for (int i = 0; i < n->n_out; i++) xlm_json_put_int(j, NULL, n->out + (xlm_val)i);
  xlm_json_close(j);
  uint32_t axes = (uint32_t)xlm_attr_int(&n->attrs, XLM_A_axes, 0);
  if (axes) axes_field(j, "over", view, axes, a);
  uint64_t sent = xlm_view_wire(g, view, id);
  if (sent) xlm_json_put_int(j, "sent", (int64_t)sent);
  xlm_json_close(j);
}

static void value(xlm_json *j, const xlm_graph *g, const xlm_graph_view *view, xlm_val v, xlm_arena *a) {
  const char *name = g->values[v].name;
  xlm_json_object(j, NULL, XLM_JSON_ROW);
  xlm_json_put_int(j, "id", v);
  xlm_json_put_text(j, "name", name ? name : "");
  xlm_json_put_text(j, "type", xlm_view_type(g, view, v, a));
  if (g->values[v].partial) axes_field(j, "partial", view, g->values[v].partial, a);
  xlm_json_close(j);
}

static void named(xlm_json *j, const char *key, const xlm_vals *list) {
  xlm_json_array(j, key, XLM_JSON_ROW);
  for (uint32_t i = 0; i < list->n; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "name", list->at[i].name ? list->at[i].name : "");
    xlm_json_put_int(j, "value", list->at[i].val);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

void xlm_report_graph_json(const xlm_graph *g, const xlm_graph_view *view, xlm_text *t) {
  xlm_json j;
  xlm_json_to_text(&j, t);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(&j, "model", g->model ? g->model : "");
  xlm_json_array(&j, "nodes", XLM_JSON_LINES);
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (xlm_view_shows(view, g->nodes[id].scope)) node(&j, g, view, id, t->arena);
  xlm_json_close(&j);
  xlm_json_array(&j, "values", XLM_JSON_LINES);
  for (xlm_val v = 1; v < g->n_values; v++) value(&j, g, view, v, t->arena);
  xlm_json_close(&j);
  named(&j, "losses", &g->losses);
  named(&j, "outputs", &g->outputs);
  named(&j, "metrics", &g->metrics);
  xlm_json_close(&j);
  xlm_text_add(t, "\n");
}
