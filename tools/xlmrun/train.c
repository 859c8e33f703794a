// xlmrun train: settings, plan, data, states; then the loop, with output for a terminal or a log.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/folder.h"
#include "runtime/checkpoint/lock.h"
#include "runtime/train/loop.h"
#include "runtime/train/tensorboard.h"
#include "tools/watching/card.h"
#include "tools/common/request.h"
#include "tools/xlmrun/corpus.h"
#include "tools/xlmrun/find_rate.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/run_settings.h"
#include "tools/xlmrun/run_tokenizer.h"
#include "tools/xlmrun/samples.h"
#include "tools/xlmrun/trace.h"
#include "tools/xlmrun/watchdog.h"

const char command_train_usage[] =
    "usage: xlmrun train MODEL.xlm --data FILE... [flags]\n"
    "       xlmrun train PLAN.json --data FILE... [flags]    what `xlmc plan --format "
    "json` wrote\n"
    "       xlmrun train --resume [DIR] [flags]";

static volatile sig_atomic_t stop;
static bool launched,
    silent; // under mpirun, which repeats signals and ends processes that do not end; another process reports

static const char **volatile standing; // where the first rank is, if there are several processes

// The text may change concurrently but is always NUL-terminated. After a hangup nothing is printed.
static void say(const char *text) {
  size_t n = 0;
  while (n < 256 && text[n]) n++;
  while (n > 0) {
    ssize_t done = write(STDERR_FILENO, text, n);
    if (done <= 0) return;
    text += done, n -= (size_t)done;
  }
}

// If one of several processes has died, the launcher leaves no time for later messages, so the position is
// printed at once.
static void on_signal(int number) {
  static volatile sig_atomic_t asked; // by a signal other than a hangup
  (void)number;
  if (asked && !launched) _exit(130);
  bool again = asked;
  asked = stop = 1;
  if (again || silent) return;
  const char *where = standing ? __atomic_load_n(standing, __ATOMIC_RELAXED) : NULL;
  say(launched ? "\nstopping after this step" : "\nstopping after this step; once more to stop at once");
  if (launched && where) say("; rank 0 is at "), say(where);
  say("\n");
}

// The terminal has gone, and with it the output; the run ends as after other signals. A shell that exits may
// send it several times.
static void on_hangup(int number) {
  (void)number;
  stop = 1;
}

// Log lines, evaluations and checkpoints stay on the screen; other steps only rewrite the live line.
static void show(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path) {
  char line[512];
  (void)arg;
  if (event == XLM_LOOP_BEGINS)
    live_phase(path);
  else if (event == XLM_LOOP_NOTE)
    live_clear(), fprintf(stderr, "xlmrun: note: %s\n", path);
  else if (event == XLM_LOOP_SAVED)
    live_print("saved %s", path);
  else if (event == XLM_LOOP_SAMPLED)
    samples_show(p);
  else if (event == XLM_LOOP_VALID)
    live_print("step %" PRId64 "/%" PRId64 "  validation loss %.4f", p->m.step, p->max_steps, p->m.val_loss);
  else
    xlm_progress_line(p, live_width(), line, sizeof line);
  if (event == XLM_LOOP_LOGGED)
    live_print("%s", line);
  else if (event == XLM_LOOP_STEP && live_is_shown())
    live_line(line);
}

static void catch_signals(void) {
  struct sigaction a = {.sa_handler = on_signal}, hangup = {.sa_handler = on_hangup}, before;
  if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN) // nohup: continue
    sigaction(SIGHUP, &hangup, NULL);
  signal(SIGPIPE, SIG_IGN); // the reader of the progress may exit
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  sigaction(SIGUSR1, &a, NULL); // sent by mpirun, and by a scheduler before the time limit
}

static const char *where_of(const session *s, xlm_setting_id id) {
  return s->settings->value[id].where;
}

// Rejects contradictory settings. A default is adapted instead: a low --learning-rate becomes its own
// minimum.
static xlm_status check_schedule(session *s, xlm_schedule *c) {
  bool wsd = c->kind == XLM_WSD;
  if (c->min > c->peak && run_settings_given(s, XLM_SET_min_lr))
    return xlm_fail(&s->err, XLM_USER, "%s: %g lies above the learning rate of %g, its peak",
                    where_of(s, XLM_SET_min_lr), c->min, c->peak);
  if (c->min > c->peak) c->min = c->peak;
  if (wsd && c->warmup + c->decay > c->steps && run_settings_given(s, XLM_SET_decay_ratio))
    return xlm_fail(&s->err, XLM_USER,
                    "%s: %" PRId64 " steps of decay and %" PRId64 " of warm-up are more than the %" PRId64
                    " of the run",
                    where_of(s, XLM_SET_decay_ratio), c->decay, c->warmup, c->steps);
  return XLM_OK;
}

