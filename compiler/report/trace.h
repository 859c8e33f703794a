// The planned step as a trace; its shape is that of a measured one (runtime/plan/trace.h).
#ifndef XLM_REPORT_TRACE_H
#define XLM_REPORT_TRACE_H

#include "compiler/planner/estimate.h"
#include "runtime/plan/trace.h"

// One track per stage: its first rank. The estimate is of this plan.
void xlm_report_trace(const xlm_plan *p, const xlm_estimate *e, xlm_text *out);

#endif
