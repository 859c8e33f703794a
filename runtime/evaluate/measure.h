// What is measured by the scores of a task's items, with the formulas of lm-evaluation-harness
// (github.com/EleutherAI/lm-evaluation-harness, lm_eval/api/task.py and metrics.py).
#ifndef XLM_EVALUATE_MEASURE_H
#define XLM_EVALUATE_MEASURE_H

#include "runtime/evaluate/task.h"

XLM_C_BEGIN

typedef struct xlm_item_score {
  const double *loglikelihood; // of each of the item's texts, in nats
  const bool *greedy;          // is each token of the text the most likely one?
} xlm_item_score;

typedef struct xlm_measured {
  double value;
  double error; // standard error; NaN: there is none
} xlm_measured;

const char *xlm_measure_name(const xlm_measure *m);
// acc: is the answer the most likely choice (or all of a continuation the most likely)? acc_norm, acc_bytes:
// per character and per byte of the choice. perplexity: exp(-mean) of the loglikelihoods. word_perplexity,
// byte_perplexity: exp(-sum of the loglikelihoods / number of words or bytes); bits_per_byte: log2 of that.
// XLM_USER: there is none of this name for tasks of this type.
xlm_status xlm_measure_find(xlm_task_type type, const char *name, const xlm_measure **out,
                            xlm_error *err) XLM_MUST_CHECK;
double xlm_measure_item(const xlm_measure *m, const xlm_item *item, xlm_item_score score);
// scores: of all items. The standard error of a mean is s / sqrt(n); that of exp(-mean) is exp(-mean) times
// it, to first order (lm-evaluation-harness draws random samples instead). Others have none, nor has one
// item.
xlm_measured xlm_measure_all(const xlm_measure *m, const xlm_items *items, const xlm_item_score *scores);

XLM_C_END

#endif