static xlm_status find_schedule(session *s, xlm_schedule *c) {
  const xlm_run_settings *r = s->settings;
  *c = (xlm_schedule){.peak = xlm_setting_float(r, XLM_SET_learning_rate),
                      .min = xlm_setting_float(r, XLM_SET_min_lr),
                      .steps = xlm_setting_int(r, XLM_SET_max_steps)};
  bool known = xlm_schedule_parse(xlm_setting_text(r, XLM_SET_lr_schedule), &c->kind);
  XLM_ASSERT(known, "schedule %s", xlm_setting_text(r, XLM_SET_lr_schedule));
  c->warmup = (int64_t)llround(xlm_setting_float(r, XLM_SET_warmup_ratio) * (double)c->steps);
  if (xlm_setting_given(r, XLM_SET_warmup_steps)) c->warmup = xlm_setting_int(r, XLM_SET_warmup_steps);
  c->decay = (int64_t)llround(xlm_setting_float(r, XLM_SET_decay_ratio) * (double)c->steps);
  return check_schedule(s, c);
}

// Warns about settings that have no effect with others; probably one was forgotten.
static void note_idle_settings(const session *s) {
  static const struct {
    xlm_setting_id id, other;
    const char *without; // value of `other` with which the setting has no effect
    const char *why;
  } idle[] = {
      {XLM_SET_decay_ratio, XLM_SET_lr_schedule, "cosine", "goes with --lr-schedule wsd"},
      {XLM_SET_decay_ratio, XLM_SET_lr_schedule, "linear", "goes with --lr-schedule wsd"},
      {XLM_SET_decay_ratio, XLM_SET_lr_schedule, "constant", "goes with --lr-schedule wsd"},
      {XLM_SET_min_lr, XLM_SET_lr_schedule, "constant", "has no effect on a constant learning rate"},
      {XLM_SET_eval_batches, XLM_SET_eval_interval, "0", "has no effect with --eval-interval 0"},
      {XLM_SET_sample_prompt, XLM_SET_sample_interval, "0", "goes with --sample-interval"},
      {XLM_SET_sample_tokens, XLM_SET_sample_interval, "0", "goes with --sample-interval"},
      {XLM_SET_sample_temperature, XLM_SET_sample_interval, "0", "goes with --sample-interval"},
      {XLM_SET_keep_best, XLM_SET_eval_interval, "0", "has no effect with --eval-interval 0"},
      {XLM_SET_early_stop_patience, XLM_SET_eval_interval, "0", "has no effect with --eval-interval 0"}};
  for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
    if (run_settings_given(s, idle[i].id) &&
        !strcmp(xlm_setting_text(s->settings, idle[i].other), idle[i].without))
      printf("note: %s %s\n", where_of(s, idle[i].id), idle[i].why);
  if (run_settings_given(s, XLM_SET_warmup_ratio) && run_settings_given(s, XLM_SET_warmup_steps))
    printf("note: %s says how long the warm-up is, not %s\n", where_of(s, XLM_SET_warmup_steps),
           where_of(s, XLM_SET_warmup_ratio));
}

// The folder for checkpoints: with --resume DIR it is DIR, unless --output-dir is given.
static const char *output_dir(const session *s) {
  const char *dir = xlm_setting_text(s->settings, XLM_SET_output_dir),
             *resume = xlm_setting_text(s->settings, XLM_SET_resume);
  if (!*resume || !strcmp(resume, "latest") ||
      s->settings->value[XLM_SET_output_dir].source > XLM_FROM_CHECKPOINT)
    return dir;
  const char *slash = strrchr(s->checkpoint->path, '/');
  if (!slash || slash == s->checkpoint->path) return slash ? "/" : ".";
  return xlm_arena_strndup(s->arena, s->checkpoint->path, (size_t)(slash - s->checkpoint->path));
}

