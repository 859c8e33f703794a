// --init-from and --init-adapters; see init_from.h.
#include "tools/xlmrun/init_from.h"

#include <stdio.h>
#include <string.h>

#include "runtime/interchange/config_json.h"
#include "runtime/interchange/peft.h"
#include "runtime/interchange/safetensors.h"
#include "runtime/interchange/weights.h"
#include "tools/common/request.h"

// ---- sizes ----

// Sizes of a run, and weights of losses, are no property of the weights.
static bool is_of_run(const xlm_public_name *x) {
  size_t n = strlen(x->name);
  return !strcmp(x->of, "seq") || !strcmp(x->of, "batch") ||
         (n > 10 && !strcmp(x->name + n - 10, "_loss_coef"));
}

static xlm_status take_from_config(session *s, const char *weights) {
  const xlm_public_name *names;
  int n = xlm_request_public_names(s->settings, s->source, &names);
  const char **keys = XLM_NEW_N(s->arena, const char *, n + 1),
             **values = XLM_NEW_N(s->arena, const char *, n + 1), *path;
  for (int i = 0; i < n; i++) keys[i] = names[i].name;
  XLM_TRY(xlm_config_values(s->arena, weights, keys, n, values, &path, &s->err));
  for (int i = 0; i < n; i++) {
    bool is_own = !strcmp(names[i].name, names[i].of); // not a name of other tools
    if (!values[i] || is_own || is_of_run(&names[i])) continue;
    const char *entry = xlm_arena_printf(s->arena, "%s=%s", names[i].name, values[i]);
    XLM_TRY(xlm_settings_put(s->settings, XLM_SET_set, entry, XLM_FROM_CHECKPOINT, path, &s->err));
  }
  return XLM_OK;
}

static bool is_of_weights(xlm_setting_id id) { // without adapters those of the checkpoint would be left out
  return id == XLM_SET_preset || id == XLM_SET_set || id == XLM_SET_lora;
}

static xlm_status take_setting(session *s, const xlm_checkpoint_setting *x, const char *where) {
  xlm_setting_id id;
  if (!xlm_settings_find_path(x->key, &id) || !is_of_weights(id)) return XLM_OK;
  return xlm_settings_put_whole(s->settings, id, x->value, XLM_FROM_CHECKPOINT, where, &s->err);
}

static xlm_status take_from_checkpoint(session *s, const char *path) {
  xlm_checkpoint *c;
  XLM_TRY(xlm_checkpoint_open(path, XLM_ANY_STEP, &c, &s->err));
  xlm_status status = XLM_OK;
  for (int i = 0; i < c->info.n_settings && status == XLM_OK; i++)
    status = take_setting(s, &c->info.settings[i], path);
  xlm_checkpoint_close(c);
  return status;
}

xlm_status init_from_sizes(session *s) {
  const char *from = xlm_setting_text(s->settings, XLM_SET_init_from);
  if (!*from) return XLM_OK;
  return xlm_checkpoint_exists(from) ? take_from_checkpoint(s, from) : take_from_config(s, from);
}

// ---- weights ----

static xlm_status judge_left(session *s, const char *path, const xlm_weights_left *left) {
  const char *what = xlm_arena_printf(
      s->arena, "%d of the %d tensors of the weights belong to no parameter of the model, first '%s'",
      left->n, left->of, left->first);
  if (!left->n) return XLM_OK;
  if (!xlm_setting_bool(s->settings, XLM_SET_ignore_unexpected))
    return xlm_fail(&s->err, XLM_USER,
                    "%s: it would compute something else; --ignore-unexpected-weights starts without them",
                    what);
  if (!s->silent) fprintf(stderr, "xlmrun: note: '%s': %s; ignored\n", path, what);
  return XLM_OK;
}

static xlm_status import_all(session *s, const char *path, const xlm_safetensors *f) {
  xlm_weights_left left;
  xlm_weights *w;
  XLM_TRY(xlm_weights_new(s->store, s->plan, &w, &s->err));
  xlm_status status = xlm_weights_import(w, f, &s->err);
  if (status == XLM_OK) status = xlm_weights_find_left(w, f, &left, &s->err);
  if (status == XLM_OK) status = judge_left(s, path, &left);
  xlm_weights_free(w);
  return status;
}

xlm_status init_from_weights(session *s, const char *path) {
  if (xlm_checkpoint_exists(path)) { // one checkpoint, or a folder of them
    xlm_checkpoint *c;
    XLM_TRY(xlm_checkpoint_load_newest(path, s->store, s->plan, true, &c, &s->err));
    xlm_checkpoint_close(c);
    return XLM_OK;
  }
  xlm_safetensors *f;
  XLM_TRY(xlm_config_compare(s->arena, path, s->plan, &s->err));
  XLM_TRY(xlm_safetensors_open(path, &f, &s->err));
  xlm_status status = import_all(s, path, f);
  xlm_safetensors_close(f);
  return status == XLM_OK ? XLM_OK : xlm_fail_in(&s->err, "cannot start from '%s'", path);
}

// ---- adapters ----

double init_from_scale(void *arg, const char *param) {
  const xlm_train_options *o = arg;
  const xlm_lora *l = xlm_lora_of(o->lora, o->n_lora, param);
  return l ? l->alpha / (double)l->rank : 0;
}

xlm_status init_from_adapters(session *s) {
  const char *folder = xlm_setting_text(s->settings, XLM_SET_init_adapters);
  if (!*folder) return XLM_OK;
  return xlm_peft_import(folder, s->plan, s->store, init_from_scale, &s->options.train, &s->err);
}
