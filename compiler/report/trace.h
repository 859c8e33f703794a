// The planned step as a trace, in the form of a measured one (runtime/plan/trace.h).
#ifndef XLM_REPORT_TRACE_H
#define XLM_REPORT_TRACE_H

#include "compiler/cost/estimate.h"
#include "runtime/plan/trace.h"

// Draws the first rank of each stage. The estimate must be of this plan on this cluster. With more than
// XLM_REPORT_TRACE_OPS operations, only segments and messages are drawn.
enum { XLM_REPORT_TRACE_OPS = 200000 };
void xlm_report_trace(const xlm_plan *p, const xlm_cluster *c, const xlm_estimate *e, xlm_text *out);
// The events alone, for a file with other traces.
void xlm_report_trace_events(const xlm_plan *p, const xlm_cluster *c, const xlm_estimate *e, xlm_arena *a,
                             xlm_json *out);

#endif
