// The folded graph in Graphviz's language, as the page draws it: a box has its name, parameters and FLOPs,
// and the colour of its layout; collectives and messages are hexagons in the colour of their axis, with the
// bytes that this rank sends. Frames are phases, blocks that are open, and equal blocks of which one is
// drawn.
#include <stdlib.h>
#include <string.h>

#include "compiler/report/graph_view.h"

typedef struct drawing {
  xlm_text *t;
  const xlm_graph *g;
  const xlm_graph_view *view;
  const xlm_folded *f;
  bool phases; // there are several
} drawing;

static const char *const phase_titles[XLM_PHASES] = {
    "forward", "backward", "gradients of weights", "backward of the last microbatch", "step", "prologue"};

static void escaped(xlm_text *t, const char *s) {
  for (; *s; s++) {
    if (*s == '"' || *s == '\\') xlm_text_add(t, "\\");
    xlm_text_addn(t, s, 1);
  }
}

// ---- colours ----

static int outermost(const xlm_mesh *m, uint32_t axes) {
  for (int i = 0; m && i < m->n; i++)
    if (axes >> i & 1) return i;
  int pp = m ? xlm_mesh_axis(m, "pp") : -1; // send and recv
  return pp > 0 ? pp : 0;
}

// The mean of the axes' colours, thinned over white.
static const char *layout_fill(const drawing *d, uint32_t axes) {
  enum { STRENGTH = 16 }; // percent
  long sum[3] = {0}, n = 0;
  for (int i = 0; d->view->mesh && i < d->view->mesh->n; i++) {
    if (!(axes >> i & 1)) continue;
    long color = strtol(xlm_view_axis_color(d->view->mesh, i).light + 1, NULL, 16);
    for (int k = 0; k < 3; k++) sum[k] += color >> (16 - 8 * k) & 255;
    n++;
  }
  if (!n) return "#eef1f5";
  for (int k = 0; k < 3; k++) sum[k] = 255 - (255 - sum[k] / n) * STRENGTH / 100;
  return xlm_arena_printf(d->t->arena, "#%02lx%02lx%02lx", sum[0], sum[1], sum[2]);
}

// ---- boxes ----

static void tooltip(const drawing *d, const xlm_view_box *b) {
  if (!b->line) return;
  xlm_text_add(d->t, ", tooltip=\"");
  escaped(d->t, xlm_view_line_text(d->g, b->line, d->t->arena));
  if (!b->comm) xlm_text_printf(d->t, ", %s", xlm_text_plural(d->t->arena, b->nodes, "op"));
  xlm_text_add(d->t, "\"");
}

static void comm_box(const drawing *d, uint32_t id, const xlm_view_box *b) {
  const xlm_mesh *m = d->view->mesh;
  const char *color = xlm_view_axis_color(m, outermost(m, b->axes)).light;
  xlm_text_printf(d->t, "n%u [label=\"%s", id, b->label);
  if (b->axes) xlm_text_add(d->t, " over ");
  if (b->axes) xlm_view_axes(d->t, m, b->axes);
  if (b->parts) xlm_text_printf(d->t, "  \xc3\x97 %u", b->parts);
  if (b->wire)
    xlm_text_printf(d->t, "\\n%s sent%s", xlm_text_bytes(d->t->arena, b->wire), b->parts ? " each" : "");
  xlm_text_printf(d->t,
                  "\", shape=hexagon, style=filled, margin=\"0.02,0.02\", color=\"%s\", fillcolor=\"%s\", "
                  "fontcolor=\"#ffffff\"",
                  color, color);
  tooltip(d, b);
  xlm_text_add(d->t, "];");
}

static bool is_round(const xlm_view_box *b) { // the box of a whole round: its scope ends in the number
  const char *dot = strrchr(b->scope, '.');
  return b->block && b->series && dot && strspn(dot + 1, "0123456789") == strlen(dot + 1);
}

// A box that stands for equal blocks by itself has their number; others are in a frame that has it.
static bool stands_alone(const xlm_view_box *b) {
  return is_round(b) && b->series->period == 1;
}

static void comm_lines(const drawing *d, const xlm_view_box *b, const char *each) {
  for (int i = 0; i < b->n_inside; i++) {
    const xlm_view_comm *c = &b->inside[i];
    xlm_text_printf(d->t, "\\n\xe2\x87\x84 %u \xc3\x97 ", c->n);
    if (c->axes)
      xlm_view_axes(d->t, d->view->mesh, c->axes);
    else
      xlm_text_add(d->t, "send, receive");
    if (c->wire) xlm_text_printf(d->t, ", %s%s", xlm_text_bytes(d->t->arena, c->wire), each);
  }
}

