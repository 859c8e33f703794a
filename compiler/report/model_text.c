// The page of `xlmc check`: the model, block by block; as text and as JSON.
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/report/report.h"

typedef struct block_row { // parameters whose names differ only in indices of repeats
  const char *pattern;
  const char *shape;
  int64_t copies;
  double each;
} block_row;

static const char *pattern_of(xlm_arena *a, const char *name) {
  xlm_text t = xlm_text_new(a);
  for (const char *p = name; *p; p++) {
    bool index = p > name && p[-1] == '.' && *p >= '0' && *p <= '9';
    if (!index) {
      xlm_text_addn(&t, p, 1);
      continue;
    }
    xlm_text_add(&t, "*");
    while (p[1] >= '0' && p[1] <= '9') p++;
  }
  return t.data;
}

static const char *shape_of(const xlm_graph *g, xlm_val v, xlm_arena *a) {
  const xlm_type *t = xlm_val_type(g, v);
  xlm_text s = xlm_text_new(a);
  for (int i = 0; i < t->rank; i++)
    xlm_text_printf(&s, "%s%s %lld", i ? ", " : "[", g->dims[t->dim[i]].name,
                    (long long)g->dims[t->dim[i]].full);
  xlm_text_add(&s, t->rank ? "]" : "[]");
  return s.data;
}

static uint32_t collect(const xlm_graph *g, block_row *rows, double *total, xlm_arena *a) {
  uint32_t n = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *node = &g->nodes[id];
    if (!xlm_node_is(node, XLM_LEAF_PARAMETER)) continue;
    const char *pattern = pattern_of(a, xlm_attr_text(&node->attrs, XLM_A_name, ""));
    const char *shape = shape_of(g, node->out, a);
    uint32_t k = 0;
    while (k < n && (strcmp(rows[k].pattern, pattern) || strcmp(rows[k].shape, shape))) k++;
    if (k == n)
      rows[n++] =
          (block_row){pattern, shape, 0, (double)xlm_type_elements(xlm_val_type(g, node->out), g->dims)};
    rows[k].copies++;
    *total += rows[k].each;
  }
  return n;
}

static void list(xlm_text *t, const char *title, const xlm_graph *g, const xlm_vals *vals) {
  for (uint32_t i = 0; i < vals->n; i++)
    xlm_text_printf(t, "  %-10s%s %s\n", title, vals->at[i].name ? vals->at[i].name : "loss",
                    shape_of(g, vals->at[i].val, t->arena));
}

static void rules(xlm_text *t, const xlm_graph *g) {
  for (uint32_t i = 0; i < g->n_rules; i++) {
    const xlm_shard_rule *r = &g->rules[i];
    xlm_text_printf(t, "  shard     %s over ", r->dim);
    for (int k = 0; k < r->n_axes; k++) xlm_text_printf(t, "%s%s", k ? ", " : "", r->axis[k]);
    xlm_text_add(t, r->n_axes ? (r->where_free ? " where free\n" : "\n") : "none\n");
  }
}

static void input(xlm_text *t, const xlm_graph *g, const xlm_node_info *n) {
  xlm_dim vocab[XLM_MAX_RANK];
  int64_t shift = xlm_attr_int(&n->attrs, XLM_A_start, 0);
  xlm_text_printf(t, "  input     %s %s", xlm_attr_text(&n->attrs, XLM_A_name, ""),
                  shape_of(g, n->out, t->arena));
  if (xlm_attr_enum(&n->attrs, XLM_A_feed, XLM_INPUT_TOKENS) == XLM_INPUT_RECORD) { // the data must have it
    if (xlm_attr_dims(&n->attrs, XLM_A_vocab, vocab)) xlm_text_printf(t, " of %s", g->dims[vocab[0]].name);
    xlm_text_printf(t, " from %s", xlm_attr_text(&n->attrs, XLM_A_source, ""));
    if (shift) xlm_text_printf(t, " shifted %lld", (long long)shift);
  }
  xlm_text_add(t, "\n");
}

void xlm_report_model_text(const xlm_graph *g, xlm_text *t) {
  block_row *rows = XLM_NEW_N(t->arena, block_row, g->n_nodes);
  double total = 0;
  uint32_t n = collect(g, rows, &total, t->arena);
  xlm_text_printf(t, "%s%s%s  %s parameters\n\n", g->model, g->preset ? " " : "", g->preset ? g->preset : "",
                  xlm_text_count(t->arena, total));
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (xlm_node_is(&g->nodes[id], XLM_LEAF_INPUT)) input(t, g, &g->nodes[id]);
  for (uint32_t i = 0; i < n; i++) {
    xlm_text_printf(t, "  param     %s", rows[i].pattern);
    xlm_text_pad(t, 44);
    xlm_text_printf(t, " %s", rows[i].shape);
    xlm_text_pad(t, 88);
    xlm_text_printf(t, " %8s", xlm_text_count(t->arena, rows[i].each));
    if (rows[i].copies > 1) xlm_text_printf(t, " x %lld", (long long)rows[i].copies);
    xlm_text_add(t, "\n");
  }
  list(t, "loss", g, &g->losses);
  list(t, "metric", g, &g->metrics);
  list(t, "output", g, &g->outputs);
  rules(t, g);
}

void xlm_report_model_json(const xlm_graph *g, xlm_arena *a, const char *key, xlm_json *j) {
  block_row *rows = XLM_NEW_N(a, block_row, g->n_nodes);
  double total = 0;
  uint32_t n = collect(g, rows, &total, a);
  xlm_json_object(j, key, XLM_JSON_LINES);
  xlm_json_put_text(j, "name", g->model);
  xlm_json_put_text(j, "preset", g->preset);
  xlm_json_put_int(j, "parameters", (int64_t)total);
  xlm_json_array(j, "tensors", XLM_JSON_LINES);
  for (uint32_t i = 0; i < n; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "name", rows[i].pattern);
    xlm_json_put_text(j, "shape", rows[i].shape);
    xlm_json_put_int(j, "elements", (int64_t)rows[i].each);
    xlm_json_put_int(j, "copies", rows[i].copies);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
}
