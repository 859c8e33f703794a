// A graph folded into boxes (blocks, or single ops) and edges between them, and types with the axes that
// split them, as text. Shared by the DOT, JSON and HTML views.
#ifndef XLM_REPORT_GRAPH_VIEW_H
#define XLM_REPORT_GRAPH_VIEW_H

#include "compiler/report/report.h"

typedef struct xlm_view_box {
  const char *scope; // "layers.0.attention"; "" at top level
  const char *label; // block path, or the op's name
  xlm_phase phase;
  uint32_t nodes; // ops inside
  double parameters, model_flops;
  uint32_t line;
  bool leaf;     // an input or output of the model
  bool comm;     // a collective, send or recv: always a separate box
  uint32_t axes; // comm: the axes of the group; 0 for send and recv
  uint64_t wire; // comm: bytes that this rank sends
  uint32_t
      stretch; // number of conversions before it: a block that waits for one in the middle becomes two boxes
} xlm_view_box;

typedef struct xlm_view_edge {
  uint32_t from, to; // boxes
  xlm_val val;       // one of the values on the edge
} xlm_view_edge;

typedef struct xlm_folded {
  xlm_view_box *boxes;
  uint32_t n_boxes, cap_boxes;
  xlm_view_edge *edges;
  uint32_t n_edges, cap_edges;
} xlm_folded;

bool xlm_view_shows(const xlm_graph_view *view, const char *scope); // is the scope inside the block of
                                                                    // --only?
xlm_folded xlm_view_fold(const xlm_graph *g, const xlm_graph_view *view, xlm_arena *a);
const char *xlm_view_type(const xlm_graph *g, const xlm_graph_view *view, xlm_val v, xlm_arena *a);
// "f32[batch 4, heads/tp 3]"; without a mesh, axes are shown as a bit mask.
void xlm_view_type_text(xlm_text *t, const xlm_type *type, const xlm_dim_info *dims, const xlm_mesh *m);
typedef struct xlm_axis_color {
  const char *light, *dark; // "#rrggbb", on a light and on a dark page
} xlm_axis_color;
xlm_axis_color xlm_view_axis_color(const xlm_mesh *m, int axis);
void xlm_view_axes(xlm_text *t, const xlm_mesh *m, uint32_t axes); // "dp,tp"
void xlm_view_attrs(xlm_text *t, const xlm_attrs *as); // "causal 1, window 512"
uint32_t xlm_view_line(const xlm_graph *g, xlm_span s);            // of the whole text; 0 = none
// The same for people: "line 12" of the model's file, "blocks/norm.xlm:12" of another.
const char *xlm_view_line_text(const xlm_graph *g, uint32_t line, xlm_arena *a);
uint64_t xlm_view_wire(const xlm_graph *g, const xlm_graph_view *view,
                       xlm_node n); // bytes sent by a collective or send

#endif
