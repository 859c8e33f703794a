// The training loop; see loop.h. All memory is allocated before the first step.
#include "runtime/train/loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/train/bad.h"
#include "runtime/train/feed.h"
#include "runtime/train/tensorboard.h"
#include "runtime/train/watch.h"
#include "runtime/base/clock.h"

enum { MOST_SKIPPED = 100 }; // steps in a row

typedef struct loop {
  const xlm_loop_options *o;
  xlm_loop_result *result;
  const xlm_plan *plan;
  xlm_feeds feed, valid;
  xlm_watch seen, valid_seen;
  bool leads;                   // this process writes and reports
  bool noted;                   // the saver's note was reported
  bool told;                    // the run ends after the steps that were begun, as agreed by all processes
  bool broken;                  // the next step could not be begun
  int loss, grad_norm, skipped; // watched; -1 = none
  int skipped_in_a_row;
  xlm_metrics_own *own;
  xlm_progress p;
  int64_t tokens_per_step, begun, step, saved; // steps begun, of these ended, of these saved
  double started;                              // the loop
  double mark, step_seconds; // mark: start of the current interval; step_seconds: running mean
  int64_t mark_step;
  double peak; // FLOP/s of the machine as far as known; 0 = unknown
} loop;

static uint64_t memory_in_use(void) { // peak resident memory in bytes
  struct rusage u;
  return getrusage(RUSAGE_SELF, &u) ? 0 : (uint64_t)u.ru_maxrss * 1024;
}

static double output(const loop *l, int index) {
  return index < 0 ? 0 : l->seen.at[index].value;
}

static xlm_status find_outputs(loop *l, xlm_error *err) {
  l->loss = xlm_watch_find(&l->seen, "loss");
  l->grad_norm = xlm_watch_find(&l->seen, "grad_norm");
  l->skipped = xlm_watch_find(&l->seen, "skipped");
  l->p.m.skipped = l->skipped < 0 ? -1 : 0;
  l->p.m.own = l->own = calloc((size_t)l->seen.n + 1, sizeof *l->own);
  if (!l->own) return xlm_fail(err, XLM_ENV, "no memory for the metrics of the model");
  for (int i = 0; i < l->seen.n; i++) {
    const xlm_watched *x = &l->seen.at[i];
    if (i == l->loss || i == l->grad_norm || i == l->skipped) continue;
    l->own[l->p.m.n_own++] = (xlm_metrics_own){x->name, x->n, x->n ? x->list : &x->value};
  }
  return XLM_OK;
}

static xlm_step_env env_of(const loop *l) {
  int64_t batch = l->plan->batch * l->plan->microbatches;
  return (xlm_step_env){.seed = l->o->info.seed, .step = l->step, .first_row = l->step * batch};
}

static void report(loop *l, xlm_loop_event event, const char *path) {
  if (l->o->report && l->leads) l->o->report(l->o->report_arg, event, &l->p, path);
}

static xlm_status hear_saver(loop *l, bool wait, xlm_error *err) {
  const char *path;
  if (!l->o->saver) return XLM_OK;
  XLM_TRY(xlm_saver_poll(l->o->saver, wait, &path, err));
  if (!path) return XLM_OK;
  snprintf(l->result->checkpoint, sizeof l->result->checkpoint, "%s", path);
  report(l, XLM_LOOP_SAVED, path);
  const char *note = xlm_saver_note(l->o->saver);
  if (*note && !l->noted) report(l, XLM_LOOP_NOTE, note);
  l->noted |= *note != 0;
  return XLM_OK;
}

// One save at a time: waits for the previous one, which has already ended if the saver is synchronous.
static xlm_status save(loop *l, xlm_error *err) {
  if (!l->o->saver || l->saved == l->step) return XLM_OK;
  xlm_team_at(l->o->team, "writing a checkpoint");
  report(l, XLM_LOOP_BEGINS, "saving");
  XLM_TRY(hear_saver(l, true, err));
  xlm_checkpoint_info info = l->o->info;
  info.step = l->step;
  info.best = l->result->best;
  info.tokens = l->step * l->tokens_per_step;
  info.samples = l->step * l->plan->batch * l->plan->microbatches;
  XLM_TRY(xlm_saver_start(l->o->saver, &info, err));
  l->saved = l->step;
  return hear_saver(l, false, err);
}

