// The folded graph in Graphviz's language. Colours show phases; a box has the name of its block, parameters
// and FLOPs. Collectives and messages are hexagons in the colour of their axis, with the bytes that this rank
// sends.
#include "compiler/report/graph_view.h"

static const char *const fill[XLM_PHASES] = {"#e8f1fb", "#fdf0e3", "#fbe9ee",
                                             "#f1edfb", "#eef7ea", "#f4f4f4"};

static const char *const axis_fill[] = {"#f5b84b", "#8bc5a2", "#c9a3e0", "#f29b8f",
                                        "#7fb3e6", "#c5c06a", "#a3b1c2", "#e7a1c4"};

static void escaped(xlm_text *t, const char *s) {
  for (; *s; s++) {
    if (*s == '"' || *s == '\\') xlm_text_add(t, "\\");
    xlm_text_addn(t, s, 1);
  }
}

static int outermost(uint32_t axes) {
  int i = 0;
  while (i < 7 && !(axes >> i & 1)) i++;
  return axes ? i : 0; // send and recv: the axis of the pipeline, which is the first
}

static void tooltip(xlm_text *t, const xlm_graph *g, const xlm_view_box *b) {
  if (!b->line) return;
  xlm_text_add(t, ", tooltip=\"");
  escaped(t, xlm_view_line_text(g, b->line, t->arena));
  if (!b->comm) xlm_text_printf(t, ", %u ops", b->nodes);
  xlm_text_add(t, "\"");
}

static void comm_box(xlm_text *t, const xlm_graph *g, uint32_t id, const xlm_view_box *b, const xlm_mesh *m) {
  xlm_text_printf(t, "  n%u [label=\"%s", id, b->label);
  if (b->axes) xlm_text_add(t, " over ");
  if (b->axes) xlm_view_axes(t, m, b->axes);
  if (b->wire) xlm_text_printf(t, "\\n%s sent", xlm_text_bytes(t->arena, b->wire));
  xlm_text_printf(t, "\", shape=hexagon, style=filled, fillcolor=\"%s\"", axis_fill[outermost(b->axes)]);
  tooltip(t, g, b);
  xlm_text_add(t, "];\n");
}

static void box(xlm_text *t, const xlm_graph *g, uint32_t id, const xlm_view_box *b) {
  xlm_text_printf(t, "  n%u [label=\"", id);
  escaped(t, b->label);
  if (b->parameters > 0) xlm_text_printf(t, "\\n%s parameters", xlm_text_count(t->arena, b->parameters));
  if (b->model_flops > 0) xlm_text_printf(t, "\\n%s FLOPs", xlm_text_count(t->arena, b->model_flops));
  xlm_text_printf(t, "\", fillcolor=\"%s\"%s", b->leaf ? "#ffffff" : fill[b->phase],
                  b->leaf ? ", shape=ellipse" : "");
  tooltip(t, g, b);
  xlm_text_add(t, "];\n");
}

void xlm_report_graph_dot(const xlm_graph *g, const xlm_graph_view *view, xlm_text *t) {
  xlm_folded f = xlm_view_fold(g, view, t->arena);
  xlm_text_printf(t,
                  "digraph \"%s\" {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", "
                  "fontname=\"Helvetica\", fontsize=10];\n  edge [fontname=\"Helvetica\", fontsize=8, "
                  "color=\"#666666\"];\n",
                  g->model);
  for (uint32_t i = 0; i < f.n_boxes; i++)
    if (f.boxes[i].comm)
      comm_box(t, g, i, &f.boxes[i], view->mesh);
    else
      box(t, g, i, &f.boxes[i]);
  for (uint32_t i = 0; i < f.n_edges; i++)
    xlm_text_printf(t, "  n%u -> n%u [label=\"%s\"];\n", f.edges[i].from, f.edges[i].to,
                    xlm_view_type(g, view, f.edges[i].val, t->arena));
  xlm_text_add(t, "}\n");
}
