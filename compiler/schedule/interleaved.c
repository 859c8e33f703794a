// Interleaved 1F1B (Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters Using
// Megatron-LM", 2021): each stage has several chunks of the model, so the pipeline fills chunk by chunk and
// the bubble is divided by their number. Microbatches advance in groups of `stages`: a stage runs a group
// through its first chunk, then through its second, and so on; the backward visits the chunks in reverse.
#include "compiler/schedule/schedule_priv.h"

// The k-th forward (or backward) of any stage.
static void push(xlm_arena *a, xlm_schedule_plan *s, int stage, xlm_segment_kind kind, int64_t k) {
  int64_t group = (int64_t)s->stages * s->chunks, in_group = k % group, chunk = in_group / s->stages;
  if (kind == XLM_SEG_B) chunk = s->chunks - 1 - chunk;
  xlm_schedule_push(a, &s->stage[stage], kind, (int)chunk, k / group * s->stages + in_group % s->stages);
}

void xlm_schedule_interleaved(xlm_arena *a, xlm_schedule_plan *s, int stage) {
  int64_t n = s->microbatches * s->chunks;
  int64_t ahead = 2 * (int64_t)(s->stages - stage - 1) + (int64_t)(s->chunks - 1) * s->stages;
  if (ahead > n) ahead = n;
  for (int64_t k = 0; k < ahead; k++) push(a, s, stage, XLM_SEG_F, k);
  for (int64_t k = 0; k < n; k++) {
    if (k + ahead < n) push(a, s, stage, XLM_SEG_F, k + ahead);
    push(a, s, stage, XLM_SEG_B, k);
  }
}
