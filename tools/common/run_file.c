// The run file: YAML with the sections and keys of settings.def. Every message has a line.
#include <stdio.h>
#include <string.h>

#include "runtime/base/map.h"
#include "runtime/base/yaml.h"
#include "tools/common/settings.h"

typedef struct reader {
  xlm_run_settings *s;
  const char *path;
  xlm_error *err;
} reader;

static const char *where(const reader *r, const xlm_yaml *n) {
  return xlm_arena_printf(r->s->arena, "%s:%zu", r->path, n->line);
}

static const char *scalar(const xlm_yaml *n) { // NULL: not a scalar
  return n->kind <= XLM_YAML_SCALAR ? n->text : NULL;
}

static xlm_status put(const reader *r, xlm_setting_id id, const xlm_yaml *n) {
  const char *text = scalar(n);
  if (!text)
    return xlm_fail(r->err, XLM_USER, "%s: '%s' needs one value (%s)", where(r, n), xlm_setting_table[id].key,
                    xlm_setting_table[id].help);
  return xlm_settings_put(r->s, id, text, XLM_FROM_FILE, where(r, n), r->err);
}

static xlm_status put_list(const reader *r, xlm_setting_id id, const xlm_yaml *n) {
  if (n->kind != XLM_YAML_LIST) return put(r, id, n);
  for (int i = 0; i < n->n; i++) XLM_TRY(put(r, id, n->at[i].value));
  return XLM_OK;
}

static xlm_status put_set(const reader *r, const xlm_yaml *n) { // set: { hidden: 512, ffn: 2048 }
  if (n->kind != XLM_YAML_MAP) return put_list(r, XLM_SET_set, n);
  for (int i = 0; i < n->n; i++) {
    const xlm_yaml *k = n->at[i].key;
    const char *name = scalar(k), *value = scalar(n->at[i].value);
    if (!name || !value)
      return xlm_fail(r->err, XLM_USER, "%s: `set` must have names and numbers", where(r, k));
    XLM_TRY(xlm_settings_put(r->s, XLM_SET_set, xlm_arena_printf(r->s->arena, "%s=%s", name, value),
                             XLM_FROM_FILE, where(r, k), r->err));
  }
  return XLM_OK;
}

// groups: [ { match: embed, lr: 0.1 } ]: the same as --group 'match=embed lr=0.1'; lora: likewise.
static xlm_status put_group(const reader *r, xlm_setting_id id, const xlm_yaml *n) {
  xlm_text t = xlm_text_new(r->s->arena);
  if (n->kind != XLM_YAML_MAP) return put(r, id, n);
  for (int i = 0; i < n->n; i++) {
    const char *key = scalar(n->at[i].key), *value = scalar(n->at[i].value);
    if (!key || !value)
      return xlm_fail(r->err, XLM_USER, "%s: a group must have names and numbers", where(r, n));
    xlm_text_printf(&t, "%s%s=%s", t.n ? " " : "", key, value);
  }
  return xlm_settings_put(r->s, id, t.data, XLM_FROM_FILE, where(r, n), r->err);
}

static xlm_status put_groups(const reader *r, xlm_setting_id id, const xlm_yaml *n) {
  if (n->kind != XLM_YAML_LIST)
    return xlm_fail(r->err, XLM_USER, "%s: `%s` is a list: %s: [ { match: embed, %s } ]", where(r, n),
                    xlm_setting_table[id].key, xlm_setting_table[id].key,
                    id == XLM_SET_groups ? "lr: 0.1" : "rank: 8");
  for (int i = 0; i < n->n; i++) XLM_TRY(put_group(r, id, n->at[i].value));
  return XLM_OK;
}

static xlm_status put_any(const reader *r, xlm_setting_id id, const xlm_yaml *v) {
  if (v->kind == XLM_YAML_NULL) return XLM_OK;
  if (id == XLM_SET_set) return put_set(r, v);
  if (id == XLM_SET_groups || id == XLM_SET_lora) return put_groups(r, id, v);
  return xlm_setting_is_list(id) ? put_list(r, id, v) : put(r, id, v);
}

