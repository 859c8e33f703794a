// From settings to an executor with filled states; see session.h.
#include "tools/xlmrun/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/map.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/checkpoint/weights.h"
#include "tools/common/request.h"

static void show_help(const session *s, const char *usage, char tool) {
  xlm_text t = xlm_text_new(s->arena);
  xlm_settings_help(tool, &t);
  printf("%s\n%s", usage, t.data);
}

static void show_settings(const session *s) {
  xlm_text t = xlm_text_new(s->arena);
  xlm_settings_print(s->settings, &t);
  fputs(t.data, stdout);
}

static xlm_status read_settings(session *s, int argc, char *const *argv) {
  XLM_TRY(xlm_settings_flags(s->settings, argc, argv, &s->err));
  return s->settings->config ? xlm_settings_file(s->settings, s->settings->config, &s->err) : XLM_OK;
}

// Settings that a checkpoint does not hand on: where things are, and how fast.
static bool is_handed_on(const session *s, xlm_setting_id id) {
  static const xlm_setting_id own[] = {XLM_SET_output_dir, XLM_SET_resume,       XLM_SET_overwrite,
                                       XLM_SET_threads,    XLM_SET_memory_limit, XLM_SET_init_from};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (own[i] == id) return false;
  return strchr(xlm_setting_table[id].tools, s->settings->tool) != NULL || id == XLM_SET_data ||
         id == XLM_SET_valid;
}

static xlm_status take_setting(session *s, const xlm_checkpoint_setting *x) {
  const char *dot = strchr(x->key, '.');
  xlm_setting_id id;
  if (!dot || !xlm_settings_find(xlm_arena_strndup(s->arena, x->key, (size_t)(dot - x->key)), dot + 1, &id) ||
      !is_handed_on(s, id))
    return XLM_OK;
  bool list = xlm_setting_table[id].type == XLM_SETTING_LIST;
  for (const char *p = x->value; *p || !list;
       p += strcspn(p, "\n"), p += *p == '\n') { // lists: one item per line
    const char *item = list ? xlm_arena_strndup(s->arena, p, strcspn(p, "\n")) : p;
    XLM_TRY(xlm_settings_put(s->settings, id, item, XLM_FROM_CHECKPOINT, s->checkpoint->path, &s->err));
    if (!list) break;
  }
  return XLM_OK;
}

xlm_status session_open_checkpoint(session *s, const char *path) {
  XLM_TRY(xlm_checkpoint_open(path, &s->checkpoint, &s->err));
  if (*s->checkpoint->notes) fprintf(stderr, "xlmrun: %s", s->checkpoint->notes);
  for (int i = 0; i < s->checkpoint->info.n_settings; i++)
    XLM_TRY(take_setting(s, &s->checkpoint->info.settings[i]));
  return XLM_OK;
}

xlm_status session_read_model(session *s, const char *path) {
  if (!path && s->checkpoint && s->checkpoint->info.model_text) {
    const char *from = s->checkpoint->info.model_path;
    s->model_path = from ? from : "model.xlm";
    s->model_text = s->checkpoint->info.model_text;
    s->model_bytes = strlen(s->model_text);
    return XLM_OK;
  }
  if (!path)
    return xlm_fail(&s->err, XLM_USER,
                    "which model? give a model file, as in `xlmrun train models/llama.xlm`");
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, &s->err));
  s->model_path = path;
  s->model_text = xlm_arena_strndup(s->arena, (const char *)m.data, m.n);
  s->model_bytes = m.n;
  xlm_map_close(&m);
  return XLM_OK;
}

static xlm_status check_mesh(session *s) {
  static const xlm_setting_id axes[] = {XLM_SET_tp, XLM_SET_pp, XLM_SET_dp, XLM_SET_ep, XLM_SET_cp};
  for (size_t i = 0; i < sizeof axes / sizeof *axes; i++)
    if (xlm_setting_int(s->settings, axes[i]) > 1)
      return xlm_fail(&s->err, XLM_USER, "--%s %lld: this version runs on one rank",
                      xlm_setting_table[axes[i]].key, (long long)xlm_setting_int(s->settings, axes[i]));
  return XLM_OK;
}

