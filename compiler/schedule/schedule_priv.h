// Shared by the files of schedules.
#ifndef XLM_SCHEDULE_SCHEDULE_PRIV_H
#define XLM_SCHEDULE_SCHEDULE_PRIV_H

#include "compiler/schedule/schedule.h"

// An empty schedule with capacity for every entry. XLM_USER when the counts are invalid.
xlm_status xlm_schedule_new(xlm_arena *a, const char *name, int stages, int chunks, int64_t microbatches,
                            bool split_weights, xlm_schedule_plan **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_schedule_push(xlm_arena *a, xlm_stage_schedule *st, xlm_segment_kind kind, int chunk,
                       int64_t microbatch);

// Writes the entries of one stage, without the step.
typedef void xlm_schedule_fill(xlm_arena *a, xlm_schedule_plan *s, int stage);
xlm_schedule_fill xlm_schedule_interleaved, xlm_schedule_zero_bubble;

// "F3", "F3.1" with several chunks, "step".
typedef struct xlm_entry_name {
  char text[48];
} xlm_entry_name;
xlm_entry_name xlm_schedule_entry(const xlm_schedule_plan *s, xlm_pipeline_action e);

// The entry whose message or value `e` of `stage` depends on, on the same or another stage; false: none.
typedef struct xlm_action_need {
  int stage;
  xlm_pipeline_action op;
} xlm_action_need;
bool xlm_schedule_need(const xlm_schedule_plan *s, int stage, xlm_pipeline_action e, xlm_action_need *need);

// Runs all stages concurrently, each in its order, until they finish or block; at[stage] = the first entry
// that cannot run. With `times` (as in xlm_schedule_simulate, arrays allocated) records intervals. Returns
// the end of the last entry. Linear time.
double xlm_schedule_walk(const xlm_schedule_plan *s, const xlm_part_cost *cost, xlm_arena *a, uint32_t *at,
                         xlm_interval **times);

#endif
