// Two streams: kernels and communication run concurrently, each in the order of its segment, so that a rank
// computes while it communicates. Dependencies between the streams are explicit in the plan: `after` of an
// instruction is the last instruction of the other stream that must finish before it starts. It is derived
// from memory accesses alone: two instructions that touch the same bytes, at least one of them writing, run
// in the order of the plan.
//
// Segments do not overlap: both streams are empty when a segment begins.
#ifndef XLM_PLAN_STREAMS_H
#define XLM_PLAN_STREAMS_H

#include "runtime/plan/plan.h"

XLM_C_BEGIN

// The stream of an operation: collectives and messages are communication.
xlm_stream xlm_stream_of(xlm_op_id op);

// Fills after[i - s->first] for the instructions of one segment of a placed plan, as `after` of xlm_instr.
// Scratch in `a`. The time is proportional to the distance the streams run apart, not to the square of the
// segment's length.
void xlm_streams_order(const xlm_rank_plan *r, const xlm_segment *s, xlm_arena *a, uint32_t *after);

// Does `after` order all conflicting accesses to memory? If not, *first and *then are two instructions that
// could run at once.
bool xlm_streams_check(const xlm_rank_plan *r, const xlm_segment *s, xlm_arena *a, uint32_t *first,
                       uint32_t *then);

XLM_C_END

#endif