// The update has used non-finite values, so parameters may be bad; the last checkpoint is not.
static xlm_status diverged(loop *l, xlm_error *err) {
  char where[XLM_BAD_TEXT];
  xlm_step_env env = env_of(l);
  env.step--;
  l->result->diverged = true;
  XLM_TRY(xlm_bad_describe(l->o->team, env, where, err));
  const char *last_good = l->result->checkpoint;
  return xlm_fail(err, XLM_ENV,
                  "the %s is not finite at step %" PRId64 "%s. Nothing was saved after that%s%s; try a lower "
                  "--learning-rate, a longer warm-up or a smaller --grad-clip",
                  isfinite(l->p.m.loss) ? "gradient's norm" : "loss", l->step, where,
                  *last_good ? "; the last good checkpoint is " : "", last_good);
}

static double rate_of(const loop *l, int64_t step) { // step: done before
  return xlm_schedule_rate(&l->o->schedule, step);
}

static void measure(loop *l) { // loss, norm and metrics of the last step
  l->p.m.step = l->step;
  l->p.m.tokens = l->step * l->tokens_per_step;
  l->p.m.loss = output(l, l->loss);
  l->p.m.grad_norm = output(l, l->grad_norm);
  l->p.m.lr = rate_of(l, l->step - 1);
  l->p.m.val_loss = NAN;
  l->result->loss = l->p.m.loss;
  l->result->step = l->step;
}

static void measure_speed(loop *l) { // over the current interval
  double seconds = xlm_clock_seconds() - l->mark, steps = (double)(l->step - l->mark_step);
  l->step_seconds = seconds / steps;
  l->p.m.tokens_per_s = steps * (double)l->tokens_per_step / seconds;
  double flops = l->plan->model_flops_per_token * l->p.m.tokens_per_s;
  if (l->peak > 0 && flops > l->peak) l->peak = flops; // the measured peak was too low
  l->p.m.mfu = l->peak > 0 ? flops / l->peak : 0;
  l->p.seconds_left = l->step_seconds * (double)(l->o->max_steps - l->step);
  l->p.m.step_s = l->step_seconds;
  l->p.m.memory_bytes = memory_in_use();
  l->p.m.time = xlm_clock_unix();
  l->p.m.elapsed_s = l->o->elapsed_s + xlm_clock_seconds() - l->started;
}

static void start_interval(loop *l) { // excludes evaluation, saving and writing a trace
  l->mark = xlm_clock_seconds();
  l->mark_step = l->step;
}

static bool is_due(int64_t step, int64_t interval) {
  return interval > 0 && step % interval == 0;
}

static bool evaluates_after(const loop *l, int64_t step) {
  return l->o->valid && is_due(step, l->o->eval_interval);
}

static bool samples_after(const loop *l, int64_t step) {
  return is_due(step, l->o->sample_interval);
}

static bool is_last(loop *l) {
  if (l->broken || l->begun > l->step) return false;
  l->result->stopped = l->told && l->step < l->o->max_steps;
  return l->result->stopped || l->step >= l->o->max_steps;
}

static bool is_early(const loop *l) { // every process has the same losses
  return l->o->patience > 0 && l->result->best.since >= l->o->patience;
}

static bool note_best(loop *l, double loss) { // is it the lowest?
  xlm_best *b = &l->result->best;
  b->since++;
  if (b->step && !(loss < b->loss)) return false;
  *b = (xlm_best){.loss = loss, .step = l->step};
  return true;
}

static xlm_status evaluate(loop *l, bool *best, xlm_error *err) {
  report(l, XLM_LOOP_BEGINS, "evaluating");
  int64_t tokens;
  int64_t windows = l->o->eval_batches * l->plan->batch * l->plan->microbatches;
  XLM_TRY(xlm_evaluate(&l->valid, &l->valid_seen, env_of(l), windows, &l->p.m.val_loss, &tokens, err));
  l->result->val_loss = l->p.m.val_loss;
  if (l->o->curve) xlm_series_add(&l->o->curve->valid, l->step, l->p.m.val_loss);
  bool counts = evaluates_after(l, l->step) || l->step >= l->o->max_steps; // else a signal ends the run
  *best = counts && note_best(l, l->p.m.val_loss);
  report(l, XLM_LOOP_VALID, NULL);
  return XLM_OK;
}

