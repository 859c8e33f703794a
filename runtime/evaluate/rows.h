// From texts to rows of tokens, as lm-evaluation-harness makes them (lm_eval/api/model.py and
// models/huggingface.py): prompt and continuation are encoded together, and what the prompt alone does not
// give belongs to the continuation.
#ifndef XLM_EVALUATE_ROWS_H
#define XLM_EVALUATE_ROWS_H

#include "runtime/evaluate/task.h"
#include "runtime/tokenizer/tokenizer.h"

XLM_C_BEGIN

typedef struct xlm_encoder {
  const xlm_tokenizer *tokenizer; // NULL: a token is a byte
  int32_t prefix;                 // token before a text without a prompt
} xlm_encoder;

typedef struct xlm_row { // a sequence, whose last tokens are scored
  const int32_t *tokens; // [n]; the last is only a target
  int64_t n, scored;
  int64_t item; // and which of its texts
  int text;
  double loglikelihood; // of the scored tokens, in nats; filled by xlm_scorer_run
  bool greedy;          // is each of them the most likely one?
} xlm_row;

typedef struct xlm_rows {
  xlm_row *at;
  int64_t n, cap;
  int64_t cut;     // rows whose beginning was cut off, because they were longer than the window
  int64_t longest; // tokens that the model reads of one
} xlm_rows;

// The encoder of a model: begins texts with the tokenizer's BOS, else EOS; bytes with a line's end. XLM_USER:
// the tokenizer has neither.
xlm_status xlm_encoder_of(const xlm_tokenizer *t, xlm_encoder *out, xlm_error *err) XLM_MUST_CHECK;

// Appends the rows of a task's items. window: tokens that the model reads at most; a longer prompt loses its
// beginning, a longer text becomes several rows, each but the first with one token before those scored. All
// in `a`. XLM_USER with file and record: a continuation has no tokens, or more than the window.
xlm_status xlm_rows_add(xlm_arena *a, const char *path, const xlm_items *items, const xlm_encoder *e,
                        int64_t window, xlm_rows *out, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
