// Watching: reads the numbers of a plan (loss, gradient norm, metrics) from whichever rank computes them.
//
// A process reads those of its own ranks and shares them, so that all processes have the same values and make
// the same decisions: whether to continue, when to evaluate and to save. Lists are only looked at: process 0
// gets them when it is to write them.
#ifndef XLM_TRAIN_WATCH_H
#define XLM_TRAIN_WATCH_H

#include "runtime/exec/team.h"

typedef struct xlm_watched {
  const char *name; // of the plan's output
  xlm_output_role role;
  int member;  // of the team; -1: another process has it
  int process; // the first that has it, once a step was read
  uint32_t output;
  double value; // last value read; of a scalar
  int64_t n;    // of a list: how many; 0: a scalar
  double *list; // [n]: the last list read, on process 0
} xlm_watched;

typedef struct xlm_watch {
  xlm_team *team;
  int n;
  xlm_watched *at;              // [n], allocated by xlm_watch_open
  struct xlm_watch_part *parts; // [n], of an evaluation
  struct xlm_watch_note *notes; // [processes + 1] times n + 1
} xlm_watch;

// eval: watches the scalars of the eval segment.
xlm_status xlm_watch_open(xlm_team *team, bool eval, xlm_watch *out, xlm_error *err) XLM_MUST_CHECK;
void xlm_watch_close(xlm_watch *w);
int xlm_watch_find(const xlm_watch *w, const char *name); // -1: the plan has no such output
// After a step (an evaluation) was started: its values are to be read, with this box of the device (see
// xlm_exec_fetch_scalar). Then the next step may be started.
xlm_status xlm_watch_start(xlm_watch *w, int box, xlm_error *err) XLM_MUST_CHECK;
// Waits for these values and updates the scalars. *flag (may be NULL) is set to that of process 0.
xlm_status xlm_watch_read(xlm_watch *w, int box, bool *flag, xlm_error *err) XLM_MUST_CHECK;
// Brings the lists of the step that was read to process 0, as long as its box is not used again. Every
// process calls it.
xlm_status xlm_watch_read_lists(xlm_watch *w, int box, xlm_error *err) XLM_MUST_CHECK;

// Mean loss per valid token over `count` windows (0, or more than exist: all), spread evenly over the
// samples. The choice of windows, each counted once, does not depend on the layout or the micro batch.
// *tokens: number of targets. w: of the eval segment.
struct xlm_feeds;
xlm_status xlm_evaluate(struct xlm_feeds *f, xlm_watch *w, xlm_step_env env, int64_t count, double *loss,
                        int64_t *tokens, xlm_error *err) XLM_MUST_CHECK;

#endif
