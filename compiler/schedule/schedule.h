// Pipeline schedules: for each stage, the order in which it runs its segments and for which microbatch.
//
// The model is cut into `stages * chunks` parts; part k runs on stage k % stages (chunks > 1: interleaved). A
// schedule is data: the built-in ones are generated here, others are read from CSV. F is the forward of a
// part, B its backward, W its gradients of weights if they are separate (zero-bubble; otherwise B includes
// them); a step follows.
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
// XLM_USER explains what would work.
xlm_status xlm_schedule_make(xlm_arena *a, const char *name, int stages, int chunks, int64_t microbatches,
                             xlm_schedule_plan **out, xlm_error *err) XLM_MUST_CHECK;
const char *const *xlm_schedule_names(int *n);

// CSV: one line per stage, comma-separated entries F0, B0, W0 (with chunks: F0.1 = microbatch 0, chunk 1);
// `#` starts a comment. Errors name line and column.
xlm_status xlm_schedule_read_csv(xlm_arena *a, const char *path, const char *text, size_t n, int stages,
                                 int chunks, int64_t microbatches, xlm_schedule_plan **out,
                                 xlm_error *err) XLM_MUST_CHECK;
void xlm_schedule_print_csv(const xlm_schedule_plan *s, xlm_text *out);

// Checks that every stage runs F, B (and W, if separate) of each of its parts once per microbatch, F before B
// before W, then the step, and that the dependencies between neighbouring parts cannot deadlock. XLM_USER
// names two entries and what each waits for.
xlm_status xlm_schedule_check(const xlm_schedule_plan *s, xlm_arena *a, xlm_error *err) XLM_MUST_CHECK;

// Slots for what a stage stores per microbatch from one kind of entry to another, both included (F to B, F to
// W, B to W; without W segments nothing is stored for W). A slot is acquired at the first entry and released
// after the last. bytes[chunk]: stored per microbatch of this chunk. A slot has the size of one chunk and
// also serves smaller ones; if all chunks have the same size, the number of slots is minimal. The schedule
// must have been checked.
typedef struct xlm_schedule_held {
  int32_t n;
  int16_t *chunk; // [n] the chunk that determines its size, largest first
  int32_t *slot;  // [entries of the stage]; -1 = none
} xlm_schedule_held;
xlm_schedule_held xlm_schedule_slots(const xlm_schedule_plan *s, int stage, xlm_segment_kind from,
                                     xlm_segment_kind to, const uint64_t *bytes, xlm_arena *a);

// Simulates the schedule, given seconds per part and kind (cost[part].f/b/w) and per message between
// neighbouring parts. Fills times[stage] (arrays parallel to the stages' entries, allocated in `a`; times
// itself is the caller's [stages], or NULL) and returns the length of the step without the optimizer. *bubble
// (may be NULL): the idle share over all stages. Without W segments B takes b + w. cost[k].send: from part k
// to k + 1 or back. cost[k].last: additional time of the last backward of the part. The schedule must have
// been checked.
typedef struct xlm_part_cost {
  double f, b, w, send, last;
} xlm_part_cost;
typedef struct xlm_interval {
  double start, end;
} xlm_interval;
double xlm_schedule_simulate(const xlm_schedule_plan *s, const xlm_part_cost *cost, xlm_arena *a,
                             xlm_interval **times, double *bubble);

#endif
