// Scores rows of tokens with the open team of a plan: the loglikelihood of each row's last tokens, given
// those before.
//
// Rows of different lengths share a batch: what is behind the end of one does not affect a causal model. A
// rank reduces the part of the vocabulary that it has, and the processes exchange three numbers per token, so
// that logits stay where they are in every layout. Every process calls the same functions with the same rows
// and gets the same scores.
#ifndef XLM_EVALUATE_SCORE_H
#define XLM_EVALUATE_SCORE_H

#include "runtime/evaluate/rows.h"
#include "runtime/exec/team.h"

XLM_C_BEGIN

typedef struct xlm_scorer xlm_scorer;

// What the model reads of a row at most, and its vocabulary. XLM_USER: the plan's model has no logits (an
// output [batch, seq, vocab]), or depends on inputs that a text does not fill. In `a`: the message.
xlm_status xlm_scorer_window(xlm_arena *a, const xlm_plan *plan, int64_t *window, int64_t *vocab,
                             xlm_error *err) XLM_MUST_CHECK;

// For a plan that xlm_scorer_window accepts. All in `a`; nothing has to be closed.
xlm_scorer *xlm_scorer_new(xlm_arena *a, xlm_team *team, uint64_t seed);
int64_t xlm_scorer_batch(const xlm_scorer *s); // rows that are scored at once

// Scores up to a batch of rows, none longer than the window. Allocates nothing.
xlm_status xlm_scorer_run(xlm_scorer *s, xlm_row *rows, int64_t n, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
