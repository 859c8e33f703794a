// Examples in prompts ("few shots"): questions of the training data with their answers, before the question.
#ifndef XLM_EVALUATE_EXAMPLES_H
#define XLM_EVALUATE_EXAMPLES_H

#include "runtime/evaluate/task.h"

XLM_C_BEGIN

// The file with examples beside a task's data, by the task's rules about their names. XLM_USER: there is
// none; or the task has no such rules.
xlm_status xlm_task_examples(xlm_arena *a, const xlm_task *t, const char *data, const char **out,
                             xlm_error *err) XLM_MUST_CHECK;

// Puts `shots` of the examples before the prompts of every item, an empty line behind each. Those that
// lm-evaluation-harness takes: Python's random.Random(1234).sample(examples, shots) for one item after the
// other; it draws one more for data sets without a test split (`spare_example`). XLM_USER: there are fewer.
// For tasks of the types choice and prompts.
xlm_status xlm_items_add_examples(xlm_arena *a, const xlm_task *t, const xlm_items *examples, int64_t shots,
                                  xlm_items *items, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
