// Schedules by name: gpipe and 1f1b here, larger ones in files of their own. To add one: a function that
// fills a stage, its line in `names` and `makers`, and its properties in tests/layouts/test_schedule_plan.c.
//
// Every built-in schedule runs the microbatches of each part in ascending order, forward and backward, so
// that gradients are summed in the same order and have the same bits under every schedule.
#include "compiler/schedule/schedule.h"

#include <string.h>

#include "compiler/schedule/schedule_priv.h"

enum { MAX_ENTRIES = 1 << 28 }; // per stage

xlm_status xlm_schedule_new(xlm_arena *a, const char *name, int stages, int chunks, int64_t microbatches,
                            bool split_weights, xlm_schedule_plan **out, xlm_error *err) {
  if (stages < 1 || chunks < 1 || microbatches < 1 || stages > INT16_MAX || chunks > INT16_MAX)
    return xlm_fail(err, XLM_USER,
                    "a pipeline needs at least 1 stage, 1 chunk and 1 microbatch (and at most %d stages "
                    "or chunks); there are %d, %d and %lld",
                    INT16_MAX, stages, chunks, (long long)microbatches);
  if (microbatches > MAX_ENTRIES / chunks)
    return xlm_fail(err, XLM_USER,
                    "%lld microbatches of %d chunks are more than a schedule may have (%d); use fewer, "
                    "larger microbatches",
                    (long long)microbatches, chunks, MAX_ENTRIES);
  xlm_schedule_plan *s = XLM_NEW(a, xlm_schedule_plan);
  *s = (xlm_schedule_plan){.name = name,
                           .stages = stages,
                           .chunks = chunks,
                           .microbatches = microbatches,
                           .split_weights = split_weights,
                           .stage = XLM_NEW_N(a, xlm_stage_schedule, stages)};
  *out = s;
  return XLM_OK;
}

void xlm_schedule_push(xlm_arena *a, xlm_stage_schedule *st, xlm_segment_kind kind, int chunk,
                       int64_t microbatch) {
  xlm_pipeline_action e = {.kind = kind, .chunk = (int16_t)chunk, .microbatch = (int32_t)microbatch};
  XLM_PUSH(a, st->at, st->n, st->cap, e);
}

// All forwards, then all backwards.
static void gpipe(xlm_arena *a, xlm_schedule_plan *s, int stage) {
  for (int64_t m = 0; m < s->microbatches; m++) xlm_schedule_push(a, &s->stage[stage], XLM_SEG_F, 0, m);
  for (int64_t m = 0; m < s->microbatches; m++) xlm_schedule_push(a, &s->stage[stage], XLM_SEG_B, 0, m);
}

// As many forwards as there are stages after this one; then alternately one forward and one backward; then
// the remaining backwards.
static void one_f_one_b(xlm_arena *a, xlm_schedule_plan *s, int stage) {
  int64_t m = s->microbatches, ahead = s->stages - stage - 1;
  if (ahead > m) ahead = m;
  for (int64_t i = 0; i < ahead; i++) xlm_schedule_push(a, &s->stage[stage], XLM_SEG_F, 0, i);
  for (int64_t i = 0; i < m; i++) {
    if (i + ahead < m) xlm_schedule_push(a, &s->stage[stage], XLM_SEG_F, 0, i + ahead);
    xlm_schedule_push(a, &s->stage[stage], XLM_SEG_B, 0, i);
  }
}

static const char *const names[] = {"gpipe", "1f1b", "interleaved", "zb-h1", "zero-bubble"}; // an alias
enum { NAMES = sizeof names / sizeof *names, PROPER = NAMES - 1 };

static const struct {
  bool chunked, split;
  xlm_schedule_fill *fill;
} makers[PROPER] = {{false, false, gpipe},
                    {false, false, one_f_one_b},
                    {true, false, xlm_schedule_interleaved},
                    {false, true, xlm_schedule_zero_bubble}};

const char *const *xlm_schedule_names(int *n) {
  *n = PROPER;
  return names;
}

static xlm_status unknown(const char *name, xlm_error *err) {
  const char *near = xlm_text_nearest(name, names, NAMES);
  return xlm_fail(err, XLM_USER,
                  "there is no pipeline schedule `%.64s`; the schedules are gpipe, 1f1b, interleaved and "
                  "zb-h1 (zero-bubble), or a CSV file%s%s%s",
                  name, near ? ": did you mean `" : "", near ? near : "", near ? "`?" : "");
}

static xlm_status check_chunks(const char *name, bool chunked, int stages, int chunks, int64_t microbatches,
                               xlm_error *err) {
  if (!chunked && chunks > 1)
    return xlm_fail(err, XLM_USER,
                    "the schedule %s has one chunk per stage and %d are requested; use interleaved, or 1 "
                    "chunk",
                    name, chunks);
  if (!chunked) return XLM_OK;
  if (chunks == 1)
    return xlm_fail(err, XLM_USER,
                    "the schedule %s needs at least 2 chunks per stage; with 1 chunk it is 1f1b", name);
  int64_t below = stages > 0 ? microbatches / stages * stages : microbatches;
  if (below == microbatches) return XLM_OK;
  if (!below)
    return xlm_fail(err, XLM_USER,
                    "the schedule %s needs a number of microbatches that is a multiple of the %d stages; %lld "
                    "is not, %d or %d would be",
                    name, stages, (long long)microbatches, stages, 2 * stages);
  return xlm_fail(err, XLM_USER,
                  "the schedule %s needs a number of microbatches that is a multiple of the %d stages; %lld is "
                  "not, %lld or %lld would be",
                  name, stages, (long long)microbatches, (long long)below, (long long)(below + stages));
}

xlm_status xlm_schedule_make(xlm_arena *a, const char *name, int stages, int chunks, int64_t microbatches,
                             xlm_schedule_plan **out, xlm_error *err) {
  int which = 0;
  while (which < NAMES && strcmp(name, names[which])) which++;
  if (which == NAMES) return unknown(name, err);
  if (which == PROPER) which = PROPER - 1;
  XLM_TRY(xlm_schedule_new(a, names[which], stages, chunks, microbatches, makers[which].split, out, err));
  XLM_TRY(check_chunks(names[which], makers[which].chunked, stages, chunks, microbatches, err));
  for (int st = 0; st < stages; st++) {
    makers[which].fill(a, *out, st);
    xlm_schedule_push(a, &(*out)->stage[st], XLM_SEG_STEP, 0, -1);
  }
  return XLM_OK;
}
