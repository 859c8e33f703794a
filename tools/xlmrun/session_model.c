// What a command is about: a model, a saved plan or a checkpoint, and the settings that a checkpoint hands
// on.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compiler/parse/load.h"
#include "runtime/base/map.h"
#include "tools/common/request.h"
#include "tools/xlmrun/init_from.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/saved_plan.h"
#include "tools/xlmrun/session_priv.h"

// ---- a checkpoint's settings ----

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
                                       XLM_SET_device,     XLM_SET_arch,         XLM_SET_init_adapters};
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

// ---- the model ----

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

xlm_status session_show_settings(session *s) {
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