static xlm_status open_resumed(session *s) {
  const char *resume = xlm_setting_text(s->settings, XLM_SET_resume);
  if (!*resume) return XLM_OK;
  if (!strcmp(resume, "latest")) resume = xlm_setting_text(s->settings, XLM_SET_output_dir);
  if (access(resume, F_OK))
    return xlm_fail(&s->err, XLM_USER, "--resume: there is no checkpoint '%s'; name one, as in --resume run",
                    resume);
  return session_open_checkpoint(s, resume);
}

static xlm_status prepare_output(session *s, const char *dir) {
  if (xlm_team_process(s->team)) return XLM_OK; // rank 0's process writes
  XLM_TRY(xlm_file_make_folders(dir, &s->err));
  if (s->lock < 0) XLM_TRY(xlm_lock_take(dir, &s->lock, &s->err));
  xlm_folder_remove_temporary(dir); // of a run that was killed
  if (!s->checkpoint && xlm_checkpoint_exists(dir)) {
    if (!xlm_setting_bool(s->settings, XLM_SET_overwrite))
      return xlm_fail(&s->err, XLM_USER,
                      "'%s' holds checkpoints of an earlier run: --resume continues it, --overwrite removes "
                      "it, --output-dir selects another folder",
                      dir);
    XLM_TRY(xlm_checkpoint_clear(dir, &s->err));
  }
  return XLM_OK;
}

// Checks early that the curve can be written.
static xlm_status check_curve(session *s, const char *path) {
  if (xlm_team_process(s->team) || xlm_file_can_replace(path, &s->err) == XLM_OK) return XLM_OK;
  return xlm_fail_in(&s->err, "--curve");
}

static const char *file_in(session *s, const char *dir, xlm_setting_id id, const char *name) {
  const char *given = xlm_setting_text(s->settings, id);
  return *given ? given : xlm_arena_printf(s->arena, "%s/%s", dir, name);
}

static uint64_t arena_bytes(const session *s) { // of the local ranks
  uint64_t n = 0;
  for (int i = 0; i < xlm_team_size(s->team); i++) n += xlm_exec_arena_bytes(xlm_team_exec(s->team, i));
  return n;
}

static void introduce(session *s, const corpus *c, const xlm_loop_options *o) {
  const xlm_plan *p = s->plan;
  int64_t batch = p->batch * p->microbatches;
  live_clear();
  printf("%s%s%s  %s parameters  %s  %s  %" PRId64 " x %" PRId64 " per step, %s%s  %s  %s\n", p->model,
         p->preset ? " " : "", p->preset ? p->preset : "", xlm_text_count(s->arena, p->parameters),
         xlm_dtype_name(p->dtype), corpus_size(s, c), batch, p->seq,
         xlm_text_plural(s->arena, p->microbatches, "microbatch"), session_ranks(s),
         xlm_text_bytes(s->arena, arena_bytes(s)), xlm_text_plural(s->arena, session_threads(s), "thread"));
  corpus_show_mixture(s, c, o->max_steps * batch);
  session_show_memory(s);
  if (o->first_step) printf("resumed from %s at step %" PRId64 "\n", s->checkpoint->path, o->first_step);
  if (o->first_step) run_settings_note_changes(s);
  if (o->first_step >= o->max_steps)
    printf("this run is done: it has all of its %" PRId64 " steps; continue with a larger --max-steps\n",
           o->max_steps);
  const char *before = s->checkpoint ? s->checkpoint->info.text_hash : NULL;
  if (before && strcmp(before, p->text_hash))
    printf("note: the model text or its sizes are not those of the checkpoint\n");
  if (s->checkpoint && *xlm_setting_text(s->settings, XLM_SET_init_from))
    printf("note: the weights are those of the checkpoint; --init-from %s is for a new run\n",
           xlm_setting_text(s->settings, XLM_SET_init_from));
  if (xlm_saver_bytes(o->saver))
    printf("asynchronous saves: copies of the states take %s beside the training\n",
           xlm_text_bytes(s->arena, xlm_saver_bytes(o->saver)));
  note_idle_settings(s);
  if (o->schedule.warmup > o->max_steps) // not an error if a long run is done in parts
    printf("note: the warm-up of %" PRId64
           " steps is longer than the run: the rate does not reach its peak\n",
           o->schedule.warmup);
  if (!c->has_valid && o->eval_interval)
    printf("the held-out data is shorter than one sample: no validation\n");
  fflush(stdout);
}

