// Learning-rate schedules: linear warm-up, then the named shape from the peak to the minimum.
#ifndef XLM_TRAIN_LR_SCHEDULE_H
#define XLM_TRAIN_LR_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum xlm_schedule_kind {
  XLM_COSINE,
  XLM_LINEAR,
  XLM_CONSTANT,
  XLM_WSD,
  XLM_SCHEDULES,
  XLM_SWEEP = XLM_SCHEDULES, // without a name: from `peak` to `min` by equal factors, to find a rate
} xlm_schedule_kind;

typedef struct xlm_schedule {
  xlm_schedule_kind kind;
  double peak, min;
  int64_t steps, warmup;
  int64_t decay; // wsd: number of last steps in which the rate falls linearly; before them it stays at the
                 // peak
} xlm_schedule;

const char *xlm_schedule_name(xlm_schedule_kind k); // "cosine", "linear", "constant", "wsd"
bool xlm_schedule_parse(const char *name, xlm_schedule_kind *out);
// The rate of a step, counted from 0. Warm-up: step t of w has peak (t + 1) / w. The rate reaches min at
// `steps`.
double xlm_schedule_rate(const xlm_schedule *s, int64_t step);

#endif
