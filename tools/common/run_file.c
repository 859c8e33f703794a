// The run file: YAML by libyaml, sections and keys as settings.def names them. Nodes carry their line, so
// that every message has one. Aliases are followed by libyaml as shared nodes; nothing here recurses.
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "runtime/base/map.h"
#include "tools/common/settings.h"

typedef struct reader {
  xlm_run_settings *s;
  const char *path;
  yaml_document_t *doc;
  xlm_error *err;
} reader;

static const char *where(const reader *r, const yaml_node_t *n) {
  return xlm_arena_printf(r->s->arena, "%s:%zu", r->path, n->start_mark.line + 1);
}

static const char *scalar(const reader *r, const yaml_node_t *n) {
  if (n->type != YAML_SCALAR_NODE) return NULL;
  return xlm_arena_strndup(r->s->arena, (const char *)n->data.scalar.value, n->data.scalar.length);
}

static bool is_null(const yaml_node_t *n) {
  if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
  const char *v = (const char *)n->data.scalar.value;
  return !*v || !strcmp(v, "null") || !strcmp(v, "~");
}

static xlm_status put(const reader *r, xlm_setting_id id, const yaml_node_t *n) {
  const char *text = scalar(r, n);
  if (!text)
    return xlm_fail(r->err, XLM_USER, "%s: '%s' wants one value (%s)", where(r, n), xlm_setting_table[id].key,
                    xlm_setting_table[id].help);
  return xlm_settings_put(r->s, id, text, XLM_FROM_FILE, where(r, n), r->err);
}

static xlm_status put_list(const reader *r, xlm_setting_id id, const yaml_node_t *n) {
  if (n->type != YAML_SEQUENCE_NODE) return put(r, id, n);
  for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++)
    XLM_TRY(put(r, id, yaml_document_get_node(r->doc, *i)));
  return XLM_OK;
}

static xlm_status put_set(const reader *r, const yaml_node_t *n) { // set: { hidden: 512, ffn: 2048 }
  if (n->type != YAML_MAPPING_NODE) return put_list(r, XLM_SET_set, n);
  for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
    const yaml_node_t *k = yaml_document_get_node(r->doc, p->key),
                      *v = yaml_document_get_node(r->doc, p->value);
    const char *name = scalar(r, k), *value = scalar(r, v);
    if (!name || !value) return xlm_fail(r->err, XLM_USER, "%s: `set` holds names and numbers", where(r, k));
    XLM_TRY(xlm_settings_put(r->s, XLM_SET_set, xlm_arena_printf(r->s->arena, "%s=%s", name, value),
                             XLM_FROM_FILE, where(r, k), r->err));
  }
  return XLM_OK;
}

// groups: [ { match: embed, lr: 0.1 } ]: the same as --group 'match=embed lr=0.1'.
static xlm_status put_group(const reader *r, const yaml_node_t *n) {
  xlm_text t = xlm_text_new(r->s->arena);
  if (n->type != YAML_MAPPING_NODE) return put(r, XLM_SET_groups, n);
  for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
    const char *key = scalar(r, yaml_document_get_node(r->doc, p->key)),
               *value = scalar(r, yaml_document_get_node(r->doc, p->value));
    if (!key || !value) return xlm_fail(r->err, XLM_USER, "%s: a group holds names and numbers", where(r, n));
    xlm_text_printf(&t, "%s%s=%s", t.n ? " " : "", key, value);
  }
  return xlm_settings_put(r->s, XLM_SET_groups, t.data, XLM_FROM_FILE, where(r, n), r->err);
}

static xlm_status put_groups(const reader *r, const yaml_node_t *n) {
  if (n->type != YAML_SEQUENCE_NODE)
    return xlm_fail(r->err, XLM_USER, "%s: `groups` is a list: groups: [ { match: embed, lr: 0.1 } ]",
                    where(r, n));
  for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++)
    XLM_TRY(put_group(r, yaml_document_get_node(r->doc, *i)));
  return XLM_OK;
}