static void set_intervals(const session *s, const corpus *c, xlm_loop_options *o) {
  const xlm_run_settings *r = s->settings;
  o->max_steps = xlm_setting_int(r, XLM_SET_max_steps);
  o->log_interval = xlm_setting_int(r, XLM_SET_log_interval);
  o->save_interval = xlm_setting_int(r, XLM_SET_save_interval);
  o->eval_interval = xlm_setting_int(r, XLM_SET_eval_interval);
  o->eval_batches = xlm_setting_int(r, XLM_SET_eval_batches);
  o->keep_best = xlm_setting_bool(r, XLM_SET_keep_best);
  o->patience = xlm_setting_int(r, XLM_SET_early_stop_patience);
  o->valid = c->has_valid && o->eval_interval ? &c->valid : NULL;
}

static xlm_status finish(session *s, const xlm_loop_options *o, const xlm_loop_result *r, const char *dir,
                         const char *metrics) {
  if (xlm_team_process(s->team)) return XLM_OK;
  const char *curve = file_in(s, dir, XLM_SET_curve, "loss.svg");
  const char *title =
      xlm_arena_printf(s->arena, "%s%s%s, %s parameters", s->plan->model, s->plan->preset ? " " : "",
                       s->plan->preset ? s->plan->preset : "", xlm_text_count(s->arena, s->plan->parameters));
  XLM_TRY(xlm_curve_write(o->curve, title, curve, &s->err));
  if (r->early)
    printf("ended at step %" PRId64 ": the validation loss has not fallen in %" PRId64
           " evaluations since step %" PRId64 " (%.4f)\n",
           r->step, r->best.since, r->best.step, r->best.loss);
  if (r->stopped)
    printf("stopped at step %" PRId64 "; continue with: xlmrun train --resume %s\n", r->step, dir);
  printf("checkpoint %s\nmetrics    %s\nloss curve %s\n", *r->checkpoint ? r->checkpoint : dir, metrics,
         curve);
  if (o->keep_best && r->best.step)
    printf("best       %s/best: validation loss %.4f at step %" PRId64 "\n", dir, r->best.loss, r->best.step);
  session_show_memory(s); // with the graphs
  session_show_trace(s);
  return XLM_OK;
}

static xlm_status open_saver(session *s, const char *dir, const corpus *c, xlm_saver **out) {
  const xlm_run_settings *r = s->settings;
  xlm_saver_options o = {.dir = dir,
                         .keep = (int)xlm_setting_int(r, XLM_SET_keep_checkpoints),
                         .shards = (int)xlm_setting_int(r, XLM_SET_checkpoint_shards),
                         .async = xlm_setting_bool(r, XLM_SET_async_save),
                         .keep_best = xlm_setting_bool(r, XLM_SET_keep_best)};
  if (xlm_team_process(s->team) == 0) XLM_TRY(run_tokenizer_files(s, c, &o));
  return xlm_saver_open(s->store, s->plan, &o, out, &s->err);
}

static xlm_status open_tensorboard(session *s, xlm_loop_options *o, int *fd) {
  const char *dir = xlm_setting_text(s->settings, XLM_SET_tensorboard);
  if (!*dir || xlm_team_process(s->team)) return XLM_OK;
  o->tensorboard = fd;
  if (xlm_tensorboard_open(dir, o->first_step, fd, &s->err) == XLM_OK) return XLM_OK;
  return xlm_fail_in(&s->err, "--tensorboard");
}

static const char *how_it_ended(xlm_status status, const xlm_loop_result *r) {
  return status != XLM_OK ? "failed" : r->early ? "early" : r->stopped ? "stopped" : "done";
}

// For those who look at the run: xlmrun report, watch, runs.
static xlm_status write_card(session *s, const xlm_loop_options *o, const char *dir, const char *metrics,
                             const char *ended) {
  const xlm_plan *p = s->plan;
  xlm_card c = {.model = p->model,
                .preset = p->preset ? p->preset : "",
                .layout = p->n_ranks > 1 ? xlm_request_mesh_text(s->arena, &p->mesh) : "",
                .device = p->target.backend,
                .parameters = p->parameters,
                .max_steps = o->max_steps,
                .tokens_per_step = p->batch * p->microbatches * p->seq,
                .metrics = metrics,
                .ended = ended};
  xlm_card_setting *list = XLM_NEW_N(s->arena, xlm_card_setting, o->info.n_settings + 1);
  for (int i = 0; i < o->info.n_settings; i++)
    list[i] = (xlm_card_setting){o->info.settings[i].key, o->info.settings[i].value};
  c.settings = list, c.n_settings = o->info.n_settings;
  return xlm_team_process(s->team) ? XLM_OK : xlm_card_write(s->arena, &c, dir, &s->err);
}

