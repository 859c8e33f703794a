// Traces of a training step in Chrome's trace event format, as Perfetto and chrome://tracing read it. A
// planned step and a measured one have the same shape: a process for what it is, a track for each rank, a
// slice for each segment of the schedule, arrows for messages between stages. So the two can be laid over
// each other. Times are seconds from the begin of the step.
#ifndef XLM_PLAN_TRACE_H
#define XLM_PLAN_TRACE_H

#include "runtime/plan/plan.h"

typedef enum xlm_trace_source { XLM_TRACE_PLANNED = 1, XLM_TRACE_MEASURED = 2 } xlm_trace_source;

// A trace is opened, given any number of tracks, slices and messages in any order, and closed. Slices of
// several steps follow each other in time.
void xlm_trace_open(xlm_text *t, xlm_trace_source source, const char *model);
void xlm_trace_track(xlm_text *t, xlm_trace_source source, int64_t rank, int stage);
// name and category come from kind, microbatch and chunk: "F 3", with several chunks "F 3.1", "step".
void xlm_trace_slice(xlm_text *t, xlm_trace_source source, int64_t rank, const xlm_segment *s,
                     int32_t microbatch, int chunks, double begin, double end);
// Inside a slice: a kernel or collective, "all_gather layers.3.attention".
void xlm_trace_instr(xlm_text *t, xlm_trace_source source, int64_t rank, const xlm_instr *in, double begin,
                     double end);
// An arrow; id: different for every message of the trace.
void xlm_trace_message(xlm_text *t, xlm_trace_source source, int64_t id, int64_t from, double sent,
                       int64_t to, double received);
void xlm_trace_close(xlm_text *t);

#endif
