// The planned step as a trace; its shape is that of a measured one (runtime/plan/trace.h).
#ifndef XLM_REPORT_TRACE_H
#define XLM_REPORT_TRACE_H

#include "compiler/cost/estimate.h"
#include "runtime/plan/trace.h"

// One rank of each stage: its first. The estimate is of this plan on this cluster. Operations are drawn
// unless they are more than XLM_REPORT_TRACE_OPS: then segments and messages alone.
enum { XLM_REPORT_TRACE_OPS = 200000 };
void xlm_report_trace(const xlm_plan *p, const xlm_cluster *c, const xlm_estimate *e, xlm_text *out);
// Its events alone, to stand in a file beside others.
void xlm_report_trace_events(const xlm_plan *p, const xlm_cluster *c, const xlm_estimate *e, xlm_arena *a,
                             xlm_json *out);

#endif
