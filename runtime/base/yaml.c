// See yaml.h. As in libyaml, a document's nodes are one array, and references are indices.
#include "runtime/base/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
  xlm_arena *a;
  const char *path;
  yaml_parser_t *parser;
  yaml_document_t *doc; // NULL: none is open
  xlm_yaml *nodes;      // with libyaml's numbering, from 1
} reader;

static bool is_null(const yaml_node_t *n) {
  const char *v = (const char *)n->data.scalar.value;
  if (n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
  return !*v || !strcmp(v, "null") || !strcmp(v, "~");
}

static void read_scalar(const reader *r, const yaml_node_t *from, xlm_yaml *n) {
  n->kind = is_null(from) ? XLM_YAML_NULL : XLM_YAML_SCALAR;
  n->text = n->kind == XLM_YAML_NULL
                ? ""
                : xlm_arena_strndup(r->a, (const char *)from->data.scalar.value, from->data.scalar.length);
}

static void read_list(const reader *r, const yaml_node_t *from, xlm_yaml *n) {
  n->kind = XLM_YAML_LIST;
  n->n = (int)(from->data.sequence.items.top - from->data.sequence.items.start);
  xlm_yaml_pair *at = XLM_NEW_N(r->a, xlm_yaml_pair, n->n);
  for (int i = 0; i < n->n; i++) at[i].value = &r->nodes[from->data.sequence.items.start[i]];
  n->at = at;
}

static void read_map(const reader *r, const yaml_node_t *from, xlm_yaml *n) {
  n->kind = XLM_YAML_MAP;
  n->n = (int)(from->data.mapping.pairs.top - from->data.mapping.pairs.start);
  xlm_yaml_pair *at = XLM_NEW_N(r->a, xlm_yaml_pair, n->n);
  for (int i = 0; i < n->n; i++) {
    const yaml_node_pair_t *p = &from->data.mapping.pairs.start[i];
    at[i] = (xlm_yaml_pair){&r->nodes[p->key], &r->nodes[p->value]};
  }
  n->at = at;
}

static int by_key(const void *a, const void *b) {
  const xlm_yaml *x = *(const xlm_yaml *const *)a, *y = *(const xlm_yaml *const *)b;
  int order = strcmp(x->text, y->text);
  return order ? order : (x->line > y->line) - (x->line < y->line);
}

static xlm_status check_keys(const reader *r, const xlm_yaml *map, xlm_error *err) {
  const xlm_yaml **keys = XLM_NEW_N(r->a, const xlm_yaml *, map->n);
  int n = 0;
  for (int i = 0; i < map->n; i++)
    if (map->at[i].key->kind == XLM_YAML_SCALAR) keys[n++] = map->at[i].key;
  qsort(keys, (size_t)n, sizeof *keys, by_key);
  for (int i = 1; i < n; i++)
    if (!strcmp(keys[i - 1]->text, keys[i]->text))
      return xlm_fail(err, XLM_USER, "%s:%zu: the key '%s' is given twice", r->path, keys[i]->line,
                      keys[i]->text);
  return XLM_OK;
}

static xlm_status read_nodes(reader *r, const xlm_yaml **root, xlm_error *err) {
  static void (*const read[])(const reader *, const yaml_node_t *, xlm_yaml *) = {
      [YAML_SCALAR_NODE] = read_scalar, [YAML_SEQUENCE_NODE] = read_list, [YAML_MAPPING_NODE] = read_map};
  int n = (int)(r->doc->nodes.top - r->doc->nodes.start);
  r->nodes = XLM_NEW_N(r->a, xlm_yaml, n + 1);
  *r->nodes = (xlm_yaml){.kind = XLM_YAML_NULL, .line = 1, .text = ""}; // the root of an empty document
  for (int i = 1; i <= n; i++) {
    const yaml_node_t *from = &r->doc->nodes.start[i - 1];
    r->nodes[i].line = from->start_mark.line + 1, r->nodes[i].text = "";
    if (from->type != YAML_NO_NODE) read[from->type](r, from, &r->nodes[i]);
  }
  for (int i = 1; i <= n; i++)
    if (r->nodes[i].kind == XLM_YAML_MAP) XLM_TRY(check_keys(r, &r->nodes[i], err));
  *root = &r->nodes[n ? 1 : 0];
  return XLM_OK;
}

static void close_parser(void *what) {
  reader *r = what;
  if (r->doc) yaml_document_delete(r->doc);
  yaml_parser_delete(r->parser);
}

static xlm_status load(reader *r, yaml_document_t *doc, xlm_error *err) {
  const yaml_parser_t *p = r->parser;
  if (yaml_parser_load(r->parser, doc)) {
    r->doc = doc;
    return XLM_OK;
  }
  if (p->error == YAML_MEMORY_ERROR || !p->problem)
    return xlm_fail(err, XLM_ENV, "no memory to read '%s'", r->path);
  size_t line = p->error == YAML_READER_ERROR ? 1 : p->problem_mark.line + 1;
  return xlm_fail(err, XLM_USER, "%s:%zu: %s", r->path, line, p->problem);
}

xlm_status xlm_yaml_read(xlm_arena *a, const char *path, const char *text, size_t n, const xlm_yaml **root,
                         xlm_error *err) {
  reader *r = XLM_NEW(a, reader);
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(a, close_parser);
  yaml_document_t *doc = XLM_NEW(a, yaml_document_t);
  *r = (reader){.a = a, .path = path, .parser = XLM_NEW(a, yaml_parser_t)};
  if (!yaml_parser_initialize(r->parser)) return xlm_fail(err, XLM_ENV, "no memory to read '%s'", path);
  cleanup->what = r;
  yaml_parser_set_input_string(r->parser, (const unsigned char *)text, n);
  xlm_status status = load(r, doc, err);
  if (status == XLM_OK) status = read_nodes(r, root, err);
  xlm_arena_clean_up(cleanup);
  return status;
}