static xlm_status run(session *s, corpus *c, const xlm_schedule *schedule) {
  static xlm_curve curve;
  samples writes;
  int events = -1;
  bool leads = xlm_team_process(s->team) == 0;
  const char *dir = output_dir(s), *metrics = file_in(s, dir, XLM_SET_metrics, "metrics.jsonl"),
             *drawing = file_in(s, dir, XLM_SET_curve, "loss.svg");
  xlm_loop_options o = {.team = s->team,
                        .train = &c->train,
                        .schedule = *schedule,
                        .metrics = -1,
                        .curve = &curve,
                        .stop = &stop,
                        .report = show};
  set_intervals(s, c, &o);
  o.first_step = s->checkpoint ? s->checkpoint->info.step : 0;
  run_settings_info(s, &o.info);
  if (s->checkpoint && run_settings_same_validation(s)) o.info.best = s->checkpoint->info.best;
  XLM_TRY(samples_open(s, c, &writes, &o));
  XLM_TRY(session_open_trace(s, o.max_steps - o.first_step));
  o.tracer = s->tracer;
  XLM_TRY(prepare_output(s, dir));
  XLM_TRY(check_curve(s, drawing));
  live_phase(s->checkpoint ? "loading the checkpoint" : "filling weights");
  XLM_TRY(session_fill(s, false));
  if (leads) XLM_TRY(xlm_metrics_open(metrics, o.first_step, &o.metrics, &o.elapsed_s, &s->err));
  if (leads) XLM_TRY(xlm_curve_read(&curve, metrics, &s->err));
  XLM_TRY(open_tensorboard(s, &o, &events));
  XLM_TRY(write_card(s, &o, dir, metrics, ""));
  XLM_TRY(session_peak_flops(s, &o.peak_flops));
  XLM_TRY(open_saver(s, dir, c, &o.saver));
  introduce(s, c, &o);
  samples_introduce(&writes);
  launched = s->mpi, silent = s->silent;
  if (launched && xlm_team_comm(s->team, 0)) standing = &xlm_team_comm(s->team, 0)->where;
  watchdog_heeds(s->watchdog, &stop);
  catch_signals();
  xlm_loop_result result;
  xlm_status status = xlm_loop_run(&o, &result, &s->err);
  standing = NULL;
  xlm_saver_close(o.saver);
  samples_close(&writes);
  live_close();
  if (leads) close(o.metrics);
  if (o.tensorboard) close(events);
  xlm_error why = s->err;
  xlm_status carded = write_card(s, &o, dir, metrics, how_it_ended(status, &result));
  if (status != XLM_OK) s->err = why;
  if (status == XLM_OK) status = carded;
  return status == XLM_OK ? finish(s, &o, &result, dir, metrics) : status;
}

static xlm_status find_rate_of(session *s, const corpus *c) {
  launched = s->mpi, silent = s->silent;
  watchdog_heeds(s->watchdog, &stop);
  catch_signals();
  return find_rate(s, c, &stop);
}

static xlm_status train(session *s) {
  corpus c;
  xlm_schedule schedule;
  const char *model;
  live_open(s->silent);
  live_phase("planning");
  XLM_TRY(session_named(s, &model));
  XLM_TRY(open_resumed(s));
  XLM_TRY(run_tokenizer_resolve(s));
  XLM_TRY(session_read_model(s, model));
  XLM_TRY(session_compile(s, XLM_WITH_TRAIN | XLM_WITH_EVAL, 0));
  XLM_TRY(corpus_named(s));
  XLM_TRY(find_schedule(s, &schedule));
  live_phase("allocating");
  XLM_TRY(session_open(s));
  live_phase("opening the data");
  xlm_team_at(s->team, "opening the data");
  XLM_TRY(corpus_open(s, true, &c));
  bool finds = xlm_setting_bool(s->settings, XLM_SET_lr_find);
  xlm_status status = finds ? find_rate_of(s, &c) : run(s, &c, &schedule);
  corpus_close(&c);
  return status;
}

int command_train(int argc, char *const *argv) {
  return session_run('t', command_train_usage, argc, argv, train);
}
