// The manifest of tokens; see token_manifest.h.
#include "runtime/data/token_manifest.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/json_parse.h"

enum { VERSION = 1, NUMBER = 6 /* of "-00000" */ };

static void put_sources(const xlm_token_manifest *m, xlm_json *j) {
  xlm_json_array(j, "sources", XLM_JSON_LINES);
  for (uint32_t i = 0; i < m->n_sources; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "file", m->sources[i].file);
    xlm_json_put_int(j, "bytes", m->sources[i].bytes);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void put_shards(const xlm_token_manifest *m, xlm_json *j) {
  xlm_json_array(j, "shards", XLM_JSON_LINES);
  for (uint32_t i = 0; i < m->n_shards; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "file", m->shards[i].file);
    xlm_json_put_int(j, "documents", m->shards[i].documents);
    xlm_json_put_int(j, "tokens", m->shards[i].tokens);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

xlm_status xlm_token_manifest_write(const xlm_token_manifest *m, const char *path, xlm_arena *a,
                                    xlm_error *err) {
  xlm_json j;
  xlm_text t = xlm_text_new(a);
  xlm_json_to_text(&j, &t);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_int(&j, "xlm_tokens", VERSION);
  xlm_json_put_text(&j, "key", xlm_arena_printf(a, "%016" PRIx64, m->key));
  xlm_json_put_text(&j, "tokenizer", m->tokenizer ? m->tokenizer : "bytes");
  xlm_json_put_text(&j, "tokenizer_hash", m->tokenizer ? xlm_arena_printf(a, "%016" PRIx64, m->hash) : NULL);
  xlm_json_put_int(&j, "vocabulary", m->vocabulary);
  if (m->document_end >= 0)
    xlm_json_put_int(&j, "document_end", m->document_end);
  else
    xlm_json_put_null(&j, "document_end");
  xlm_json_put_text(&j, "text_field", m->field);
  xlm_json_put_text(&j, "text_separator", m->separator);
  xlm_json_put_int(&j, "documents", m->documents);
  xlm_json_put_int(&j, "tokens", m->tokens);
  xlm_json_put_int(&j, "text_bytes", m->bytes);
  xlm_json_put_int(&j, "longest_document", m->longest);
  put_shards(m, &j);
  put_sources(m, &j);
  xlm_json_close(&j);
  XLM_TRY(xlm_json_finish(&j));
  xlm_text_add(&t, "\n");
  return xlm_file_replace(path, t.data, t.n, err);
}

typedef struct reader {
  xlm_arena *arena;
  const char *path;
  bool bad; // a field is missing or has another type
} reader;

static int64_t read_int(reader *r, const json_t *o, const char *key, int64_t low) {
  const json_t *v = json_object_get(o, key);
  bool good = json_is_integer(v) && json_integer_value(v) >= low;
  r->bad |= !good;
  return good ? json_integer_value(v) : 0;
}

static const char *read_text(reader *r, const json_t *o, const char *key, bool may_lack) {
  const json_t *v = json_object_get(o, key);
  r->bad |= !json_is_string(v) && !(may_lack && json_is_null(v));
  return json_is_string(v) ? xlm_arena_strdup(r->arena, json_string_value(v)) : NULL;
}

static void read_shards(reader *r, const json_t *list, xlm_token_manifest *m) {
  m->n_shards = (uint32_t)json_array_size(list);
  m->shards = XLM_NEW_N(r->arena, xlm_token_manifest_shard, m->n_shards);
  for (uint32_t i = 0; i < m->n_shards; i++) {
    const json_t *x = json_array_get(list, i);
    m->shards[i] = (xlm_token_manifest_shard){read_text(r, x, "file", false), read_int(r, x, "documents", 0),
                                              read_int(r, x, "tokens", 0)};
  }
}

static void read_sources(reader *r, const json_t *list, xlm_token_manifest *m) {
  m->n_sources = (uint32_t)json_array_size(list);
  m->sources = XLM_NEW_N(r->arena, xlm_token_manifest_source, m->n_sources);
  for (uint32_t i = 0; i < m->n_sources; i++) {
    const json_t *x = json_array_get(list, i);
    m->sources[i] = (xlm_token_manifest_source){read_text(r, x, "file", false), read_int(r, x, "bytes", 0)};
  }
}

static void read_fields(reader *r, const json_t *o, xlm_token_manifest *m) {
  m->path = r->path;
  m->tokenizer = read_text(r, o, "tokenizer", false);
  if (m->tokenizer && !strcmp(m->tokenizer, "bytes")) m->tokenizer = NULL;
  const char *hash = read_text(r, o, "tokenizer_hash", true), *key = read_text(r, o, "key", false);
  m->key = key ? strtoull(key, NULL, 16) : 0;
  m->hash = hash ? strtoull(hash, NULL, 16) : 0;
  m->vocabulary = read_int(r, o, "vocabulary", 1);
  bool none = json_is_null(json_object_get(o, "document_end"));
  m->document_end = none ? -1 : read_int(r, o, "document_end", 0);
  m->field = read_text(r, o, "text_field", true);
  m->separator = read_text(r, o, "text_separator", true);
  m->documents = read_int(r, o, "documents", 0);
  m->tokens = read_int(r, o, "tokens", 0);
  m->bytes = read_int(r, o, "text_bytes", 0);
  m->longest = read_int(r, o, "longest_document", 0);
  read_shards(r, json_object_get(o, "shards"), m);
  read_sources(r, json_object_get(o, "sources"), m);
}

static void release(void *json) {
  json_decref(json);
}

xlm_status xlm_token_manifest_read(const char *path, xlm_arena *a, xlm_token_manifest *out, xlm_error *err) {
  reader r = {a, path, false};
  *out = (xlm_token_manifest){0};
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(a, release);
  json_t *o;
  XLM_TRY(xlm_json_parse_file(path, 0, &o, err));
  c->what = o;
  const json_t *version = json_object_get(o, "xlm_tokens");
  bool is_one = json_is_integer(version), known = is_one && json_integer_value(version) == VERSION;
  if (known) read_fields(&r, o, out);
  xlm_arena_clean_up(c);
  if (known && !r.bad) return XLM_OK;
  if (known)
    return xlm_fail(err, XLM_USER, "'%s' is damaged: a field is missing or wrong; make the tokens again",
                    path);
  return xlm_fail(err, XLM_USER,
                  is_one ? "'%s' is of another version of xlmrun: make the tokens again"
                         : "'%s' is no manifest of tokens",
                  path);
}

// PREFIX of PREFIX.bin and PREFIX-00000.bin
static size_t prefix_of(const char *tokens) {
  size_t n = strlen(tokens);
  if (n > 4 && !strcmp(tokens + n - 4, ".bin")) n -= 4;
  bool numbered = n > NUMBER && tokens[n - NUMBER] == '-';
  for (size_t i = n - NUMBER + 1; numbered && i < n; i++) numbered = isdigit((unsigned char)tokens[i]);
  return numbered ? n - NUMBER : n;
}

static bool begins_as_manifest(const char *path) {
  char head[64] = "";
  size_t n = xlm_file_head(path, head, sizeof head - 1);
  head[n] = 0;
  return strstr(head, "\"xlm_tokens\"") != NULL;
}

xlm_status xlm_token_manifest_of(const char *tokens, xlm_arena *a, xlm_token_manifest *out, xlm_error *err) {
  *out = (xlm_token_manifest){0};
  const char *path = xlm_arena_printf(a, "%.*s.json", (int)prefix_of(tokens), tokens);
  return begins_as_manifest(path) ? xlm_token_manifest_read(path, a, out, err) : XLM_OK;
}
