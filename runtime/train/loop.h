// The training loop: steps, evaluation, checkpoints, metrics. It prints nothing; events for the user go
// through `report`. Every process of a run is in the loop; process 0 decides when it ends, writes
// checkpoints, metrics and the curve, and reports.
#ifndef XLM_TRAIN_LOOP_H
#define XLM_TRAIN_LOOP_H

#include <signal.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/data/data.h"
#include "runtime/exec/team.h"
#include "runtime/train/curve.h"
#include "runtime/train/progress.h"
#include "runtime/train/lr_schedule.h"
#include "runtime/train/tracer.h"

typedef enum xlm_loop_event { // the subject of a report
  XLM_LOOP_BEGINS,            // something that may take long: path says what
  XLM_LOOP_STEP,              // a step was completed
  XLM_LOOP_LOGGED,            // ... and it is to be logged
  XLM_LOOP_VALID,             // an evaluation was completed: progress.m.val_loss
  XLM_LOOP_SAMPLED,           // samples were written: progress.m.samples
  XLM_LOOP_SAVED,             // a checkpoint was written: path
  XLM_LOOP_NOTE,              // a message for the user: path is the sentence
} xlm_loop_event;

// Lets the model write; every process calls it at the same steps, and gets the same list, which stays valid
// until the next call. It leaves states as they are.
typedef xlm_status xlm_loop_sample(void *arg, const xlm_metrics_sample **list, int *n, xlm_error *err);

typedef struct xlm_loop_options {
  xlm_team *team;
  xlm_saver *saver;                 // NULL: no checkpoints
  const xlm_samples *train, *valid; // valid: NULL = no evaluation
  xlm_schedule schedule;
  int64_t first_step, max_steps;                                    // first_step: steps done before (resume)
  int64_t log_interval, save_interval, eval_interval, eval_batches; // 0: never; eval also runs at the end
  int64_t sample_interval;                                          // 0: never; else also at the end
  xlm_loop_sample *sample;                                          // NULL with interval 0
  void *sample_arg;
  int metrics;            // file descriptor; -1 = none
  const int *tensorboard; // file descriptor of the events; NULL = none
  double elapsed_s;       // of earlier parts of the run
  xlm_curve *curve;
  bool keep_best;           // save after an evaluation with the lowest loss so far
  int64_t patience;         // end after this many evaluations without a lower loss; 0: never
  xlm_checkpoint_info info; // seed, model text, settings, the best so far; the loop sets the position
  double peak_flops;        // of the machine, for MFU; 0 = unknown. Raised if the run is faster
  xlm_tracer *tracer;       // owned by the caller; NULL = no trace
  const volatile sig_atomic_t *stop; // when it becomes non-zero: finish the step, save, return
  void (*report)(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path);
  void *report_arg;
} xlm_loop_options;

typedef struct xlm_loop_result {
  int64_t step;
  double loss, val_loss; // the last ones; NaN when there are none
  bool stopped;          // by `stop`
  bool early;            // by `patience`
  bool diverged;         // it failed because a value is not finite
  xlm_best best;
  char checkpoint[4096]; // the last one written; ""
} xlm_loop_result;

// XLM_ENV with the step and the first bad tensor when the loss or the gradient norm is not finite; nothing is
// saved in that case.
xlm_status xlm_loop_run(const xlm_loop_options *o, xlm_loop_result *out, xlm_error *err) XLM_MUST_CHECK;

#endif
