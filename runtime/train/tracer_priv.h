// Turns recordings into the events of a trace.
#ifndef XLM_TRAIN_TRACER_PRIV_H
#define XLM_TRAIN_TRACER_PRIV_H

#include "runtime/exec/record.h"
#include "runtime/plan/trace.h"

typedef struct xlm_trace_end { // one end of a message
  int64_t from, to;
  int32_t tag;
  uint32_t order; // position among the rank's messages
  xlm_trace_point at;
} xlm_trace_end;

typedef struct xlm_trace_ends {
  xlm_trace_end *at;
  uint32_t n, cap;
} xlm_trace_ends;

typedef struct xlm_trace_page {
  const xlm_plan *plan;
  int chunks;
  xlm_arena *arena;
  xlm_json json;
  xlm_trace_ends sent, received;
} xlm_trace_page;

// Adds tracks and slices of a rank. The recording's times are relative to time 0.
void xlm_trace_page_rank(xlm_trace_page *p, int64_t rank, const xlm_record *r);
// Adds the arrows, after all ranks: the n-th message with a tag from one rank to another is the n-th that the
// other received.
void xlm_trace_page_messages(xlm_trace_page *p);

#endif
