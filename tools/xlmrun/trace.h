// --trace, --trace-steps, --cluster: the trace of a run.
#ifndef XLM_XLMRUN_TRACE_H
#define XLM_XLMRUN_TRACE_H

#include "tools/xlmrun/session.h"

// Opens s->tracer, if a trace is wanted; steps: of this run. After session_open.
xlm_status session_open_trace(session *s, int64_t steps);
void session_show_trace(const session *s); // at the end, for a person

#endif
