// xlmrun train: settings, plan, data, states; then the loop.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/folder.h"
#include "runtime/checkpoint/lock.h"
#include "runtime/train/tensorboard.h"
#include "tools/common/request.h"
#include "tools/watching/card.h"
#include "tools/xlmrun/find_rate.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/run_schedule.h"
#include "tools/xlmrun/run_settings.h"
#include "tools/xlmrun/run_tokenizer.h"
#include "tools/xlmrun/samples.h"
#include "tools/xlmrun/signals.h"
#include "tools/xlmrun/trace.h"
#include "tools/xlmrun/train_text.h"

const char command_train_usage[] =
    "usage: xlmrun train MODEL.xlm --data FILE... [flags]\n"
    "       xlmrun train PLAN.json --data FILE... [flags]    what `xlmc plan --format "
    "json` wrote\n"
    "       xlmrun train --resume [DIR] [flags]";

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
                        .report = train_report};
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
  train_introduce(s, c, &o);
  samples_introduce(&writes);
  o.stop = signals_catch(s);
  xlm_loop_result result;
  xlm_status status = xlm_loop_run(&o, &result, &s->err);
  signals_leave();
  xlm_saver_close(o.saver);
  samples_close(&writes);
  live_close();
  if (leads) close(o.metrics);
  if (o.tensorboard) close(events);
  xlm_error why = s->err;
  xlm_status carded = write_card(s, &o, dir, metrics, how_it_ended(status, &result));
  if (status != XLM_OK) s->err = why;
  if (status == XLM_OK) status = carded;
  return status == XLM_OK ? train_conclude(s, &o, &result, dir, metrics, drawing) : status;
}

static xlm_status find_rate_of(session *s, const corpus *c) {
  xlm_status status = find_rate(s, c, signals_catch(s));
  signals_leave();
  return status;
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
  XLM_TRY(run_schedule_find(s, &schedule));
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