static xlm_status write_samples(loop *l, xlm_error *err) {
  xlm_team_at(l->o->team, "writing samples");
  report(l, XLM_LOOP_BEGINS, "writing samples");
  XLM_TRY(l->o->sample(l->o->sample_arg, &l->p.m.samples, &l->p.m.n_samples, err));
  report(l, XLM_LOOP_SAMPLED, NULL);
  return XLM_OK;
}

// ---- steps ----
//
// On a device that runs behind the host, step n + 1 is begun before the values of step n are read, so that
// the device always has work. After a step that the states are needed of (evaluation, samples, checkpoint) or
// that is traced, it is not.

static bool runs_alone(const loop *l, int64_t step) {
  bool traces = l->o->tracer && !xlm_tracer_written(l->o->tracer);
  return traces || evaluates_after(l, step) || samples_after(l, step) || is_due(step, l->o->save_interval);
}

static bool may_begin(const loop *l) {
  if (l->begun >= l->o->max_steps) return false;
  if (l->begun == l->step) return true;
  return l->begun == l->step + 1 && xlm_team_runs_behind(l->o->team) && !runs_alone(l, l->begun) && !l->told;
}

static int box_of(int64_t step) {
  return (int)(step % XLM_BOXES);
}

static xlm_status begin_step(loop *l, xlm_error *err) {
  XLM_TRY(xlm_tracer_before(l->o->tracer, l->begun + 1, err));
  XLM_TRY(xlm_feeds_step(&l->feed, l->o->info.seed, l->begun, rate_of(l, l->begun), err));
  XLM_TRY(xlm_watch_start(&l->seen, box_of(l->begun + 1), err));
  l->begun++;
  return XLM_OK;
}

// A signal may arrive at any time; it takes effect at the end of the steps begun when process 0 sees it.
static bool is_asked_to_stop(const loop *l) {
  return l->o->stop && *l->o->stop;
}

// A step that the plan left out has changed nothing. If all are, the run does not come out of it.
static xlm_status count_skipped(loop *l, xlm_error *err) {
  bool skipped = output(l, l->skipped) != 0;
  l->skipped_in_a_row = skipped ? l->skipped_in_a_row + 1 : 0;
  l->p.m.skipped += skipped;
  if (l->skipped_in_a_row < MOST_SKIPPED) return XLM_OK;
  return xlm_fail(err, XLM_ENV,
                  "--skip-spikes has left out %d steps in a row, the last is %" PRId64
                  " (loss %g, norm %g)%s%s; try a larger factor, a lower --learning-rate or a longer warm-up",
                  MOST_SKIPPED, l->step, l->p.m.loss, l->p.m.grad_norm,
                  *l->result->checkpoint ? ". The last checkpoint is " : "", l->result->checkpoint);
}

static xlm_status read_step(loop *l, xlm_error *err) {
  l->step++;
  l->told = is_asked_to_stop(l);
  XLM_TRY(xlm_watch_read(&l->seen, box_of(l->step), &l->told, err));
  measure(l);
  if (l->skipped >= 0) return count_skipped(l, err);
  return isfinite(l->p.m.loss) && isfinite(l->p.m.grad_norm) ? XLM_OK : diverged(l, err);
}

static uint64_t device_memory(const loop *l) { // of the first rank here
  xlm_device_memory m = xlm_exec_memory(xlm_team_exec(l->o->team, 0));
  return m.all ? m.arena + m.libraries + m.graphs + m.link : 0;
}

static xlm_status write_metrics(loop *l, xlm_error *err) {
  l->p.m.device_bytes = device_memory(l);
  XLM_TRY(xlm_watch_read_lists(&l->seen, box_of(l->step), err));
  if (l->leads && l->o->metrics >= 0) XLM_TRY(xlm_metrics_write(l->o->metrics, &l->p.m, err));
  if (l->leads && l->o->tensorboard) XLM_TRY(xlm_tensorboard_write(*l->o->tensorboard, &l->p.m, err));
  if (l->skipped >= 0) l->p.m.skipped = 0; // counted again until the next line
  l->p.m.n_samples = 0;
  return XLM_OK;
}

