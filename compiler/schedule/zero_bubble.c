// ZB-H1 (Qi et al., "Zero Bubble Pipeline Parallelism", 2024): 1F1B with the gradients of weights (W)
// separated from the backward pass. W depends only on its own B and nothing waits for it, so it is delayed:
// on stage i by i microbatches. B then moves up the pipeline without waiting for any W, delayed W entries
// fill the end, and every stage stores at most `stages` microbatches, as many as the first stage of 1F1B.
#include "compiler/schedule/schedule_priv.h"

void xlm_schedule_zero_bubble(xlm_arena *a, xlm_schedule_plan *s, int stage) {
  xlm_stage_schedule *st = &s->stage[stage];
  int64_t m = s->microbatches, ahead = s->stages - stage - 1, late = stage;
  if (ahead > m) ahead = m;
  for (int64_t i = 0; i < ahead; i++) xlm_schedule_push(a, st, XLM_SEG_F, 0, i);
  for (int64_t i = 0; i < m; i++) {
    if (i + ahead < m) xlm_schedule_push(a, st, XLM_SEG_F, 0, i + ahead);
    xlm_schedule_push(a, st, XLM_SEG_B, 0, i);
    if (i >= late) xlm_schedule_push(a, st, XLM_SEG_W, 0, i - late);
  }
  for (int64_t i = m > late ? m - late : 0; i < m; i++) xlm_schedule_push(a, st, XLM_SEG_W, 0, i);
}