static void box(const drawing *d, uint32_t id, const xlm_view_box *b) {
  xlm_text *t = d->t;
  const char *each = b->series ? " each" : "";
  xlm_text_printf(t, "n%u [label=\"", id);
  if (stands_alone(b))
    xlm_text_printf(t, "%s  \xc3\x97 %u", xlm_view_series_name(b->series, t->arena), b->series->copies);
  else
    escaped(t, b->label);
  if (b->parts) xlm_text_printf(t, "  \xc3\x97 %u", b->parts), each = " each";
  if (b->parameters > 0)
    xlm_text_printf(t, "\\n%s parameters%s", xlm_text_count(t->arena, b->parameters), each);
  if (b->model_flops > 0) xlm_text_printf(t, "\\n%s FLOPs%s", xlm_text_count(t->arena, b->model_flops), each);
  comm_lines(d, b, each);
  xlm_text_printf(t, "\", fillcolor=\"%s\"%s%s", b->leaf ? "#ffffff" : layout_fill(d, b->split),
                  b->leaf ? ", shape=ellipse" : "", stands_alone(b) ? ", peripheries=2" : "");
  tooltip(d, b);
  xlm_text_add(t, "];");
}

// ---- frames ----

// Opens a frame inside the last; Graphviz takes frames of one name for the same.
static void open_frame(const drawing *d, xlm_text *path, const char *key, const char *title) {
  xlm_text_printf(path, "/%s", key);
  xlm_text_add(d->t, "subgraph \"cluster_");
  escaped(d->t, path->data);
  xlm_text_add(d->t, "\" { label=\"");
  escaped(d->t, title);
  xlm_text_add(d->t, "\"; ");
}

static const char *series_title(const drawing *d, const xlm_view_series *s) {
  return xlm_arena_printf(d->t->arena, "%s  \xc3\x97 %u%s", xlm_view_series_name(s, d->t->arena), s->copies,
                          s->period > 1 ? " patterns" : ", the first");
}

// The end of the block name that starts at `at`; the number of a round belongs to the name before it.
static size_t name_end(const char *scope, size_t at) {
  at += strcspn(scope + at, ".");
  while (scope[at] == '.' && scope[at + 1] >= '0' && scope[at + 1] <= '9')
    at += 1 + strcspn(scope + at + 1, ".");
  return at;
}

static int open_frames(const drawing *d, const xlm_view_box *b) {
  xlm_text path = xlm_text_new(d->t->arena);
  int n = 0;
  if (d->phases) open_frame(d, &path, xlm_phase_name(b->phase), phase_titles[b->phase]), n++;
  if (b->leaf || stands_alone(b)) return n;
  const xlm_view_series *s = b->series;
  if (s) open_frame(d, &path, xlm_view_series_name(s, d->t->arena), series_title(d, s)), n++;
  bool opened = d->view->depth != 0;
  for (size_t at = 0; opened && b->scope[at];) {
    size_t end = name_end(b->scope, at);
    bool own = b->block && !b->scope[end],
         round =
             s && s->period == 1 && end == strlen(s->base) + strcspn(b->scope + strlen(s->base) + 1, ".") + 1;
    if (!own && !round) {
      const char *key = xlm_arena_strndup(d->t->arena, b->scope, end);
      open_frame(d, &path, key, key + at), n++;
    }
    at = end + (b->scope[end] == '.');
  }
  return n;
}

static bool several_phases(const xlm_folded *f) {
  for (uint32_t i = 1; i < f->n_boxes; i++)
    if (f->boxes[i].phase != f->boxes[0].phase) return true;
  return false;
}

// Types stand on the edges within a phase; a value that crosses phases has its type when the mouse is on it.
static void edge(const drawing *d, const xlm_view_edge *e) {
  const char *type = xlm_view_type(d->g, d->view, e->val, d->t->arena);
  bool within = d->f->boxes[e->from].phase == d->f->boxes[e->to].phase;
  xlm_text_printf(d->t, "  n%u -> n%u [%s=\"%s\"%s];\n", e->from, e->to, within ? "label" : "edgetooltip",
                  type, within ? "" : ", color=\"#b8c2ce\"");
}

void xlm_report_graph_dot(const xlm_graph *g, const xlm_graph_view *view, xlm_text *t) {
  xlm_folded f = xlm_view_fold(g, view, t->arena);
  drawing d = {t, g, view, &f, several_phases(&f)};
  xlm_text_printf(
      t,
      "digraph \"%s\" {\n  rankdir=TB; bgcolor=\"#ffffff\"; ranksep=0.35; nodesep=0.3;\n"
      "  graph [style=\"rounded,dashed\", color=\"#b8c2ce\", fontname=\"Helvetica\", fontsize=10, "
      "labeljust=l];\n"
      "  node [shape=box, style=\"rounded,filled\", color=\"#b8c2ce\", fontname=\"Helvetica\", fontsize=10, "
      "fontcolor=\"#1b2430\"];\n"
      "  edge [fontname=\"Helvetica\", fontsize=8, color=\"#8c99aa\", fontcolor=\"#55606f\", "
      "arrowsize=0.7];\n",
      g->model);
  for (uint32_t i = 0; i < f.n_boxes; i++) {
    xlm_text_add(t, "  ");
    int frames = open_frames(&d, &f.boxes[i]);
    (f.boxes[i].comm ? comm_box : box)(&d, i, &f.boxes[i]);
    for (; frames > 0; frames--) xlm_text_add(t, " }");
    xlm_text_add(t, "\n");
  }
  for (uint32_t i = 0; i < f.n_edges; i++) edge(&d, &f.edges[i]);
  xlm_text_add(t, "}\n");
}
