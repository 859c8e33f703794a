// Metrics: a JSON object per line for each logged step. docs/metrics.md has the fields.
#ifndef XLM_TRAIN_METRICS_H
#define XLM_TRAIN_METRICS_H

#include <stdint.h>

#include "runtime/base/status.h"

typedef struct xlm_metrics_sample { // a text that the model has written
  const char *prompt, *text;        // text: what follows the prompt
} xlm_metrics_sample;

typedef struct xlm_metrics_own { // a metric of the model
  const char *name;
  int64_t n; // 0: a number; else a list of n
  const double *values;
} xlm_metrics_own;

typedef struct xlm_metrics_line {
  int64_t step, tokens;                          // done so far, including this step
  double loss, lr, grad_norm, tokens_per_s, mfu; // mfu: fraction of the peak; 0 when the peak is unknown
  double val_loss;                               // NaN: not evaluated
  double time;                                   // when the step ended, in seconds since 1970
  double elapsed_s; // of the run up to then; pauses between a stop and a resume do not count
  double step_s;    // per step, mean over the steps since the last line; evaluation and saving do not count
  uint64_t memory_bytes; // peak of this process, resident
  uint64_t device_bytes; // of the first rank, of its device's own memory; 0: it has none
  int64_t skipped;       // steps left out by --skip-spikes since the last line; -1: no such rule
  int n_own;
  const xlm_metrics_own *own;
  int n_samples; // 0: none were written
  const xlm_metrics_sample *samples;
} xlm_metrics_line;

// Opens for appending. Lines after `step` (of a run that went beyond the checkpoint it resumes from) and an
// incomplete last line are dropped. *elapsed_s: of the last line that is kept; 0 if none is.
xlm_status xlm_metrics_open(const char *path, int64_t step, int *fd, double *elapsed_s,
                            xlm_error *err) XLM_MUST_CHECK;
// Not buffered; allocates nothing unless lists or samples are long.
xlm_status xlm_metrics_write(int fd, const xlm_metrics_line *line, xlm_error *err) XLM_MUST_CHECK;

#endif
