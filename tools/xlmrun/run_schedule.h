// The learning rates of a run, from its settings.
#ifndef XLM_XLMRUN_RUN_SCHEDULE_H
#define XLM_XLMRUN_RUN_SCHEDULE_H

#include "runtime/train/lr_schedule.h"
#include "tools/xlmrun/session.h"

// Rejects contradictory settings. A default is adapted instead: a low --learning-rate becomes its own
// minimum.
xlm_status run_schedule_find(session *s, xlm_schedule *c);

#endif
