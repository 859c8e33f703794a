// What a step of a plan takes on a cluster: an estimate from the plan's own instructions, never a
// measurement. docs/estimates.md says what is assumed and how far published runs are off.
#ifndef XLM_COST_ESTIMATE_H
#define XLM_COST_ESTIMATE_H

#include "compiler/cost/cluster.h"
#include "compiler/schedule/schedule.h"

typedef struct xlm_segment_cost { // seconds of one run of a segment
  double compute;                 // kernels, one after the other
  double communication;           // collectives, one after the other
  double total;                   // both streams together: between the larger of the two and their sum
  double message;                 // of what it sends to the next stage
} xlm_segment_cost;

// One kernel or collective; a message counts 0 (the schedule waits for it). *communication: which of the two
// streams.
double xlm_estimate_instr(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                          const xlm_instr *in, bool *communication);
// What a message is on its way, along pp; 0 for all but `send`.
double xlm_estimate_message(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                            const xlm_instr *in);
// The two streams of the plan: an instruction begins when its stream is free and what it comes `after` has
// ended.
xlm_segment_cost xlm_estimate_segment(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                      const xlm_segment *s, xlm_arena *a);

// The same, instruction by instruction: [s->n] seconds from the begin of the segment, in `a`.
xlm_interval *xlm_estimate_instrs(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                   const xlm_segment *s, xlm_arena *a);

// The share of a packed tensor's rows that is in use when every expert gets equally many; 1 for all other
// tensors.
double xlm_estimate_fill(const xlm_rank_plan *r, uint32_t tensor);

typedef struct xlm_estimate {
  const xlm_schedule_plan *schedule; // as the plan has it
  const xlm_part_cost *parts;        // [stages * chunks], of the slowest rank of each stage
  xlm_interval **times;             // [stages][entries], the step with its optimizer at the end
  double *optimizer;                 // [stages] seconds of the step segment
  double step, step_serial;          // seconds; serial: no communication hidden behind kernels
  double bubble;                     // idle share of the pipeline
  double compute, communication;     // seconds per step of the stage that has most to do
  double tokens, model_flops;        // per step, whole mesh
  double tokens_per_second, mfu;     // mfu: of the peak of the plan's element type, all ranks
} xlm_estimate;

// p has training segments. `a` holds the result.
xlm_estimate xlm_estimate_plan(const xlm_plan *p, const xlm_cluster *c, xlm_arena *a);

#endif
