// Runs a command from its flags to its exit code, and the ranks in between; see session.h. session_model.c,
// session_plan.c and session_processes.c have the steps before the ranks.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/common/request.h"
#include "tools/common/terminal.h"
#include "tools/xlmrun/agree.h"
#include "tools/xlmrun/init_from.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/session_priv.h"
#include "tools/xlmrun/watchdog.h"

enum { PATIENCE_S = 5 }; // for ranks that are threads, after a failure

// ---- the ranks ----

// The device of the plan's backend, or another that runs its kernels.
static xlm_status choose_device(session *s, xlm_backend *b) {
  const char *name = xlm_setting_text(s->settings, XLM_SET_device);
  if (!*name) return XLM_OK;
  XLM_TRY(xlm_device_find(name, &b->device, &s->err));
  if (!strcmp(b->device->backend, b->info.name)) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "the plan is for the %s backend and the device %s runs kernels of %s: leave out --device",
                  b->info.name, name, b->device->backend);
}

xlm_status session_open(session *s) {
  double timeout = xlm_setting_float(s->settings, XLM_SET_comm_timeout);
  const xlm_backend *planned = xlm_backend_find(s->plan->target.backend);
  if (planned && planned->device && planned->device->check) XLM_TRY(planned->device->check(&s->err));
  XLM_TRY(xlm_backend_check(&s->plan->target, &planned, &s->err));
  xlm_backend backend = *planned;
  XLM_TRY(choose_device(s, &backend));
  XLM_TRY(xlm_team_open(s->plan, &backend, s->options.target.threads,
                        s->mpi ? XLM_LAUNCH_MPI : XLM_LAUNCH_LOCAL, timeout, &s->team, &s->err));
  s->watchdog = watchdog_start(s->team, PATIENCE_S);
  xlm_team_at(s->team, "starting");
  XLM_TRY(xlm_store_new(s->plan, xlm_team_states(s->team), &s->store, &s->err));
  s->store->peers = xlm_team_peers(s->team);
  return agree_on_run(s);
}

// The plan depends on the checkpoint's settings and model text, so with an older one everything starts over,
// on all processes.
static xlm_status take_older(session *s) {
  s->again = true;
  s->before = s->checkpoint->among;
  live_clear();
  if (!s->silent) fprintf(stderr, "xlmrun: skipped %s: %s\n", s->checkpoint->path, s->err.text);
  return s->err.status;
}

// A checkpoint only fits the sizes it was made with: the message lists those that were given now.
static xlm_status load_checkpoint(session *s, bool weights_only) {
  if (xlm_checkpoint_load(s->checkpoint, s->store, s->plan, weights_only, &s->err) == XLM_OK) return XLM_OK;
  if (s->checkpoint->damaged && s->checkpoint->among >= 0) return take_older(s);
  const xlm_setting_value *v = &s->settings->value[XLM_SET_set];
  xlm_text t = xlm_text_new(s->arena);
  for (int i = 0; i < v->n; i++)
    if (v->origin[i].source > XLM_FROM_CHECKPOINT) xlm_text_printf(&t, "%s%s", t.n ? ", " : "", v->list[i]);
  return t.n ? xlm_fail_in(&s->err, "with %s", t.data) : s->err.status;
}

xlm_status session_fill(session *s, bool weights_only) {
  const char *from = xlm_setting_text(s->settings, XLM_SET_init_from);
  xlm_team_at(s->team, "filling weights");
  if (s->checkpoint) return load_checkpoint(s, weights_only);
  XLM_TRY(xlm_store_init(s->store, s->options.seed, true, xlm_exec_pool(xlm_team_exec(s->team, 0)),
                         &s->err)); // arenas are new: zero
  if (*from) XLM_TRY(init_from_weights(s, from));
  return init_from_adapters(s);
}

// ---- the command ----

static void show_help(const session *s, const char *usage, char tool) {
  xlm_text t = xlm_text_new(s->arena);
  xlm_settings_help(tool, &t);
  xlm_terminal_help(s->arena, xlm_arena_printf(s->arena, "%s\n%s", usage, t.data));
}

