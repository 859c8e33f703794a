// Feeding: copies samples and scalars into the inputs of a plan.
#ifndef XLM_TRAIN_FEED_H
#define XLM_TRAIN_FEED_H

#include "runtime/data/data.h"
#include "runtime/exec/team.h"
#include "runtime/train/prefetch.h"

enum { XLM_MAX_INPUTS = 64 };

typedef struct xlm_feed_dim { // a dimension of an input that a sample has, too
  const xlm_dim_info *dim;
  int64_t here, there; // strides in elements: in the local part of the input, in the sample
} xlm_feed_dim;

typedef struct xlm_feed_input { // how one input is filled
  uint32_t index;               // of the plan's inputs
  xlm_input_role role;
  bool whole_step;
  // Data: the local part of [batch, ..], and the stride between microbatches in an input of the whole step.
  xlm_dtype dtype;
  int64_t first; // cell of a sample
  int64_t rows, first_row, row_stride, microbatch_stride;
  int n_dims;
  xlm_feed_dim dims[XLM_MAX_RANK];
  void *local; // staging buffer for that part
  int64_t n;   // number of elements; 0: a scalar
} xlm_feed_input;

typedef struct xlm_feed {
  const xlm_samples *samples;
  const xlm_plan *plan;
  int64_t step; // optimizer steps done before this one
  double lr;
  int n;
  xlm_feed_input inputs[XLM_MAX_INPUTS];
  int32_t *sample;           // the cells of one
  const xlm_prefetch *ahead; // of the team; NULL: samples are read when they are needed
} xlm_feed;

// What a plan asks of its data: a field for each source of its inputs, the vocabulary of `tokens`, and how
// far ahead they are read; allocated in a. XLM_USER when two inputs disagree.
xlm_status xlm_plan_data(const xlm_plan *p, xlm_arena *a, xlm_data_options *out,
                         xlm_error *err) XLM_MUST_CHECK;

// XLM_USER when the model has an input that the samples do not fill.
xlm_status xlm_feed_open(const xlm_exec *e, const xlm_samples *samples, bool eval, xlm_feed *out,
                         xlm_error *err) XLM_MUST_CHECK;
void xlm_feed_close(xlm_feed *f);

// xlm_exec_feed of a training step; arg is an xlm_feed.
xlm_status xlm_feed_step(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err) XLM_MUST_CHECK;

// The feeds of all ranks of a team.
typedef struct xlm_feeds {
  xlm_team *team;
  int n;
  xlm_feed *at;        // [n]
  void **args;         // [n], for xlm_team_step
  xlm_prefetch *ahead; // samples of training steps
} xlm_feeds;

xlm_status xlm_feeds_open(xlm_team *team, const xlm_samples *samples, bool eval, xlm_feeds *out,
                          xlm_error *err) XLM_MUST_CHECK;
void xlm_feeds_close(xlm_feeds *f);
// One training step on every rank: step counts from 0.
xlm_status xlm_feeds_step(xlm_feeds *f, uint64_t seed, int64_t step, double lr,
                          xlm_error *err) XLM_MUST_CHECK;

// Puts window `at` of the samples into row `row` of the next evaluation batch.
xlm_status xlm_feed_window(xlm_feed *f, int64_t row, int64_t at, xlm_error *err) XLM_MUST_CHECK;
// Copies the rows of an evaluation batch to this rank's input.
xlm_status xlm_feed_eval(const xlm_feed *f, xlm_exec *e, xlm_error *err) XLM_MUST_CHECK;

#endif