static xlm_status after_step(loop *l, xlm_error *err) {
  bool last = is_last(l), logs = last || l->step == 1 || is_due(l->step, l->o->log_interval);
  bool evaluates = evaluates_after(l, l->step) || (last && l->o->valid && l->o->eval_interval > 0);
  bool best = false, traces = xlm_tracer_recording(l->o->tracer);
  measure_speed(l);
  report(l, logs ? XLM_LOOP_LOGGED : XLM_LOOP_STEP, NULL);
  XLM_TRY(xlm_tracer_after(l->o->tracer, err));
  if (evaluates) XLM_TRY(evaluate(l, &best, err));
  l->result->early = evaluates && is_early(l);
  bool ends = last || l->result->early;
  bool samples = samples_after(l, l->step) || (ends && l->o->sample_interval > 0);
  if (samples) XLM_TRY(write_samples(l, err));
  bool saves = ends || is_due(l->step, l->o->save_interval) || (best && l->o->keep_best);
  if (logs && l->o->curve) xlm_series_add(&l->o->curve->train, l->step, l->p.m.loss);
  if (logs || evaluates || samples) XLM_TRY(write_metrics(l, err));
  XLM_TRY(saves ? save(l, err) : hear_saver(l, false, err));
  if (logs || evaluates || samples || saves || traces) start_interval(l);
  if (xlm_team_processes(l->o->team) == 1) l->told |= is_asked_to_stop(l); // nothing to agree on
  return XLM_OK;
}

static xlm_status end_step(loop *l, xlm_error *err) {
  XLM_TRY(read_step(l, err));
  return after_step(l, err);
}

// If a step cannot be begun, the one before is still ended, and reported.
static xlm_status one_step(loop *l, xlm_error *err) {
  xlm_error why = {0};
  xlm_status begun = XLM_OK;
  while (begun == XLM_OK && may_begin(l)) begun = begin_step(l, &why);
  l->broken = begun != XLM_OK;
  xlm_status ended = l->begun > l->step ? end_step(l, err) : XLM_OK;
  if (begun == XLM_OK) return ended;
  if (err) *err = why;
  return begun;
}

static bool is_over(const loop *l) {
  return l->step >= l->o->max_steps || l->result->stopped || l->result->early;
}

static xlm_status run(loop *l, xlm_error *err) {
  start_interval(l);
  l->started = l->mark;
  l->result->early = is_early(l); // the run that is resumed has ended so
  if (!is_over(l)) report(l, XLM_LOOP_BEGINS, "first step");
  while (!is_over(l)) XLM_TRY(one_step(l, err));
  XLM_TRY(hear_saver(l, true, err));
  return xlm_tracer_finish(l->o->tracer, err);
}

static xlm_status open_loop(loop *l, xlm_error *err) {
  const xlm_loop_options *o = l->o;
  XLM_TRY(xlm_watch_open(o->team, false, &l->seen, err));
  XLM_TRY(find_outputs(l, err));
  XLM_TRY(xlm_feeds_open(o->team, o->train, false, &l->feed, err));
  if (!o->valid) return XLM_OK;
  XLM_TRY(xlm_watch_open(o->team, true, &l->valid_seen, err));
  return xlm_feeds_open(o->team, o->valid, true, &l->valid, err);
}

xlm_status xlm_loop_run(const xlm_loop_options *o, xlm_loop_result *out, xlm_error *err) {
  const xlm_plan *plan = xlm_team_plan(o->team);
  *out = (xlm_loop_result){.step = o->first_step, .loss = NAN, .val_loss = NAN, .best = o->info.best};
  loop l = {.o = o,
            .peak = o->peak_flops,
            .result = out,
            .plan = plan,
            .leads = xlm_team_process(o->team) == 0,
            .begun = o->first_step,
            .step = o->first_step,
            .saved = o->first_step ? o->first_step : -1,
            .tokens_per_step = plan->batch * plan->microbatches * plan->seq};
  l.p = (xlm_progress){.max_steps = o->max_steps, .seconds_left = -1, .m = {.val_loss = NAN}};
  xlm_status s = open_loop(&l, err);
  if (s == XLM_OK) s = run(&l, err);
  xlm_feeds_close(&l.feed);
  xlm_feeds_close(&l.valid);
  xlm_watch_close(&l.seen);
  free(l.own);
  xlm_watch_close(&l.valid_seen);
  return s;
}
