// Feeding: samples and scalars into the inputs of a plan.
#ifndef XLM_TRAIN_FEED_H
#define XLM_TRAIN_FEED_H

#include "runtime/data/data.h"
#include "runtime/exec/exec.h"

enum { XLM_MAX_INPUTS = 16 };

typedef struct xlm_feed_input { // how one input is filled, resolved once
  enum { XLM_FEED_TOKENS, XLM_FEED_LR, XLM_FEED_STEP, XLM_FEED_VALID } what;
  uint32_t index; // of the plan's inputs
  int shift;      // tokens: 0, or 1 for targets
  int64_t ignore;
  int64_t rows, first_row, row_stride, columns, first_column,
      column_stride; // tokens: the local part of [batch, seq]
  bool wide;         // f64 scalar
} xlm_feed_input;

typedef struct xlm_feed {
  const xlm_samples *samples;
  const xlm_plan *plan;
  int64_t step; // optimizer steps done before this one
  double lr;
  int n;
  xlm_feed_input inputs[XLM_MAX_INPUTS];
  int32_t *window; // seq + 1
} xlm_feed;

// XLM_USER when the model has an input that token data cannot fill.
xlm_status xlm_feed_open(const xlm_exec *e, const xlm_samples *samples, bool eval, xlm_feed *out,
                         xlm_error *err) XLM_MUST_CHECK;
void xlm_feed_close(xlm_feed *f);

// xlm_exec_feed of a training step; arg is an xlm_feed.
xlm_status xlm_feed_step(void *arg, xlm_exec *e, int64_t microbatch, int32_t slot,
                         xlm_error *err) XLM_MUST_CHECK;

// Mean loss per valid token over `batches` batches of windows, spread evenly over the samples; batches are
// capped at what there is. *tokens counts the targets.
xlm_status xlm_feed_evaluate(xlm_feed *f, xlm_exec *e, xlm_step_env env, int64_t batches, double *loss,
                             int64_t *tokens, xlm_error *err) XLM_MUST_CHECK;

#endif
