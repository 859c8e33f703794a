// From settings to an executor with filled states; see session.h.
#include "compiler/parse/load.h"
#include "tools/xlmrun/session.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/map.h"
#include "runtime/base/philox.h"
#include "tools/common/request.h"
#include "tools/common/terminal.h"
#include "tools/xlmrun/agree.h"
#include "tools/xlmrun/init_from.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/saved_plan.h"
#include "tools/xlmrun/watchdog.h"

enum { PATIENCE_S = 5 }; // for ranks that are threads, after a failure

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

bool session_is_layout(xlm_setting_id id) {
  const char *section = xlm_setting_table[id].section;
  return !strcmp(section, "mesh") || !strcmp(section, "pipeline") || id == XLM_SET_zero ||
         id == XLM_SET_reduce_gradients;
}

// A checkpoint fits every layout. Training continues in the old one unless another mesh is given now; then no
// layout setting of the checkpoint applies.
static bool keeps_layout(const session *s) {
  static const xlm_setting_id axes[] = {XLM_SET_tp, XLM_SET_pp, XLM_SET_dp,
                                        XLM_SET_ep, XLM_SET_cp, XLM_SET_mesh};
  for (size_t i = 0; i < sizeof axes / sizeof *axes; i++)
    if (s->settings->value[axes[i]].source > XLM_FROM_CHECKPOINT) return false;
  return s->settings->tool == 't';
}

// Is the setting taken from a checkpoint? Not those of locations and speed, nor those of a saved plan.
static bool is_handed_on(const session *s, xlm_setting_id id) {
  if (s->saved && xlm_settings_makes_plan(id)) return false;
  if (session_is_layout(id) && (!keeps_layout(s) || id == XLM_SET_comm_timeout)) return false;
  static const xlm_setting_id own[] = {XLM_SET_output_dir, XLM_SET_resume,       XLM_SET_overwrite,
                                       XLM_SET_threads,    XLM_SET_memory_limit, XLM_SET_init_from,
                                       XLM_SET_device,     XLM_SET_arch};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (own[i] == id) return false;
  return strchr(xlm_setting_table[id].tools, s->settings->tool) != NULL || id == XLM_SET_data ||
         id == XLM_SET_valid;
}

static xlm_status take_setting(session *s, const xlm_checkpoint_setting *x) {
  xlm_setting_id id;
  if (!xlm_settings_find_path(x->key, &id) || !is_handed_on(s, id)) return XLM_OK;
  return xlm_settings_put_whole(s->settings, id, x->value, XLM_FROM_CHECKPOINT, s->checkpoint->path, &s->err);
}

xlm_status session_open_checkpoint(session *s, const char *path) {
  XLM_TRY(xlm_checkpoint_open(path, s->before, &s->checkpoint, &s->err));
  live_clear();
  if (*s->checkpoint->notes && !s->silent) fprintf(stderr, "xlmrun: %s", s->checkpoint->notes);
  for (int i = 0; i < s->checkpoint->info.n_settings; i++)
    XLM_TRY(take_setting(s, &s->checkpoint->info.settings[i]));
  return XLM_OK;
}

static bool is_run_file(const char *path) {
  size_t n = strlen(path);
  return n > 5 && (!strcmp(path + n - 5, ".yaml") || !strcmp(path + n - 4, ".yml"));
}

xlm_status session_named(session *s, const char **path) {
  const xlm_run_settings *r = s->settings;
  if (r->n_positional > 1)
    return xlm_fail(&s->err, XLM_USER, "one model, plan or checkpoint at a time: what is '%s'?",
                    r->positional[1]);
  XLM_TRY(xlm_request_model(r, path, &s->err));
  if (*path && is_run_file(*path))
    return xlm_fail(&s->err, XLM_USER, "'%s' is a run file: use --config", *path);
  return *path && xlm_plan_file_is(*path) ? saved_plan_open(s, *path) : XLM_OK;
}

static xlm_status missing(session *s, const char *path) {
  const char *near = access(path, F_OK) ? xlm_near_file(s->arena, path) : NULL;
  if (near) return xlm_fail(&s->err, XLM_USER, "there is no model '%s'; did you mean '%s'?", path, near);
  if (access(path, F_OK) && !strpbrk(path, "/."))
    return xlm_fail(&s->err, XLM_USER, "there is no model '%s', neither here nor among the shipped ones: %s",
                    path, xlm_shipped_models(s->arena));
  return s->err.status;
}

xlm_status session_read_model(session *s, const char *path) {
  if (s->saved) return XLM_OK; // the plan includes the text
  if (!path && s->checkpoint && s->checkpoint->info.model_text) {
    const char *from = s->checkpoint->info.model_path;
    s->model_path = from ? from : "model.xlm";
    s->model_text = s->checkpoint->info.model_text;
    s->source = xlm_source_new(s->arena, s->model_path, s->model_text, strlen(s->model_text));
    return XLM_OK;
  }
  if (!path)
    return xlm_fail(&s->err, XLM_USER, "which model? give a model file, as in `xlmrun %s models/llama.xlm`",
                    s->settings->tool == 'b' ? "bench" : "train");
  xlm_map m;
  xlm_model_file f = xlm_request_file(s->arena, path);
  if (xlm_map_open(f.place, &m, &s->err) != XLM_OK) return missing(s, path);
  const char *text = xlm_arena_strndup(s->arena, (const char *)m.data, m.n);
  s->model_path = f.path;
  s->source = xlm_source_load_at(s->arena, f.path, f.place, text, m.n);
  s->model_text = s->source->text;
  xlm_map_close(&m);
  return s->checkpoint ? XLM_OK : init_from_sizes(s);
}

