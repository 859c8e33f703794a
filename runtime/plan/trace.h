// Traces of a training step in Chrome's trace event format, for Perfetto and chrome://tracing. Planned and
// measured steps have the same form, so that they can be compared, in one file or in two: a process per
// source; per rank a track with a slice for each segment of the schedule and, within it, one for each
// operation; a second track for the rank's communication stream; arrows for messages between stages. Times
// are seconds since the start of the (first) step, with nanosecond resolution.
#ifndef XLM_PLAN_TRACE_H
#define XLM_PLAN_TRACE_H

#include "runtime/plan/plan.h"

XLM_C_BEGIN

typedef enum xlm_trace_source { XLM_TRACE_PLANNED = 1, XLM_TRACE_MEASURED = 2 } xlm_trace_source;

typedef struct xlm_trace_point {
  int64_t rank;
  xlm_stream stream;
  double time;
} xlm_trace_point;

// A trace is opened, given any number of processes, tracks, slices and messages in any order (but a slice
// before those inside it), and closed. Slices of successive steps follow each other in time.
void xlm_trace_open(xlm_json *j);
void xlm_trace_process(xlm_json *j, xlm_trace_source source, const char *model);
void xlm_trace_track(xlm_json *j, xlm_trace_source source, int64_t rank, xlm_stream stream, int stage);
// Name and category are made from kind, microbatch and chunk: "F 3", with several chunks "F 3.1", "step".
void xlm_trace_slice(xlm_json *j, xlm_trace_source source, int64_t rank, const xlm_segment *s,
                     int32_t microbatch, int chunks, double begin, double end);
// Inside a slice or on the communication track: a kernel or collective, "all_gather layers.3.attention".
void xlm_trace_instr(xlm_json *j, xlm_trace_source source, int64_t rank, xlm_stream stream,
                     const xlm_plan *plan, const xlm_instr *in, double begin, double end);
// An arrow; `id` is unique within the source. Each end belongs to the innermost slice that contains its time;
// a slice does not contain its own end. sent.time <= received.time.
void xlm_trace_message(xlm_json *j, xlm_trace_source source, int64_t id, xlm_trace_point sent,
                       xlm_trace_point received);
// A line across all tracks: "step 12".
void xlm_trace_mark(xlm_json *j, xlm_trace_source source, const char *name, double time);
void xlm_trace_close(xlm_json *j);

int xlm_trace_chunks(const xlm_plan *p); // parts of the model per stage

XLM_C_END

#endif
