// See find_rate.h. The losses are smoothed by a running mean without bias; its slope against the logarithm of
// the rate, over a few steps to both sides, says where the loss falls fastest.
#include "tools/xlmrun/find_rate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/train/loop.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/run_settings.h"

enum { STEPS = 100, LEAST_STEPS = 20, ROWS = 20 };
static const double lowest_rate = 1e-6, highest_rate = 1, kept = 0.9, far = 1.5;

typedef struct point {
  double rate, loss; // loss: smoothed
} point;

typedef struct sweep {
  point *at;
  int64_t n, room;
  double sum, weight; // of the running mean
  bool rose;
  volatile sig_atomic_t *stop;
} sweep;

static void add(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path) {
  sweep *w = arg;
  char line[128];
  if (event == XLM_LOOP_BEGINS) live_phase(path);
  if ((event != XLM_LOOP_STEP && event != XLM_LOOP_LOGGED) || w->n == w->room) return;
  w->sum = kept * w->sum + (1 - kept) * p->m.loss;
  w->weight = kept * w->weight + (1 - kept);
  w->at[w->n++] = (point){p->m.lr, w->sum / w->weight};
  snprintf(line, sizeof line, "step %" PRId64 "/%" PRId64 "  rate %.1e  loss %.4f", p->m.step, p->max_steps,
           p->m.lr, p->m.loss);
  live_line(line);
  if (w->sum / w->weight > far * w->at[0].loss) w->rose = true, *w->stop = 1;
}

static int64_t lowest_of(const sweep *w) {
  int64_t low = 0;
  for (int64_t i = 1; i < w->n; i++)
    if (w->at[i].loss < w->at[low].loss) low = i;
  return low;
}

// The point up to the lowest with the steepest fall; -1: the loss does not fall.
static int64_t steepest_of(const sweep *w, int64_t low) {
  int64_t best = -1, reach = w->n / 20 + 1;
  double least = 0;
  for (int64_t i = reach; i + reach < w->n && i <= low; i++) {
    const point *a = &w->at[i - reach], *b = &w->at[i + reach];
    double slope = (b->loss - a->loss) / log(b->rate / a->rate);
    if (slope < least) least = slope, best = i;
  }
  return best;
}

static void show(const sweep *w, bool diverged) {
  int64_t low = lowest_of(w), best = steepest_of(w, low), each = (w->n + ROWS - 1) / ROWS;
  live_close();
  printf("learning rate  loss (smoothed)\n");
  for (int64_t i = 0; i < w->n; i += each) printf("%.2e       %.4f\n", w->at[i].rate, w->at[i].loss);
  if (diverged)
    printf("above %.2e  it is not finite\n", w->n ? w->at[w->n - 1].rate : lowest_rate);
  else if (w->rose)
    printf("above %.2e  it rises far\n", w->at[w->n - 1].rate);
  if (best < 0)
    printf("the loss does not fall in these steps: no suggestion; try more of them with --max-steps\n");
  else
    printf("suggested: --learning-rate %.1e, where the loss falls fastest; it is lowest at %.1e\n",
           w->at[best].rate, w->at[low].rate);
}

static xlm_status sweep_rates(session *s, const corpus *c, sweep *w) {
  xlm_loop_options o = {
      .team = s->team,
      .train = &c->train,
      .schedule = {.kind = XLM_SWEEP, .peak = lowest_rate, .min = highest_rate, .steps = w->room},
      .max_steps = w->room,
      .log_interval = w->room,
      .metrics = -1,
      .stop = w->stop,
      .report = add,
      .report_arg = w};
  run_settings_info(s, &o.info);
  xlm_loop_result result;
  xlm_status status = xlm_loop_run(&o, &result, &s->err);
  if (status != XLM_OK && !result.diverged) return status;
  if (result.stopped && !w->rose) return xlm_fail(&s->err, XLM_ENV, "interrupted: no rate was found");
  show(w, result.diverged);
  return XLM_OK;
}

xlm_status find_rate(session *s, const corpus *c, volatile sig_atomic_t *stop) {
  bool given = run_settings_given(s, XLM_SET_max_steps);
  sweep w = {.room = given ? xlm_setting_int(s->settings, XLM_SET_max_steps) : STEPS, .stop = stop};
  if (s->checkpoint)
    return xlm_fail(&s->err, XLM_USER,
                    "--lr-find is for the start of a run: without --resume, or with --init-from");
  if (w.room < LEAST_STEPS || w.room > 1000000)
    return xlm_fail(&s->err, XLM_USER, "--lr-find takes from %d to 1,000,000 steps, not --max-steps %" PRId64,
                    LEAST_STEPS, w.room);
  w.at = XLM_NEW_N(s->arena, point, w.room);
  XLM_TRY(session_fill(s, false));
  return sweep_rates(s, c, &w);
}
