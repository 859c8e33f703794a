// How far the work is, as JSON; replaced as a whole, so that a reader finds the earlier note or the new one.
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/json_parse.h"
#include "runtime/tokenize/tokenize_priv.h"

static const struct {
  const char *key;
  size_t at;
} numbers[] = {
    {"file", offsetof(note, next.file)},
    {"document", offsetof(note, next.document)},
    {"byte", offsetof(note, next.byte)},
    {"line", offsetof(note, next.line)},
    {"documents", offsetof(note, documents)},
    {"tokens", offsetof(note, tokens)},
    {"text_bytes", offsetof(note, bytes)},
    {"longest_document", offsetof(note, longest)},
    {"shard_documents", offsetof(note, shard_documents)},
    {"shard_tokens", offsetof(note, shard_tokens)},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static void put(const note *n, xlm_text *t) {
  xlm_json j;
  xlm_json_to_text(&j, t);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(&j, "key", xlm_arena_printf(t->arena, "%016" PRIx64, n->key));
  for (int i = 0; i < NUMBERS; i++)
    xlm_json_put_int(&j, numbers[i].key, *(const int64_t *)((const char *)n + numbers[i].at));
  xlm_json_array(&j, "shards", XLM_JSON_LINES);
  for (uint32_t i = 0; i < n->n_shards; i++) {
    xlm_json_array(&j, NULL, XLM_JSON_ROW);
    xlm_json_put_int(&j, NULL, n->shards[i].documents);
    xlm_json_put_int(&j, NULL, n->shards[i].tokens);
    xlm_json_close(&j);
  }
  xlm_json_close(&j);
  xlm_json_close(&j);
}

xlm_status xlm_note_write(const note *n, const char *path, xlm_error *err) {
  xlm_status s = xlm_fail(err, XLM_ENV, "no memory to note the progress");
  xlm_arena *a = xlm_arena_new(0); // of its own, since notes are many
  if (a && XLM_ARENA_TRY(a)) {
    xlm_text t = xlm_text_new(a);
    put(n, &t);
    s = xlm_file_replace(path, t.data, t.n, err);
  }
  xlm_arena_free(a);
  return s;
}

static bool get(const json_t *o, xlm_arena *a, note *n) {
  bool good = json_is_string(json_object_get(o, "key"));
  if (good) n->key = strtoull(json_string_value(json_object_get(o, "key")), NULL, 16);
  for (int i = 0; i < NUMBERS; i++) {
    const json_t *v = json_object_get(o, numbers[i].key);
    good = good && json_is_integer(v) && json_integer_value(v) >= 0;
    *(int64_t *)((char *)n + numbers[i].at) = json_integer_value(v);
  }
  const json_t *list = json_object_get(o, "shards");
  for (size_t i = 0; good && i < json_array_size(list); i++) {
    const json_t *x = json_array_get(list, i);
    xlm_token_manifest_shard shard = {NULL, json_integer_value(json_array_get(x, 0)),
                                      json_integer_value(json_array_get(x, 1))};
    XLM_PUSH(a, n->shards, n->n_shards, n->cap_shards, shard);
  }
  return good && json_is_array(list);
}

static void release(void *json) {
  json_decref(json);
}

xlm_status xlm_note_read(const char *path, xlm_arena *a, note *out, bool *found, xlm_error *err) {
  *out = (note){0};
  *found = !access(path, F_OK);
  if (!*found) return XLM_OK;
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(a, release);
  json_t *o;
  XLM_TRY(xlm_json_parse_file(path, 0, &o, err));
  c->what = o;
  bool good = get(o, a, out);
  xlm_arena_clean_up(c);
  return good ? XLM_OK : xlm_fail(err, XLM_USER, "'%s' is damaged: --overwrite begins again", path);
}
