// Estimates the time of a plan's step on a cluster from the plan's instructions. docs/estimates.md lists the
// assumptions and the deviation from published runs.
#ifndef XLM_COST_ESTIMATE_H
#define XLM_COST_ESTIMATE_H

#include "compiler/cost/cluster.h"
#include "compiler/schedule/schedule.h"

typedef struct xlm_segment_cost { // seconds of one run of a segment
  double compute;                 // kernels, one after the other
  double communication;           // collectives, one after the other
  double total;                   // both streams: between the larger of the two and their sum
  double message;                 // of its message to the next stage
} xlm_segment_cost;

// Seconds of one kernel or collective; 0 for a message (the schedule accounts for it). *communication:
// whether it runs on the communication stream.
double xlm_estimate_instr(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                          const xlm_instr *in, bool *communication);
// Seconds of one kernel at its bound: the larger of its arithmetic and its memory traffic at what the best
// kernels of the device reach, without launch. 0 for communication.
double xlm_estimate_floor(const xlm_cluster *c, const xlm_rank_plan *r, const xlm_instr *in);
// Seconds a message takes along pp; 0 for all but `send`.
double xlm_estimate_message(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                            const xlm_instr *in);
// Simulates the plan's two streams: an instruction starts when its stream is free and its `after` has ended.
xlm_segment_cost xlm_estimate_segment(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                      const xlm_segment *s, xlm_arena *a);

// The same per instruction: [s->n] seconds from the start of the segment, in `a`.
xlm_interval *xlm_estimate_instrs(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                                  const xlm_segment *s, xlm_arena *a);

// The fraction of a packed tensor's rows in use when all experts get equally many; 1 for other tensors.
double xlm_estimate_fill(const xlm_rank_plan *r, uint32_t tensor);

typedef struct xlm_estimate {
  const xlm_schedule_plan *schedule; // the plan's
  const xlm_part_cost *parts;        // [stages * chunks], of the slowest rank of each stage
  xlm_interval **times;              // [stages][entries], the step with its optimizer at the end
  double *optimizer;                 // [stages] seconds of the step segment
  double step, step_serial;          // serial: with no communication overlapped
  double bubble;                     // idle share of the pipeline
  double compute, communication;     // seconds per step of the busiest stage
  double floor;                      // of its kernels, if each took its xlm_estimate_floor
  double tokens, model_flops;        // per step, whole mesh
  double tokens_per_second, mfu;     // mfu: relative to the peak of the plan's element type, all ranks
} xlm_estimate;

typedef struct xlm_run_estimate { // one run of another program on the whole mesh: all stages, one after the
                                  // other
  double seconds;                 // with the message to the next stage
  double compute, floor, communication; // of the slowest rank of each stage, as in xlm_estimate
  double tokens, tokens_per_second;     // it takes in, of all sequences
} xlm_run_estimate;

// Of decoding with full caches, and of all experts. Zeros if no rank has the program.
xlm_run_estimate xlm_estimate_run(const xlm_plan *p, const xlm_cluster *c, xlm_program_id program,
                                  xlm_arena *a);

// p must have training segments. The result is in `a`.
xlm_estimate xlm_estimate_plan(const xlm_plan *p, const xlm_cluster *c, xlm_arena *a);

#endif
