// What a training run says: at its beginning, while it goes on, and at its end.
#ifndef XLM_XLMRUN_TRAIN_TEXT_H
#define XLM_XLMRUN_TRAIN_TEXT_H

#include "runtime/train/loop.h"
#include "tools/xlmrun/corpus.h"

// The run, its data, what it is resumed from, and settings that look like mistakes.
void train_introduce(session *s, const corpus *c, const xlm_loop_options *o);
// For xlm_loop_options.report. Log lines, evaluations and checkpoints stay on the screen; other steps only
// rewrite the live line.
void train_report(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path);
// Writes the loss curve to the file `curve`, and says how the run ended and where its files are.
xlm_status train_conclude(session *s, const xlm_loop_options *o, const xlm_loop_result *r, const char *dir,
                          const char *metrics, const char *curve);

#endif
