// HTML pages: the plan, and a graph. Each is one self-contained file: data as JSON with style and scripts
// (html.css, html_*.js, embedded by the build); nothing is fetched.
#ifndef XLM_REPORT_HTML_H
#define XLM_REPORT_HTML_H

#include "compiler/cost/estimate.h"
#include "compiler/optimizer/optimizer.h"
#include "compiler/report/report.h"

typedef struct xlm_report_html {
  xlm_program_id program;        // the one that is shown
  const xlm_source *source;      // the model text, to show its lines; may be NULL
  uint64_t memory_limit;         // bytes per rank; 0 = unknown
  const char *schedule;          // name of the pipeline schedule; may be NULL
  const xlm_cluster *cluster;    // what the estimate is for; may be NULL
  const xlm_update_row *updates; // how parameters are updated
  int n_updates;
  const xlm_estimate *estimate; // of this plan; NULL: parts of the pipeline are weighted by their FLOPs
} xlm_report_html;

// Partition table, parameters, graph of each stage, pipeline as a Gantt chart, memory over one step,
// communication. A stage is represented by its rank plan with the largest arena; the partition table has all.
void xlm_report_plan_html(const xlm_plan *p, const xlm_report_html *options, xlm_text *out);
// The graph alone: blocks that can be expanded to their ops, collectives as separate nodes.
void xlm_report_graph_html(const xlm_graph *g, const xlm_graph_view *view, xlm_text *out);

#endif
