// A graph folded into boxes (blocks, or single ops) and edges between them, and types with the axes that
// split them, as text. Shared by the DOT, JSON and HTML views.
#ifndef XLM_REPORT_GRAPH_VIEW_H
#define XLM_REPORT_GRAPH_VIEW_H

#include "compiler/report/report.h"

typedef struct xlm_view_series { // equal rounds of a repeat, of which the first are drawn
  const char *base;              // "layers"
  int64_t low, high;             // numbers of the rounds
  uint32_t period;               // rounds of the pattern that repeats; mostly 1
  uint32_t copies;               // how often the pattern is there
} xlm_view_series;

typedef struct xlm_view_equal {
  xlm_node *as;     // by node: the one that is drawn for it; itself if it is drawn
  uint32_t *series; // by node: 1 + its index in `at`; 0: none
  uint32_t *copy;   // by node: of which repetition of the pattern it is
  uint32_t *parts;  // by node: how many equal operations outside of repeats are drawn as one; 0: it is alone
  xlm_view_series *at;
  uint32_t n, cap;
} xlm_view_equal;
xlm_view_equal xlm_view_find_equal(const xlm_graph *g, const xlm_graph_view *view, xlm_arena *a);
const char *xlm_view_series_name(const xlm_view_series *s, xlm_arena *a); // "layers.0–125"

enum { XLM_VIEW_COMM = 8 }; // combinations of axes whose communication a box counts

typedef struct xlm_view_comm { // collectives over the same axes; 0: messages
  uint32_t axes, n;
  uint64_t wire; // bytes that this rank sends
} xlm_view_comm;

typedef struct xlm_view_box {
  const char *scope;             // "layers.0.attention"; "" at top level
  const char *label;             // block path, or the op's name with the weight it is of
  const xlm_view_series *series; // of the rounds that it stands for; NULL: it is drawn for itself
  xlm_phase phase;
  uint32_t nodes; // ops inside
  uint32_t parts; // equal ops that it stands for; 0: itself
  double parameters, model_flops;
  uint32_t line;
  bool block;     // several nodes of a block; or else one
  uint32_t split; // axes that its results are split over
  bool leaf;      // an input or output of the model
  bool comm;      // a collective, send or recv that stands alone
  uint32_t axes;  // comm: the axes of the group; 0 for send and recv
  uint64_t wire;  // comm: bytes that this rank sends
  int n_inside;   // block: its communication
  xlm_view_comm inside[XLM_VIEW_COMM];
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

bool xlm_view_draws(const xlm_node_info *n,
                    const xlm_graph_view *view); // parameters and constants are not drawn
// " wq": the parameters and inputs that a node reads, by the last part of their names, or " d/wq": the
// parameter whose gradient it computes. Starts with a blank; "" if there are none.
void xlm_view_weights(xlm_text *t, const xlm_graph *g, const xlm_node_info *n);
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
void xlm_view_attrs(xlm_text *t, const xlm_attrs *as);             // "causal 1, window 512"
uint32_t xlm_view_line(const xlm_graph *g, xlm_span s);            // of the whole text; 0 = none
// The same for people: "line 12" of the model's file, "blocks/norm.xlm:12" of another.
const char *xlm_view_line_text(const xlm_graph *g, uint32_t line, xlm_arena *a);
uint64_t xlm_view_wire(const xlm_graph *g, const xlm_graph_view *view,
                       xlm_node n); // bytes sent by a collective or send

#endif
