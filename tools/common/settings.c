// The table of settings and validation of values; see settings.h.
#include "tools/common/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char optimizer_names[] =
#define XLM_OPTIMIZER(name) "|" #name
#include "compiler/optimizer/optimizers.def"
#undef XLM_OPTIMIZER
    ;
#define XLM_OPTIMIZER_NAMES (&optimizer_names[1])

const xlm_setting_info xlm_setting_table[XLM_SETTING_COUNT] = {
#define XLM_SETTING(id, type, section, key, flags, initial, low, high, choices, tools, help)                 \
  {#id, XLM_SETTING_##type, section, key, flags, initial, low, high, choices, tools, help},
#include "tools/common/settings.def"
#undef XLM_SETTING
};

static bool parse_number(const char *text, double *out) { // underscores may group digits
  char clean[64];
  size_t n = 0;
  for (const char *p = text; *p; p++) {
    if (*p == '_') continue;
    if (n + 1 >= sizeof clean || !strchr("0123456789.eE+-", *p)) return false;
    clean[n++] = *p;
  }
  clean[n] = 0;
  char *end;
  *out = strtod(clean, &end);
  return n && !*end && isfinite(*out);
}

static xlm_status bad(const xlm_setting_info *k, const char *where, const char *text, const char *want,
                      xlm_error *err) {
  return xlm_fail(err, XLM_USER, "%s: '%.100s' is not %s (%s)", where, text, want, k->help);
}

static xlm_status set_number(const xlm_setting_info *k, xlm_setting_value *v, const char *text,
                             xlm_error *err) {
  bool whole = k->type == XLM_SETTING_INT;
  if (!parse_number(text, &v->f) || (whole && (v->f != floor(v->f) || fabs(v->f) > 9e15)))
    return bad(k, v->where, text, whole ? "a whole number" : "a number", err);
  if (v->f < k->low || v->f > k->high)
    return xlm_fail(err, XLM_USER, "%s: %s is out of range; it must lie between %.12g and %.12g", v->where,
                    text, k->low, k->high);
  v->i = whole ? (int64_t)v->f : 0;
  return XLM_OK;
}

static xlm_status set_bytes(xlm_run_settings *s, const xlm_setting_info *k, xlm_setting_value *v,
                            const char *text, xlm_error *err) {
  uint64_t n;
  if (!xlm_settings_bytes(text, &n))
    return xlm_fail(err, XLM_USER, "%s: '%.100s' is no size; write 24GiB or 800MiB", v->where, text);
  v->f = (double)n;
  if (v->f >= k->low && v->f <= k->high) return XLM_OK;
  return xlm_fail(err, XLM_USER, "%s: %s is out of range; it must lie between %s and %s", v->where, text,
                  xlm_text_bytes(s->arena, (uint64_t)k->low), xlm_text_bytes(s->arena, (uint64_t)k->high));
}

bool xlm_settings_truth(const char *text, bool *out) {
  static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
  for (int i = 0; i < 4; i++) {
    if (!strcmp(text, yes[i])) return *out = true, true;
    if (!strcmp(text, no[i])) return *out = false, true;
  }
  return false;
}

static xlm_status set_choice(const xlm_setting_info *k, xlm_setting_value *v, const char *text,
                             xlm_error *err) {
  enum { MOST = 32 };
  char copy[400], list[400] = "";
  const char *names[MOST];
  size_t n = 0, at = 0;
  snprintf(copy, sizeof copy, "%s", k->choices);
  for (char *save = NULL, *w = strtok_r(copy, "|", &save); w && n < MOST; w = strtok_r(NULL, "|", &save)) {
    if (!strcmp(w, text)) return XLM_OK;
    if (at < sizeof list) at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", n ? ", " : "", w);
    names[n++] = w;
  }
  const char *near = xlm_text_nearest(text, names, n);
  return xlm_fail(err, XLM_USER, "%s: '%.100s' is not one of %s%s%s%s", v->where, text, list,
                  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static void add_item(xlm_run_settings *s, xlm_setting_value *v, const char *text) {
  const char **list = XLM_NEW_N(s->arena, const char *, v->n + 1),
             **places = XLM_NEW_N(s->arena, const char *, v->n + 1);
  if (v->n) memcpy(list, v->list, sizeof *list * (size_t)v->n);
  if (v->n) memcpy(places, v->list_where, sizeof *places * (size_t)v->n);
  list[v->n] = text;
  places[v->n++] = v->where;
  v->list = list;
  v->list_where = places;
}

static bool same_entry(const char *a, const char *b) { // by name
  size_t n = strcspn(a, "=");
  return strcspn(b, "=") == n && !strncmp(a, b, n);
}

static void remove_entry(xlm_setting_value *v, int at) {
  v->n--;
  for (int i = at; i < v->n; i++) v->list[i] = v->list[i + 1], v->origin[i] = v->origin[i + 1];
}

// Entries are in order of precedence, so that the last one of a name applies.
static void put_entry(xlm_run_settings *s, xlm_setting_value *v, const char *text, xlm_setting_origin from) {
  for (int i = v->n; i-- > 0;) {
    if (!same_entry(v->list[i], text)) continue;
    if (v->origin[i].source > from.source) return;
    remove_entry(v, i);
  }
  const char **list = XLM_NEW_N(s->arena, const char *, v->n + 1);
  xlm_setting_origin *origin = XLM_NEW_N(s->arena, xlm_setting_origin, v->n + 1);
  int k = 0, n = 0;
  for (; k < v->n && v->origin[k].source <= from.source; k++)
    list[n] = v->list[k], origin[n++] = v->origin[k];
  list[n] = text, origin[n++] = from;
  for (; k < v->n; k++) list[n] = v->list[k], origin[n++] = v->origin[k];
  v->list = list, v->origin = origin, v->n = n;
}

static xlm_status set_value(xlm_run_settings *s, const xlm_setting_info *k, xlm_setting_value *v,
                            const char *text, xlm_error *err) {
  bool number = k->type == XLM_SETTING_INT || k->type == XLM_SETTING_FLOAT;
  v->text = text;
  if (k->type == XLM_SETTING_LIST) add_item(s, v, text);
  if (number) return set_number(k, v, text, err);
  if (k->type == XLM_SETTING_BYTES) return set_bytes(s, k, v, text, err);
  if (k->type == XLM_SETTING_BOOL)
    return xlm_settings_truth(text, &v->b) ? XLM_OK : bad(k, v->where, text, "true or false", err);
  if (k->type == XLM_SETTING_CHOICE) return set_choice(k, v, text, err);
  return XLM_OK;
}

xlm_run_settings *xlm_settings_new(xlm_arena *a, char tool) {
  xlm_run_settings *s = XLM_NEW(a, xlm_run_settings);
  s->arena = a;
  s->tool = tool;
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    xlm_error err;
    s->value[i] = (xlm_setting_value){.where = "default", .text = ""};
    if (!*k->initial || xlm_setting_is_list((xlm_setting_id)i)) continue;
    xlm_status ok = set_value(s, k, &s->value[i], k->initial, &err);
    XLM_ASSERT(ok == XLM_OK, "default of %s: %s", k->id, err.text);
  }
  return s;
}

xlm_status xlm_settings_put(xlm_run_settings *s, xlm_setting_id id, const char *text,
                            xlm_setting_source source, const char *where, xlm_error *err) {
  xlm_setting_value *v = &s->value[id];
  bool map = xlm_setting_table[id].type == XLM_SETTING_MAP;
  text = xlm_arena_strdup(s->arena, text), where = xlm_arena_strdup(s->arena, where);
  if (map) put_entry(s, v, text, (xlm_setting_origin){source, where});
  if (v->source > source) return XLM_OK;
  if (v->source < source && !map) v->n = 0; // a source of higher precedence replaces a list
  v->source = source;
  v->where = where;
  return set_value(s, &xlm_setting_table[id], v, text, err);
}

static const char *meaning(const xlm_public_name *names, int n, const char *entry) {
  for (int i = 0; i < n; i++)
    if (strlen(names[i].name) == strcspn(entry, "=") && same_entry(names[i].name, entry)) return names[i].of;
  return NULL;
}

void xlm_settings_merge(xlm_run_settings *s, const xlm_public_name *names, int n) {
  xlm_setting_value *v = &s->value[XLM_SET_set];
  for (int i = v->n; i-- > 0;) {
    const char *of = meaning(names, n, v->list[i]);
    for (int k = i; of && k-- > 0;) {
      const char *other = meaning(names, n, v->list[k]);
      if (!other || strcmp(of, other)) continue;
      remove_entry(v, k);
      i--;
    }
  }
}

bool xlm_settings_find(const char *section, const char *key, xlm_setting_id *out) {
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    if (!strcmp(xlm_setting_table[i].section, section) && !strcmp(xlm_setting_table[i].key, key)) {
      *out = (xlm_setting_id)i;
      return true;
    }
  return false;
}

bool xlm_settings_find_path(const char *path, xlm_setting_id *out) {
  const char *dot = strchr(path, '.'), *key = dot ? dot + 1 : path;
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const char *section = xlm_setting_table[i].section;
    size_t n = dot ? (size_t)(dot - path) : 0;
    if (strlen(section) != n || strncmp(section, path, n) || strcmp(xlm_setting_table[i].key, key)) continue;
    *out = (xlm_setting_id)i;
    return true;
  }
  return false;
}

const char *xlm_settings_whole(const xlm_run_settings *s, xlm_setting_id id) {
  const xlm_setting_value *v = &s->value[id];
  if (!xlm_setting_is_list(id)) return v->text;
  xlm_text t = xlm_text_new(s->arena);
  for (int i = 0; i < v->n; i++) xlm_text_printf(&t, "%s%s", i ? "\n" : "", v->list[i]);
  return t.data;
}

xlm_status xlm_settings_put_whole(xlm_run_settings *s, xlm_setting_id id, const char *text,
                                  xlm_setting_source source, const char *where, xlm_error *err) {
  if (!xlm_setting_is_list(id)) return xlm_settings_put(s, id, text, source, where, err);
  for (size_t n; *text; text += n, text += *text == '\n') {
    n = strcspn(text, "\n");
    XLM_TRY(xlm_settings_put(s, id, xlm_arena_strndup(s->arena, text, n), source, where, err));
  }
  return XLM_OK;
}

// All settings of xlmc affect the plan, except the model's path and this machine's resources.
bool xlm_settings_makes_plan(xlm_setting_id id) {
  static const xlm_setting_id others[] = {XLM_SET_model, XLM_SET_arch, XLM_SET_threads, XLM_SET_memory_limit};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (others[i] == id) return false;
  return strchr(xlm_setting_table[id].tools, 'p') != NULL;
}

bool xlm_settings_bytes(const char *text, uint64_t *out) {
  static const struct {
    const char *name;
    double factor;
  } units[] = {{"", 1},      {"B", 1},      {"KB", 1e3},     {"MB", 1e6},     {"GB", 1e9},
               {"TB", 1e12}, {"KiB", 1024}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40},
               {"K", 1024},  {"M", 0x1p20}, {"G", 0x1p30},   {"T", 0x1p40}};
  char *end;
  double n = strtod(text, &end);
  if (end == text || !(n >= 0)) return false;
  while (*end == ' ') end++;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (!strcmp(end, units[i].name) && n * units[i].factor < 0x1p63) {
      *out = (uint64_t)(n * units[i].factor);
      return true;
    }
  return false;
}