static xlm_status put_any(const reader *r, xlm_setting_id id, const yaml_node_t *v) {
  if (is_null(v)) return XLM_OK;
  if (id == XLM_SET_set) return put_set(r, v);
  if (id == XLM_SET_groups) return put_groups(r, v);
  return xlm_setting_table[id].type == XLM_SETTING_LIST ? put_list(r, id, v) : put(r, id, v);
}

// mesh: { rows: 2 }: an axis of the model's own.
static xlm_status put_axis(const reader *r, const yaml_node_t *k, const char *name, const yaml_node_t *v) {
  const char *size = scalar(r, v);
  if (!size || strspn(size, "0123456789") != strlen(size) || !*size)
    return xlm_fail(r->err, XLM_USER, "%s: the mesh axis '%s' wants a number of ranks", where(r, k), name);
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
      return xlm_arena_printf(r->s->arena, "; it belongs into the section `%s:`", k->section);
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

static xlm_status read_mapping(const reader *r, const yaml_node_t *map, const char *section);

static xlm_status read_pair(const reader *r, const yaml_node_t *k, const yaml_node_t *v,
                            const char *section) {
  xlm_setting_id id;
  const char *key = scalar(r, k);
  if (!key) return xlm_fail(r->err, XLM_USER, "%s: a key must be a name", where(r, k));
  if (xlm_settings_find(section, key, &id)) return put_any(r, id, v);
  if (!*section && is_section(key)) {
    if (is_null(v)) return XLM_OK;
    if (v->type == YAML_MAPPING_NODE) return read_mapping(r, v, key);
    return xlm_fail(r->err, XLM_USER, "%s: the section `%s` wants keys and values", where(r, v), key);
  }
  if (!strcmp(section, "mesh")) return put_axis(r, k, key, v);
  return xlm_fail(r->err, XLM_USER, "%s: unknown key '%s'%s%s%s%s", where(r, k), key, *section ? " in `" : "",
                  section, *section ? "`" : "", suggestion(r, section, key));
}

static xlm_status read_mapping(const reader *r, const yaml_node_t *map, const char *section) {
  for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
    const yaml_node_t *k = yaml_document_get_node(r->doc, p->key),
                      *v = yaml_document_get_node(r->doc, p->value);
    for (yaml_node_pair_t *q = map->data.mapping.pairs.start; q < p; q++) {
      const char *a = scalar(r, yaml_document_get_node(r->doc, q->key)), *b = scalar(r, k);
      if (a && b && !strcmp(a, b))
        return xlm_fail(r->err, XLM_USER, "%s: the key '%s' is given twice", where(r, k), a);
    }
    XLM_TRY(read_pair(r, k, v, section));
  }
  return XLM_OK;
}

static xlm_status read_document(reader *r) {
  const yaml_node_t *root = yaml_document_get_root_node(r->doc);
  if (!root || is_null(root)) return XLM_OK; // an empty file
  if (root->type != YAML_MAPPING_NODE)
    return xlm_fail(r->err, XLM_USER, "%s: a run file holds keys and values", where(r, root));
  return read_mapping(r, root, "");
}

static xlm_status parse(xlm_run_settings *s, const char *path, const xlm_map *m, xlm_error *err) {
  yaml_parser_t parser;
  yaml_document_t doc;
  if (!yaml_parser_initialize(&parser)) return xlm_fail(err, XLM_ENV, "no memory to read '%s'", path);
  yaml_parser_set_input_string(&parser, m->data, m->n);
  xlm_status status;
  if (!yaml_parser_load(&parser, &doc))
    status = xlm_fail(err, parser.problem ? XLM_USER : XLM_ENV, "%s:%zu: %s", path,
                      parser.problem_mark.line + 1, parser.problem ? parser.problem : "no memory to read it");
  else {
    reader r = {s, path, &doc, err};
    status = read_document(&r);
    yaml_document_delete(&doc);
  }
  yaml_parser_delete(&parser);
  return status;
}

xlm_status xlm_settings_file(xlm_run_settings *s, const char *path, xlm_error *err) {
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, err));
  xlm_status status = m.n > 1 << 20 ? xlm_fail(err, XLM_USER, "'%s' is too large for a run file", path)
                                    : parse(s, path, &m, err);
  xlm_map_close(&m);
  return status;
}
