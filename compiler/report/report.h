// Views of graphs and plans, for people and tools: text, DOT, JSON. They do not change anything.
#ifndef XLM_REPORT_REPORT_H
#define XLM_REPORT_REPORT_H

#include "compiler/cost/cluster.h"
#include "compiler/diagnose/diag.h"
#include "compiler/ir/graph.h"
#include "runtime/base/json.h"
#include "runtime/plan/plan.h"

typedef struct xlm_report_options {
  uint64_t memory_limit; // bytes per rank; 0 = unknown
  xlm_program_id program; // the one that is shown
  int top;               // number of tensors and ops to list; 0 = 8
  const xlm_cluster *cluster; // for the floors of kernels; NULL: they are not shown
} xlm_report_options;

// The page that `xlmc plan` prints: model and data, bytes per category, the peak and its instruction, FLOPs,
// ops.
void xlm_report_plan_text(const xlm_plan *p, const xlm_report_options *o, xlm_text *out);
// What a run of the program computes: "16 x 256 tokens per step, 1 microbatch".
const char *xlm_report_work(const xlm_plan *p, xlm_program_id program, xlm_arena *a);
const char *xlm_report_run_name(xlm_program_id program); // "step", "pass", "chunk", "token"
// A line about what decoding keeps, per sequence and per token; nothing if it keeps nothing.
void xlm_report_caches_text(const xlm_plan *p, xlm_text *out);
// A line about parameters that are not stored densely (xlm_panels); nothing if all are.
void xlm_report_panels_text(const xlm_plan *p, xlm_text *out);
// A line that says in how many parts logits and loss are computed; nothing if it is one.
void xlm_report_loss_parts(const xlm_plan *p, xlm_program_id program, xlm_text *out);
// Every instruction of every rank plan, one per line.
void xlm_report_plan_program(const xlm_plan *p, xlm_text *out);
// One screen for `xlmc check`: dims, parameters by block, inputs, losses, outputs, shard rules.
void xlm_report_model_text(const xlm_graph *g, xlm_text *out);
// Of it name, preset and parameters, as member `key` of an open object.
void xlm_report_model_json(const xlm_graph *g, xlm_arena *a, const char *key, xlm_json *out);
// Diagnostics in the order in which they were found, as member `key`; docs/errors.md lists the codes.
void xlm_report_diags_json(const xlm_diags *d, const char *key, xlm_json *out);

typedef struct xlm_graph_view {
  int depth; // scopes deeper than this are one box; 0 = boxes for top-level blocks of each round; -1 = every
             // op
  const char *only;     // the block to draw, as "layers.0"; NULL = everything
  bool each;            // draw each of equal blocks, as the layers of a model; or else one for all
  const xlm_mesh *mesh; // of a partitioned graph: names of the axes; may be NULL
} xlm_graph_view;
// XLM_USER when the graph has no block `only`; the message suggests a similar name.
xlm_status xlm_view_check(const xlm_graph *g, const xlm_graph_view *view, xlm_arena *a,
                          xlm_error *err) XLM_MUST_CHECK;
void xlm_report_graph_dot(const xlm_graph *g, const xlm_graph_view *view, xlm_text *out);
void xlm_report_graph_json(const xlm_graph *g, const xlm_graph_view *view, xlm_text *out);
void xlm_report_graph_text(const xlm_graph *g, const xlm_graph_view *view, xlm_text *out);

#endif