// Prints a run file. Without a model, flags may be names of one.
static xlm_status show_settings(session *s) {
  xlm_setting_value *model = &s->settings->value[XLM_SET_model];
  if (s->settings->n_positional) model->text = s->settings->positional[0];
  if (xlm_plan_file_is(model->text))
    saved_plan_hide_settings(s->settings);
  else if (*model->text)
    XLM_TRY(session_read_model(s, model->text));
  if (s->source)
    XLM_TRY(xlm_request_names(s->settings, s->source, &s->err));
  else
    XLM_TRY(xlm_settings_resolve(s->settings, NULL, 0, &s->err));
  xlm_text t = xlm_text_new(s->arena);
  xlm_settings_print(s->settings, &t);
  fputs(t.data, stdout);
  return XLM_OK;
}

// ---- the plan ----

// MPI waits forever for a process that was started but never arrives (another program, a host that hangs).
static void give_up(int signal) {
  static const char text[] = "xlmrun: not all processes of this run have arrived; see --comm-timeout\n";
  (void)signal;
  ssize_t told = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(told < 0 ? EXIT_USER : EXIT_ENVIRONMENT);
}

static int64_t connect_processes(const session *s) {
  double limit = ceil(xlm_setting_float(s->settings, XLM_SET_comm_timeout));
  struct sigaction own = {.sa_handler = give_up}, before;
  if (xlm_comm_started() < 2 || limit < 1 || limit > INT_MAX - 4) return xlm_comm_mpi_size();
  sigaction(SIGALRM, &own, &before);
  alarm((unsigned)limit + (s->silent ? 2 : 0)); // one process reports, and its end ends the others
  int64_t n = xlm_comm_mpi_size();
  alarm(0);
  sigaction(SIGALRM, &before, NULL);
  return n;
}

static xlm_status check_processes(session *s, const xlm_mesh *m) {
  long long ranks = xlm_mesh_ranks(m), processes = connect_processes(s);
  s->mpi = processes > 1;
  long long started = xlm_comm_started();
  if (started > processes && !xlm_comm_mpi_built()) {
    s->told = s->silent;
    return xlm_fail(
        &s->err, XLM_USER,
        "%lld processes were started, and this xlmrun was built without MPI: install libopenmpi-dev and "
        "openmpi-bin (or another MPI) and build it again, from cmake on, or, if xlm is a package, install "
        "xlm-mpi; or start it without mpirun: "
        "ranks are then threads of one process",
        started);
  }
  if (started > processes) { // each would be a separate run, all writing to one folder
    s->told = s->silent;
    return xlm_fail(
        &s->err, XLM_USER,
        "%lld processes were started, but xlmrun's MPI connects only %lld of them: under Slurm use "
        "`srun --mpi=pmix` (see `srun --mpi=list`), else the mpirun of the MPI it was built with",
        started, processes);
  }
  if (!s->mpi || ranks == processes) return XLM_OK;
  if (s->saved)
    return xlm_fail(&s->err, XLM_USER,
                    "%lld processes were started and the plan '%s' is for %s = %s: start it with "
                    "`mpirun -n %lld`, or make a plan for %lld",
                    processes, s->saved, xlm_request_mesh_text(s->arena, m),
                    xlm_text_plural(s->arena, ranks, "rank"), ranks, processes);
  return xlm_fail(
      &s->err, XLM_USER,
      "%lld processes were started and the mesh is %s = %s: start it with `mpirun -n %lld`, or give "
      "axes whose product is %lld, as in --dp %lld",
      processes, xlm_request_mesh_text(s->arena, m), xlm_text_plural(s->arena, ranks, "rank"), ranks,
      processes, processes);
}

// One rank per process: its share of the processors of this host.
static int threads_of_process(const session *s) {
  int n = xlm_request_threads(s->settings), beside = session_ranks_here(s);
  if (xlm_setting_int(s->settings, XLM_SET_threads) > 0 || n < sysconf(_SC_NPROCESSORS_ONLN))
    return n; // given, or bound
  if (beside < 1) beside = (int)xlm_mesh_ranks(&s->options.mesh);
  return n / beside > 1 ? n / beside : 1;
}

static void show_diagnostics(session *s, const xlm_diags *d) {
  if (!d->n || s->silent) return;
  xlm_text t = xlm_text_new(s->arena);
  live_clear();
  xlm_diag_render(d, xlm_terminal_color(STDERR_FILENO), &t);
  fputs(t.data, stderr);
}