static xlm_status check_memory(session *s) {
  uint64_t limit, needs = s->plan->classes[0]->arena_bytes;
  XLM_TRY(xlm_request_memory(s->settings, &limit, &s->err));
  if (!limit || needs <= limit) return XLM_OK;
  s->exit_code = EXIT_DOES_NOT_FIT;
  return xlm_fail(&s->err, XLM_USER,
                  "this run needs %s and there are %s: try a smaller --micro-batch-size or --seq-length, or "
                  "--recompute full",
                  xlm_text_bytes(s->arena, needs), xlm_text_bytes(s->arena, limit));
}

xlm_status session_compile(session *s, bool with_train, bool with_eval, int64_t batch) {
  XLM_TRY(check_mesh(s));
  const xlm_source *source = xlm_source_new(s->arena, s->model_path, s->model_text, s->model_bytes);
  XLM_TRY(xlm_request_options(s->settings, source, with_train, with_eval, batch, &s->options, &s->err));
  s->options.backend = &xlm_backend_cpu()->info;
  xlm_diags d;
  xlm_diags_init(&d, s->arena, source);
  s->plan = xlm_compile(s->arena, source, &s->options, &d, NULL, NULL).plan;
  if (d.n) {
    xlm_text t = xlm_text_new(s->arena);
    xlm_diag_render(&d, isatty(STDERR_FILENO), &t);
    fputs(t.data, stderr);
  }
  if (s->plan) return check_memory(s);
  s->told = d.errors > 0;
  return xlm_fail(&s->err, XLM_USER, "'%s' cannot be planned", s->model_path);
}

static void *state_address(void *arg, uint32_t rank, uint32_t state) {
  (void)rank;
  return xlm_exec_state(arg, state);
}

xlm_status session_open(session *s) {
  XLM_TRY(xlm_exec_open(s->plan, 0, xlm_backend_cpu(), s->options.threads, NULL, &s->exec, &s->err));
  return xlm_store_new(s->plan, state_address, s->exec, &s->store, &s->err);
}

static xlm_status import_weights(session *s, const char *path) {
  if (xlm_checkpoint_exists(path)) { // one of ours, or a folder of them
    xlm_checkpoint *c;
    XLM_TRY(xlm_checkpoint_open(path, &c, &s->err));
    xlm_status loaded = xlm_checkpoint_load(c, s->store, s->plan, true, &s->err);
    xlm_checkpoint_close(c);
    return loaded;
  }
  xlm_safetensors *f;
  XLM_TRY(xlm_safetensors_open(path, &f, &s->err));
  xlm_status status = xlm_weights_import(s->store, s->plan, f, &s->err);
  xlm_safetensors_close(f);
  return status == XLM_OK ? XLM_OK : xlm_fail_in(&s->err, "cannot start from '%s'", path);
}

xlm_status session_fill(session *s, bool weights_only) {
  const char *from = xlm_setting_text(s->settings, XLM_SET_init_from);
  if (s->checkpoint) return xlm_checkpoint_load(s->checkpoint, s->store, s->plan, weights_only, &s->err);
  XLM_TRY(xlm_store_init(s->store, s->options.seed, true, xlm_exec_pool(s->exec),
                         &s->err)); // the arena is fresh: zero
  return *from ? import_weights(s, from) : XLM_OK;
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
    show_settings(s);
  return ends_here(s) ? XLM_OK : body(s);
}

static int close_session(session *s, xlm_status status) {
  if (status != XLM_OK && !s->told) fprintf(stderr, "xlmrun: %s\n", s->err.text);
  xlm_store_free(s->store);
  xlm_exec_close(s->exec);
  xlm_checkpoint_close(s->checkpoint);
  xlm_arena_free(s->arena);
  return status == XLM_OK ? 0 : s->exit_code ? s->exit_code : (int)status;
}

int session_run(char tool, const char *usage, int argc, char *const *argv, session_body *body) {
  static session s; // static: it must keep its values when the arena jumps back here
  s.arena = xlm_arena_new((size_t)4 << 30);
  if (s.arena && XLM_ARENA_TRY(s.arena))
    return close_session(&s, run_body(&s, tool, usage, argc, argv, body));
  return close_session(&s, xlm_fail(&s.err, XLM_ENV, "no memory to plan this model"));
}
