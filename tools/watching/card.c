// See card.h.
#include "tools/watching/card.h"

#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/json_parse.h"

static const char *path_in(xlm_arena *a, const char *dir) {
  return xlm_arena_printf(a, "%s/run.json", dir);
}

xlm_status xlm_card_write(xlm_arena *a, const xlm_card *c, const char *dir, xlm_error *err) {
  xlm_json j;
  xlm_text t = xlm_text_new(a);
  xlm_json_to_text(&j, &t);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(&j, "model", c->model);
  xlm_json_put_text(&j, "preset", c->preset);
  xlm_json_put_text(&j, "layout", c->layout);
  xlm_json_put_text(&j, "device", c->device);
  xlm_json_put_real(&j, "parameters", c->parameters);
  xlm_json_put_int(&j, "max_steps", c->max_steps);
  xlm_json_put_int(&j, "tokens_per_step", c->tokens_per_step);
  xlm_json_put_text(&j, "metrics", c->metrics);
  xlm_json_put_text(&j, "ended", c->ended);
  xlm_json_object(&j, "settings", XLM_JSON_LINES);
  for (int i = 0; i < c->n_settings; i++) xlm_json_put_text(&j, c->settings[i].key, c->settings[i].value);
  xlm_json_close(&j);
  xlm_json_close(&j);
  XLM_TRY(xlm_json_finish(&j));
  xlm_text_add(&t, "\n");
  return xlm_file_replace(path_in(a, dir), t.data, t.n, err);
}

// ---- reading ----

static const char *text_of(xlm_arena *a, const json_t *j, const char *key) {
  const char *s = json_string_value(json_object_get(j, key));
  return s ? xlm_arena_strdup(a, s) : "";
}

static int64_t count_of(const json_t *j, const char *key) {
  int64_t n = json_integer_value(json_object_get(j, key));
  return n > 0 ? n : 0;
}

static void read_settings(xlm_arena *a, json_t *all, xlm_card *out) {
  const char *key;
  json_t *value;
  xlm_card_setting *list = XLM_NEW_N(a, xlm_card_setting, json_object_size(all) + 1);
  out->settings = list;
  json_object_foreach(all, key, value) {
    if (json_is_string(value))
      list[out->n_settings++] =
          (xlm_card_setting){xlm_arena_strdup(a, key), xlm_arena_strdup(a, json_string_value(value))};
  }
}

static void free_json(void *json) {
  json_decref(json);
}

xlm_status xlm_card_read(xlm_arena *a, const char *dir, xlm_card *out, bool *found, xlm_error *err) {
  json_t *j = NULL;
  const char *path = path_in(a, dir);
  *out = (xlm_card){.model = "", .preset = "", .layout = "", .device = "", .metrics = "", .ended = ""};
  *found = !access(path, F_OK);
  if (!*found) return XLM_OK;
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(a, free_json);
  XLM_TRY(xlm_json_parse_file(path, 0, &j, err));
  cleanup->what = j;
  out->model = text_of(a, j, "model"), out->preset = text_of(a, j, "preset");
  out->layout = text_of(a, j, "layout"), out->device = text_of(a, j, "device");
  out->metrics = text_of(a, j, "metrics"), out->ended = text_of(a, j, "ended");
  out->parameters = json_number_value(json_object_get(j, "parameters"));
  out->max_steps = count_of(j, "max_steps"), out->tokens_per_step = count_of(j, "tokens_per_step");
  read_settings(a, json_object_get(j, "settings"), out);
  xlm_arena_clean_up(cleanup);
  return XLM_OK;
}