// As many as there are processors, but no more than the plan allows.
static xlm_status settle_threads(session *s) {
  int most = s->plan->target.threads, ranks = s->mpi ? 1 : (int)s->plan->n_ranks;
  int all = s->mpi ? threads_of_process(s) : xlm_request_threads(s->settings), each = all / ranks;
  if (xlm_setting_int(s->settings, XLM_SET_threads) > 0 && each > most)
    return xlm_fail(&s->err, XLM_USER,
                    "--threads %d: the plan '%s' has room for %s per rank, %d in this process", all, s->saved,
                    xlm_text_plural(s->arena, most, "thread"), most * ranks);
  s->options.target.threads = each < 1 ? 1 : each < most ? each : most;
  return XLM_OK;
}

static xlm_status use_saved(session *s, uint32_t programs) {
  XLM_TRY(saved_plan_settle(s, programs));
  XLM_TRY(check_processes(s, &s->plan->mesh));
  XLM_TRY(settle_threads(s));
  return session_check_memory(s);
}

enum { MOST_THREADS = 64, PER_PROCESSOR = 4 }; // more would only wait for each other

static xlm_status check_threads(session *s) {
  long processors = sysconf(_SC_NPROCESSORS_ONLN), most = PER_PROCESSOR * processors;
  if (most < MOST_THREADS) most = MOST_THREADS;
  if (processors < 1 || xlm_setting_int(s->settings, XLM_SET_threads) <= most) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER, "%s: this machine has %s; use at most %ld threads",
                  s->settings->value[XLM_SET_threads].where,
                  xlm_text_plural(s->arena, processors, "processor"), most);
}

// The options of a plan, and the plan; NULL, with errors in d.
static xlm_status compile(session *s, uint32_t programs, int64_t batch, xlm_diags *d) {
  XLM_TRY(check_threads(s));
  XLM_TRY(xlm_request_options(s->settings, s->source, programs, batch, &s->options, &s->err));
  s->options.outputs_only = batch > 0;
  XLM_TRY(check_processes(s, &s->options.mesh));
  if (s->mpi) s->options.target.threads = threads_of_process(s);
  if (s->mpi && s->options.memory_limit)
    s->options.memory_limit =
        xlm_request_memory(s->settings, NULL, session_ranks_here(s) ? session_ranks_here(s) : 1);
  xlm_diags_init(d, s->arena, s->source);
  s->plan = xlm_compile(s->arena, s->source, &s->options, d, NULL, NULL).plan;
  return XLM_OK;
}

static xlm_status settle_plan(session *s, const xlm_diags *d) {
  show_diagnostics(s, d);
  if (s->plan) return session_check_memory(s);
  s->told = d->errors > 0;
  return xlm_fail(&s->err, XLM_USER, "'%s' cannot be planned", s->model_path);
}

xlm_status session_compile(session *s, uint32_t programs, int64_t batch) {
  xlm_diags d;
  if (s->saved) return use_saved(s, programs);
  XLM_TRY(compile(s, programs, batch, &d));
  return settle_plan(s, &d);
}

// The first error, with its line.
static const char *reason(session *s, const xlm_diags *d) {
  for (uint32_t i = 0; i < d->n; i++) {
    const xlm_diag *x = &d->at[i];
    if (!xlm_diag_is_error(x->id)) continue;
    if (!x->n_labels) return x->text;
    uint32_t line = xlm_source_line(s->source, x->labels[0].span.begin);
    xlm_model_line at = xlm_text_line(s->source->path, s->source->text, line);
    return xlm_arena_printf(s->arena, "%s (%.*s:%u)", x->text, at.n, at.path, at.line);
  }
  return "";
}

xlm_status session_compile_decoding(session *s, int64_t batch, const char **why_not) {
  xlm_diags d;
  *why_not = NULL;
  bool steps = s->saved && xlm_plan_has(s->plan->rank_plans[0], XLM_PROGRAM_DECODE);
  if (s->saved) return use_saved(s, steps ? XLM_WITH_PREFILL | XLM_WITH_DECODE : XLM_WITH_EVAL);
  XLM_TRY(compile(s, XLM_WITH_PREFILL | XLM_WITH_DECODE, batch, &d));
  if (s->plan) return settle_plan(s, &d);
  *why_not = reason(s, &d);
  return session_compile(s, XLM_WITH_EVAL, batch); // reports what is wrong with the model itself
}

const char *session_ranks(const session *s) {
  if (s->plan->n_ranks == 1) return "";
  const char *link = s->team ? xlm_exec_link(xlm_team_exec(s->team, 0)) : NULL;
  return xlm_arena_printf(s->arena, "  %u ranks = %s%s%s%s", s->plan->n_ranks,
                          xlm_request_mesh_text(s->arena, &s->plan->mesh), s->mpi ? " (mpi)" : "",
                          link ? ", " : "", link ? link : "");
}

int session_threads(const session *s) {
  return s->options.target.threads * (s->mpi ? 1 : (int)s->plan->n_ranks);
}

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
  return *from ? init_from_weights(s, from) : XLM_OK;
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
    return show_settings(s);
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
