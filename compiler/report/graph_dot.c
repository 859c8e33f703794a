// The folded graph in Graphviz' language. Colour says the phase; a box names its block, parameters and FLOPs.
#include "compiler/report/graph_view.h"

static const char *const fill[XLM_PHASES] = {"#e8f1fb", "#fdf0e3", "#fbe9ee", "#eef7ea"};

static void escaped(xlm_text *t, const char *s) {
  for (; *s; s++) {
    if (*s == '"' || *s == '\\') xlm_text_add(t, "\\");
    xlm_text_addn(t, s, 1);
  }
}

static void box(xlm_text *t, uint32_t id, const xlm_view_box *b) {
  xlm_text_printf(t, "  n%u [label=\"", id);
  escaped(t, b->label);
  if (b->parameters > 0) xlm_text_printf(t, "\\n%s parameters", xlm_text_count(t->arena, b->parameters));
  if (b->model_flops > 0) xlm_text_printf(t, "\\n%s FLOPs", xlm_text_count(t->arena, b->model_flops));
  xlm_text_printf(t, "\", fillcolor=\"%s\"%s", b->leaf ? "#ffffff" : fill[b->phase], b->leaf ? ", shape=ellipse" : "");
  if (b->line) xlm_text_printf(t, ", tooltip=\"line %u, %u ops\"", b->line, b->nodes);
  xlm_text_add(t, "];\n");
}

void xlm_report_graph_dot(const xlm_graph *g, const xlm_graph_view *view, xlm_text *t) {
  xlm_folded f = xlm_view_fold(g, view, t->arena);
  xlm_text_printf(t, "digraph \"%s\" {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", "
                     "fontname=\"Helvetica\", fontsize=10];\n  edge [fontname=\"Helvetica\", fontsize=8, color=\"#666666\"];\n",
                  g->model);
  for (uint32_t i = 0; i < f.n_boxes; i++) box(t, i, &f.boxes[i]);
  for (uint32_t i = 0; i < f.n_edges; i++)
    xlm_text_printf(t, "  n%u -> n%u [label=\"%s\"];\n", f.edges[i].from, f.edges[i].to,
                    xlm_view_type(g, f.edges[i].val, t->arena));
  xlm_text_add(t, "}\n");
}
