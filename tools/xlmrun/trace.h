// --trace, --trace-steps, --cluster: the trace of a run.
#ifndef XLM_XLMRUN_TRACE_H
#define XLM_XLMRUN_TRACE_H

#include "tools/xlmrun/session.h"

// Opens s->tracer if a trace is requested; steps: of this run. Must follow session_open.
xlm_status session_open_trace(session *s, int64_t steps);
void session_show_trace(const session *s); // prints where the trace is, at the end

#endif
