// The manifest. Its own checksum is taken over its compact JSON text with sorted keys and without that entry,
// so that it holds whatever the file's white space.
#include "runtime/checkpoint/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/map.h"
#include "runtime/base/hash.h"

enum { VERSION = 1, MAX_MANIFEST = 16 << 20 };

static json_t *hexadecimal(uint64_t v) {
  return json_sprintf("%016" PRIx64, v);
}

static bool own_hash(const json_t *manifest, uint64_t *hash) { // false: no memory
  char *text = json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS);
  if (text) *hash = xlm_hash_bytes(text, strlen(text));
  free(text);
  return text != NULL;
}

// What is left out for want of memory would not be missed by the checksum, so then there is no manifest at
// all.
static json_t *all_or_nothing(json_t *object, bool complete) {
  if (complete) return object;
  json_decref(object);
  return NULL;
}

static json_t *files_json(const xlm_manifest_file *files, int n) {
  json_t *all = json_object();
  bool ok = all != NULL;
  for (int i = 0; i < n; i++)
    ok &= !json_object_set_new(
        all, files[i].name,
        json_pack("{s:I, s:o}", "bytes", (json_int_t)files[i].size, "xxh64", hexadecimal(files[i].hash)));
  return all_or_nothing(all, ok);
}

static json_t *settings_json(const xlm_checkpoint_info *info) {
  json_t *all = json_object();
  bool ok = all != NULL;
  for (int i = 0; i < info->n_settings; i++)
    ok &= !json_object_set_new(all, info->settings[i].key, json_string(info->settings[i].value));
  return all_or_nothing(all, ok);
}

// jansson (2.14) goes on when memory fails in the middle of a text, so the text is read again before it is
// believed.
static bool reads_back(const json_t *m, const char *text, uint64_t hash) {
  uint64_t again = 0;
  json_t *back = json_loads(text, 0, NULL);
  bool same = back && json_equal(back, m) && !json_object_del(back, "checksum") && own_hash(back, &again);
  json_decref(back);
  return same && again == hash;
}

char *xlm_manifest_text(const xlm_checkpoint_info *info, const xlm_manifest_file *files, int n) {
  json_t *m = json_pack("{s:i, s:I, s:I, s:I, s:o, s:s?, s:s?, s:o, s:o}", "version", (int)VERSION, "step",
                        (json_int_t)info->step, "tokens", (json_int_t)info->tokens, "samples",
                        (json_int_t)info->samples, "seed", json_sprintf("%" PRIu64, info->seed), "model",
                        info->model_path, "text_hash", info->text_hash, "settings", settings_json(info),
                        "files", files_json(files, n));
  uint64_t hash = 0;
  if (!m) return NULL;
  bool ok = own_hash(m, &hash) && !json_object_set_new(m, "checksum", hexadecimal(hash));
  char *text = ok ? json_dumps(m, JSON_INDENT(2)) : NULL;
  ok = text && reads_back(m, text, hash);
  json_decref(m);
  if (ok) return text;
  free(text);
  return NULL;
}

static bool hash_is(const json_t *text, uint64_t hash) {
  char want[17];
  snprintf(want, sizeof want, "%016" PRIx64, hash);
  return json_is_string(text) && !strcmp(json_string_value(text), want);
}

static xlm_status check_file(const char *folder, const char *name, const json_t *entry, xlm_error *err) {
  char path[4352];
  snprintf(path, sizeof path, "%s/%.200s", folder, name);
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, err));
  uint64_t size = (uint64_t)json_integer_value(json_object_get(entry, "bytes"));
  bool whole = m.n == size;
  bool good = whole && hash_is(json_object_get(entry, "xxh64"), xlm_hash_bytes(m.data, m.n));
  size_t have = m.n;
  xlm_map_close(&m);
  if (good) return XLM_OK;
  if (whole) return xlm_fail(err, XLM_USER, "'%s' is damaged: its checksum is wrong", path);
  return xlm_fail(err, XLM_USER, "'%s' is damaged: it has %zu bytes, not %" PRIu64, path, have, size);
}

static const char *text_of(xlm_arena *a, const json_t *m, const char *key) {
  const json_t *x = json_object_get(m, key);
  return json_is_string(x) ? xlm_arena_strdup(a, json_string_value(x)) : NULL;
}

static void read_settings(xlm_arena *a, json_t *all, xlm_checkpoint_info *out) {
  const char *key;
  json_t *value;
  xlm_checkpoint_setting *list = XLM_NEW_N(a, xlm_checkpoint_setting, json_object_size(all) + 1);
  out->settings = list;
  json_object_foreach(all, key, value) if (json_is_string(value)) list[out->n_settings++] =
      (xlm_checkpoint_setting){xlm_arena_strdup(a, key), xlm_arena_strdup(a, json_string_value(value))};
}

static void read_info(xlm_arena *a, const json_t *m, xlm_checkpoint_info *out) {
  *out = (xlm_checkpoint_info){.step = json_integer_value(json_object_get(m, "step")),
                               .tokens = json_integer_value(json_object_get(m, "tokens")),
                               .samples = json_integer_value(json_object_get(m, "samples")),
                               .model_path = text_of(a, m, "model"),
                               .text_hash = text_of(a, m, "text_hash")};
  const char *seed = text_of(a, m, "seed");
  out->seed = seed ? strtoull(seed, NULL, 10) : 0;
  read_settings(a, json_object_get(m, "settings"), out);
}

static xlm_status check_manifest(const char *path, json_t *m, xlm_error *err) {
  json_t *checksum = json_incref(json_object_get(m, "checksum"));
  json_object_del(m, "checksum");
  uint64_t hash = 0;
  bool hashed = own_hash(m, &hash), good = hash_is(checksum, hash);
  json_decref(checksum);
  if (!hashed) return xlm_fail(err, XLM_ENV, "no memory to read '%s/manifest.json'", path);
  if (!good) return xlm_fail(err, XLM_USER, "'%s/manifest.json' is damaged: its checksum is wrong", path);
  json_int_t version = json_integer_value(json_object_get(m, "version"));
  if (version != VERSION)
    return xlm_fail(err, XLM_USER,
                    "'%s' was written in format %" JSON_INTEGER_FORMAT ", this program reads %d", path,
                    version, VERSION);
  const char *name;
  json_t *entry;
  json_object_foreach(json_object_get(m, "files"), name, entry) XLM_TRY(check_file(path, name, entry, err));
  return XLM_OK;
}

static xlm_status parse(const char *file, json_t **out, xlm_error *err) {
  xlm_map map;
  json_error_t problem = {0};
  XLM_TRY(xlm_map_open(file, &map, err));
  *out = map.n < MAX_MANIFEST ? json_loadb((const char *)map.data, map.n, JSON_REJECT_DUPLICATES, &problem)
                              : NULL;
  xlm_map_close(&map);
  if (*out) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' is damaged: %s", file, problem.text);
}

static void free_json(void *json) {
  json_decref(json);
}

xlm_status xlm_manifest_read(xlm_arena *a, const char *path, xlm_checkpoint_info *out, xlm_error *err) {
  json_t *m;
  xlm_arena_kept *kept = xlm_arena_keep(a, free_json);
  XLM_TRY(parse(xlm_arena_printf(a, "%s/manifest.json", path), &m, err));
  kept->what = m;
  xlm_status s = check_manifest(path, m, err);
  if (s == XLM_OK) read_info(a, m, out);
  xlm_arena_drop(kept);
  return s;
}
