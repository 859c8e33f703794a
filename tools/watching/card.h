// run.json in the output folder of a training run: what it is, for those who look at it. The run writes it
// before its first step and once more at its end.
#ifndef XLM_WATCHING_CARD_H
#define XLM_WATCHING_CARD_H

#include <stdint.h>

#include "runtime/base/text.h"

typedef struct xlm_card_setting {
  const char *key, *value; // "train.seed"; a list has one item per line
} xlm_card_setting;

typedef struct xlm_card {
  const char *model, *preset, *layout, *device; // layout: "pp 2 x tp 2"; "" = none
  double parameters;
  int64_t max_steps, tokens_per_step;
  const char *metrics; // path of the metrics file
  const char *ended;   // how: "done", "early", "stopped", "failed"; "" = not yet, or it was killed
  const xlm_card_setting *settings;
  int n_settings;
} xlm_card;

xlm_status xlm_card_write(xlm_arena *a, const xlm_card *c, const char *dir, xlm_error *err) XLM_MUST_CHECK;
// *found: false, and *out empty texts and zeros, if there is none. XLM_USER: it is not readable.
xlm_status xlm_card_read(xlm_arena *a, const char *dir, xlm_card *out, bool *found,
                         xlm_error *err) XLM_MUST_CHECK;

#endif
