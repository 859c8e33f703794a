// Progress of a training run, as one line of text.
#ifndef XLM_TRAIN_PROGRESS_H
#define XLM_TRAIN_PROGRESS_H

#include <stdint.h>

#include "runtime/train/metrics.h"

typedef struct xlm_progress {
  xlm_metrics_line m;
  int64_t max_steps;
  double seconds_left; // negative: unknown
} xlm_progress;

// At most `width` columns (parts that do not fit are omitted, the least important first); returns the columns
// used.
int xlm_progress_line(const xlm_progress *p, int width, char *out, int room);
// "45 s", "12 min", "3 h 20 min", "2 d 4 h".
void xlm_progress_time(double seconds, char *out, int room);

#endif