// mesh: { rows: 2 }: an axis named by the model.
static xlm_status put_axis(const reader *r, const xlm_yaml *k, const char *name, const xlm_yaml *v) {
  const char *size = scalar(v);
  if (!size || strspn(size, "0123456789") != strlen(size) || !*size)
    return xlm_fail(r->err, XLM_USER, "%s: the mesh axis '%s' needs a number of ranks", where(r, k), name);
  return xlm_settings_put(r->s, XLM_SET_mesh, xlm_arena_printf(r->s->arena, "%s=%s", name, size),
                          XLM_FROM_FILE, where(r, k), r->err);
}

// The nearest key of the section, the section a key belongs to, or the nearest section.
static const char *suggestion(const reader *r, const char *section, const char *key) {
  const char *names[XLM_SETTING_COUNT * 2];
  size_t n = 0;
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    if (!strcmp(k->key, key) && strcmp(k->section, section) && *k->section)
      return xlm_arena_printf(r->s->arena, "; it belongs in the section `%s:`", k->section);
    if (!strcmp(k->section, section))
      names[n++] = k->key;
    else if (!*section)
      names[n++] = k->section;
  }
  const char *near = xlm_text_nearest(key, names, n);
  return near ? xlm_arena_printf(r->s->arena, "; did you mean '%s'?", near) : "";
}

static bool is_section(const char *name) {
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    if (*name && !strcmp(xlm_setting_table[i].section, name)) return true;
  return false;
}

static xlm_status read_mapping(const reader *r, const xlm_yaml *map, const char *section);

static xlm_status read_pair(const reader *r, const xlm_yaml *k, const xlm_yaml *v, const char *section) {
  xlm_setting_id id;
  const char *key = scalar(k);
  if (!key) return xlm_fail(r->err, XLM_USER, "%s: a key must be a name", where(r, k));
  if (xlm_settings_find(section, key, &id)) return put_any(r, id, v);
  if (!*section && is_section(key)) {
    if (v->kind == XLM_YAML_NULL) return XLM_OK;
    if (v->kind == XLM_YAML_MAP) return read_mapping(r, v, key);
    return xlm_fail(r->err, XLM_USER, "%s: the section `%s` must have keys and values", where(r, v), key);
  }
  if (!strcmp(section, "mesh")) return put_axis(r, k, key, v);
  return xlm_fail(r->err, XLM_USER, "%s: unknown key '%s'%s%s%s%s", where(r, k), key, *section ? " in `" : "",
                  section, *section ? "`" : "", suggestion(r, section, key));
}

static xlm_status read_mapping(const reader *r, const xlm_yaml *map, const char *section) {
  for (int i = 0; i < map->n; i++) XLM_TRY(read_pair(r, map->at[i].key, map->at[i].value, section));
  return XLM_OK;
}

static xlm_status parse(xlm_run_settings *s, const char *path, const xlm_map *m, xlm_error *err) {
  const xlm_yaml *root;
  reader r = {s, path, err};
  XLM_TRY(xlm_yaml_read(s->arena, path, (const char *)m->data, m->n, &root, err));
  if (root->kind == XLM_YAML_NULL) return XLM_OK; // an empty file
  if (root->kind != XLM_YAML_MAP)
    return xlm_fail(err, XLM_USER, "%s: a run file must have keys and values", where(&r, root));
  return read_mapping(&r, root, "");
}

xlm_status xlm_settings_file(xlm_run_settings *s, const char *path, xlm_error *err) {
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, err));
  xlm_status status = m.n > 1 << 20 ? xlm_fail(err, XLM_USER, "'%s' is too large for a run file", path)
                                    : parse(s, path, &m, err);
  xlm_map_close(&m);
  return status;
}
