// A graph folded into boxes (blocks, or single ops) and the edges between them; shared by the DOT and JSON views.
#ifndef XLM_REPORT_GRAPH_VIEW_H
#define XLM_REPORT_GRAPH_VIEW_H

#include "compiler/report/report.h"

typedef struct xlm_view_box {
  const char *scope;  // "layers.0.attention"; "" at top level
  const char *label;  // block path, or the op's name
  xlm_phase phase;
  uint32_t nodes;     // ops inside
  double parameters, model_flops;
  uint32_t line;
  bool leaf;          // an input or output of the model
} xlm_view_box;

typedef struct xlm_view_edge {
  uint32_t from, to;  // boxes
  xlm_val val;        // one of the values that flow
} xlm_view_edge;

typedef struct xlm_folded {
  xlm_view_box *boxes;
  uint32_t n_boxes, cap_boxes;
  xlm_view_edge *edges;
  uint32_t n_edges, cap_edges;
} xlm_folded;

xlm_folded xlm_view_fold(const xlm_graph *g, const xlm_graph_view *view, xlm_arena *a);
const char *xlm_view_type(const xlm_graph *g, xlm_val v, xlm_arena *a); // "f32[batch 4, seq 512]"

#endif
