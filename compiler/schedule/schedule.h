// Pipeline schedules: for each stage, in which order its segments run for which microbatch.
//
// The model is cut into `stages * chunks` parts, part k on stage k % stages (chunks > 1: interleaved). A
// schedule is data: the built-in ones are generated here, a CSV file gives any other. F = forward of a part,
// B = its backward, W = its gradients of weights when they are split off (zero-bubble; otherwise B does
// both), then one step.
#ifndef XLM_SCHEDULE_SCHEDULE_H
#define XLM_SCHEDULE_SCHEDULE_H

#include "runtime/base/arena.h"
#include "runtime/plan/plan.h"

typedef struct xlm_pipeline_action {
  xlm_segment_kind kind; // F, B, W or STEP
  int16_t chunk;         // on this stage: part = chunk * stages + stage
  int32_t microbatch;    // -1 for STEP
} xlm_pipeline_action;

typedef struct xlm_stage_schedule {
  xlm_pipeline_action *at;
  uint32_t n, cap;
} xlm_stage_schedule;

typedef struct xlm_schedule_plan {
  const char *name;
  int stages, chunks;
  int64_t microbatches;
  bool split_weights;        // W segments exist
  xlm_stage_schedule *stage; // [stages]
} xlm_schedule_plan;

// name: gpipe, 1f1b, interleaved (chunks > 1; microbatches a multiple of stages), zb-h1 (or zero-bubble).
// XLM_USER with what would work.
xlm_status xlm_schedule_make(xlm_arena *a, const char *name, int stages, int chunks, int64_t microbatches,
                             xlm_schedule_plan **out, xlm_error *err) XLM_MUST_CHECK;
const char *const *xlm_schedule_names(int *n);

// CSV: one line per stage, comma-separated entries F0, B0, W0 (chunks: F0.1 = microbatch 0, chunk 1); `#`
// comments. Errors name line and column.
xlm_status xlm_schedule_read_csv(xlm_arena *a, const char *path, const char *text, size_t n, int stages,
                                 int chunks, int64_t microbatches, xlm_schedule_plan **out,
                                 xlm_error *err) XLM_MUST_CHECK;
void xlm_schedule_print_csv(const xlm_schedule_plan *s, xlm_text *out);

// Every stage runs F, B (and W, if split) of each of its parts for every microbatch exactly once, F before B
// before W, then the step; and, simulated with the dependencies between neighbouring parts, nothing waits on
// itself. XLM_USER explains: which two entries, what each waits for.
xlm_status xlm_schedule_check(const xlm_schedule_plan *s, xlm_arena *a, xlm_error *err) XLM_MUST_CHECK;

// Slots for what each microbatch of a stage keeps from one kind of entry to another, both included (F to B,
// F to W, B to W; without W segments nothing is kept to W): taken at the first, given back after the last.
// bytes[chunk]: what a microbatch keeps of this chunk. A slot has the size of one chunk and serves chunks
// that are no larger; with chunks of one size there are the fewest slots that do. The schedule has been
// checked.
typedef struct xlm_schedule_held {
  int32_t n;
  int16_t *chunk; // [n] whose size it has, largest first
  int32_t *slot;  // [entries of the stage]; -1 = none
} xlm_schedule_held;
xlm_schedule_held xlm_schedule_slots(const xlm_schedule_plan *s, int stage, xlm_segment_kind from,
                                     xlm_segment_kind to, const uint64_t *bytes, xlm_arena *a);

// When everything happens, given seconds per part and kind (cost[part].f/b/w) and per message between
// neighbouring parts: fills times[stage] (arrays parallel to the stages' entries, made in `a`; times itself
// is the caller's [stages], or NULL) and gives the length of the step without the optimizer. *bubble (may be
// NULL): the idle share of all stages. The schedule has been checked. Without W segments B takes b + w;
// cost[k].send is between part k and k + 1, either way; cost[k].last: what the last backward of the part
// takes longer than the others.
typedef struct xlm_part_cost {
  double f, b, w, send, last;
} xlm_part_cost;
typedef struct xlm_interval {
  double start, end;
} xlm_interval;
double xlm_schedule_simulate(const xlm_schedule_plan *s, const xlm_part_cost *cost, xlm_arena *a,
                             xlm_interval **times, double *bubble);

#endif
