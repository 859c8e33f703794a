// Reads ahead: a thread reads the windows of the next step while the current one runs.
#ifndef XLM_TRAIN_PREFETCH_H
#define XLM_TRAIN_PREFETCH_H

#include "runtime/data/data.h"

typedef struct xlm_prefetch xlm_prefetch;

// A step has `rows` samples: row r of step s is sample s * rows + r of the shuffled sequence. needed: [rows],
// the rows to read; the others belong to ranks of other processes. Allocates all memory (the needed windows
// of two steps) and starts the thread; samples must outlive it.
xlm_status xlm_prefetch_open(const xlm_samples *samples, int64_t rows, const bool *needed, xlm_prefetch **out,
                             xlm_error *err) XLM_MUST_CHECK;
void xlm_prefetch_close(xlm_prefetch *p); // accepts NULL

// Waits for the windows of this step and starts reading those of the next one. An error in reading a step is
// returned by the call for that step.
xlm_status xlm_prefetch_take(xlm_prefetch *p, int64_t step, xlm_error *err) XLM_MUST_CHECK;
// The window of a needed row of the current step; valid until the next xlm_prefetch_take. Thread-safe.
const int32_t *xlm_prefetch_window(const xlm_prefetch *p, int64_t row);

#endif