static xlm_status read_settings(session *s, int argc, char *const *argv) {
  XLM_TRY(xlm_settings_flags(s->settings, argc, argv, &s->err));
  const char *config = s->settings->config;
  if (!config) return XLM_OK;
  const char *near = access(config, F_OK) ? xlm_near_file(s->arena, config) : NULL;
  if (near)
    return xlm_fail(&s->err, XLM_USER, "--config: there is no file '%s'; did you mean '%s'?", config, near);
  return xlm_settings_file(s->settings, config, &s->err);
}

static bool ends_here(const session *s) {
  return s->settings->help || s->settings->print_config;
}

static xlm_status run_body(session *s, char tool, const char *usage, int argc, char *const *argv,
                           session_body *body) {
  s->settings = xlm_settings_new(s->arena, tool);
  XLM_TRY(read_settings(s, argc, argv));
  if (s->settings->help)
    show_help(s, usage, tool);
  else if (s->settings->print_config)
    return session_show_settings(s);
  return ends_here(s) ? XLM_OK : body(s);
}

// ---- the end ----

// Shows where all ranks are, after a timeout; the comm's message for it begins alike in all backends.
static void show_places(session *s) {
  if (!s->team || xlm_team_plan(s->team)->n_ranks == 1 || !strstr(s->err.text, " waited ")) return;
  char text[8192];
  xlm_team_places(s->team, text, sizeof text);
  fputs(text, stderr);
}

// One process reports. Once the ranks are connected that is the one that failed first. Before that, either
// all fail alike (rank 0 reports) or one alone, which reports after a delay in which rank 0 could have.
static void show_error(session *s) {
  xlm_comm *peers = s->team ? xlm_team_peers(s->team) : NULL;
  if (peers && peers->err.status == XLM_OK) xlm_team_fail(s->team, s->err.text);
  show_places(s);
  bool tells = peers ? peers->reports : true;
  if (!peers && s->silent) usleep(2000000);
  if (!tells || s->told) return;
  if (xlm_comm_mpi_rank() > 0 && !strstr(s->err.text, "rank "))
    fprintf(stderr, "xlmrun: rank %lld: %s\n", (long long)xlm_comm_mpi_rank(), s->err.text);
  else
    fprintf(stderr, "xlmrun: %s\n", s->err.text);
}

static void release(session *s) {
  watchdog_stop(s->watchdog);
  xlm_tracer_close(s->tracer);
  xlm_store_free(s->store);
  xlm_team_close(s->team);
  xlm_checkpoint_close(s->checkpoint);
}

// Resets everything except the arena and what is known by now.
static void begin_again(session *s) {
  release(s);
  *s = (session){.arena = s->arena, .before = s->before, .lock = s->lock, .silent = s->silent};
}

static int close_session(session *s, xlm_status status) {
  live_close();
  if (status != XLM_OK) show_error(s);
  int code = status == XLM_OK ? 0 : s->exit_code ? s->exit_code : (int)status;
  bool connected = s->team != NULL;
  fflush(stdout);
  release(s);
  xlm_arena_free(s->arena);
  if (status == XLM_OK || connected) xlm_comm_mpi_end();
  return code;
}

// Under mpirun and srun all processes do the same; only rank 0's prints.
static void lower_voice(session *s) {
  s->silent = xlm_comm_started_as() > 0;
  if (s->silent && !freopen("/dev/null", "w", stdout)) fclose(stdout);
}

int session_run(char tool, const char *usage, int argc, char *const *argv, session_body *body) {
  static session s; // static: it must keep its values across a longjmp
  s.before = XLM_ANY_STEP, s.lock = -1;
  lower_voice(&s);
  signal(SIGXFSZ, SIG_IGN); // a file over the size limit becomes an error of write
  s.arena = xlm_arena_new((size_t)4 << 30);
  if (s.arena && XLM_ARENA_TRY(s.arena)) {
    xlm_status status = run_body(&s, tool, usage, argc, argv, body);
    for (; s.again; status = run_body(&s, tool, usage, argc, argv, body)) begin_again(&s);
    return close_session(&s, status);
  }
  return close_session(&s, xlm_fail(&s.err, XLM_ENV, "no memory to plan this model"));
}
