// Reading one step ahead: the windows of the next step are read by a thread of their own while this one runs.
#ifndef XLM_TRAIN_PREFETCH_H
#define XLM_TRAIN_PREFETCH_H

#include "runtime/data/data.h"

typedef struct xlm_prefetch xlm_prefetch;

// A step has `rows` samples: row r of step s is sample s * rows + r of the shuffled sequence. needed: [rows],
// those that are read; the others belong to ranks elsewhere. Takes all its memory (the needed windows of two
// steps) and starts the thread; samples are kept by the caller.
xlm_status xlm_prefetch_open(const xlm_samples *samples, int64_t rows, const bool *needed, xlm_prefetch **out,
                             xlm_error *err) XLM_MUST_CHECK;
void xlm_prefetch_close(xlm_prefetch *p); // NULL is nothing

// Waits until the windows of this step are there, and lets those of the next one be read. What goes wrong
// while a step is read is the result of the call that asks for this step.
xlm_status xlm_prefetch_take(xlm_prefetch *p, int64_t step, xlm_error *err) XLM_MUST_CHECK;
// The window of a needed row of the step taken last, until the next is taken. From any thread.
const int32_t *xlm_prefetch_window(const xlm_prefetch *p, int64_t row);

#endif
