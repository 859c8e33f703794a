// `xlmrun eval --tasks`: questions instead of held-out data.
#ifndef XLM_XLMRUN_EVAL_TASKS_H
#define XLM_XLMRUN_EVAL_TASKS_H

#include "runtime/evaluate/measure.h"
#include "runtime/evaluate/rows.h"
#include "tools/xlmrun/session.h"

typedef struct evaluation { // one task
  xlm_task *task;
  const char *file; // its data
  xlm_items items;
  xlm_rows rows;
  xlm_item_score *scores; // of the items
} evaluation;

typedef struct evaluations {
  evaluation *at;
  int n;
  int64_t window, length; // tokens that the model sees at most; of a sequence that is computed
} evaluations;

// Reads the tasks that --tasks names and their data from --task-data.
xlm_status tasks_open(session *s, evaluations *out);
// `--tasks list`: prints the shipped tasks.
bool tasks_asks_for_list(const session *s);
xlm_status tasks_list(session *s);
// Scores all of them and shows the results. The model is read; nothing is planned yet.
xlm_status eval_tasks(session *s);
// The results on standard output, as --format says, and all records into the file of --samples.
xlm_status tasks_show(session *s, const evaluations *all);

#endif
