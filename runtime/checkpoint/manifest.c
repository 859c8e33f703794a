// The manifest. Its checksum is computed over the members before it as JSON without white space, so that it
// is independent of the file's white space.
#include "runtime/checkpoint/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/json_parse.h"
#include "runtime/base/map.h"

enum { VERSION = 1, MAX_MANIFEST = 64 << 20, DEPTH = 4 }; // DEPTH: of the objects
static const int64_t MOST_STEPS = (int64_t)1 << 48;       // so that derived counts do not overflow

static void put_hash(xlm_json *j, const char *key, uint64_t hash) {
  char text[17];
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  xlm_json_put_text(j, key, text);
}

static xlm_status add_to_hash(void *arg, const char *bytes, size_t n, xlm_error *err) {
  (void)err;
  xlm_hash_add(arg, bytes, n);
  return XLM_OK;
}

// ---- writing ----

// The checksums are one string of 16 digits each, since a large checkpoint has very many.
static void put_blocks(xlm_json *j, xlm_json_style style, const xlm_blocks *b, xlm_arena *a) {
  xlm_text digits = xlm_text_new(a);
  for (int64_t i = 0; i < b->n; i++) xlm_text_printf(&digits, "%016" PRIx64, b->hash[i]);
  xlm_json_object(j, "blocks", style);
  xlm_json_put_int(j, "head", (int64_t)b->head);
  xlm_json_put_int(j, "each", (int64_t)b->each);
  xlm_json_put_text(j, "xxh64", digits.data);
  xlm_json_close(j);
}

// Reals stand in texts, which every reader hands on unchanged, as the checksum needs.
static void put_best(xlm_json *j, xlm_json_style style, const xlm_best *b) {
  char loss[40];
  snprintf(loss, sizeof loss, "%.17g", b->loss);
  xlm_json_object(j, "best", style ? XLM_JSON_ROW : style);
  xlm_json_put_text(j, "loss", loss);
  xlm_json_put_int(j, "step", b->step);
  xlm_json_put_int(j, "since", b->since);
  xlm_json_close(j);
}

static void put_members(xlm_json *j, xlm_json_style style, const xlm_checkpoint_info *info,
                        const xlm_manifest_file *files, int n, xlm_arena *a) {
  char seed[32];
  snprintf(seed, sizeof seed, "%" PRIu64, info->seed);
  xlm_json_put_int(j, "version", VERSION);
  xlm_json_put_int(j, "step", info->step);
  xlm_json_put_int(j, "tokens", info->tokens);
  xlm_json_put_int(j, "samples", info->samples);
  xlm_json_put_text(j, "seed", seed); // as a string: JSON readers may not support integers beyond 2^53
  if (info->model_path) xlm_json_put_text(j, "model", info->model_path);
  if (info->text_hash) xlm_json_put_text(j, "text_hash", info->text_hash);
  if (info->plan_hash) xlm_json_put_text(j, "plan_hash", info->plan_hash);
  if (info->best.step) put_best(j, style, &info->best);
  xlm_json_object(j, "settings", style);
  for (int i = 0; i < info->n_settings; i++)
    xlm_json_put_text(j, info->settings[i].key, info->settings[i].value);
  xlm_json_close(j);
  xlm_json_object(j, "files", style);
  for (int i = 0; i < n; i++) {
    xlm_json_style row = style ? XLM_JSON_ROW : style;
    xlm_json_object(j, files[i].name, row);
    xlm_json_put_int(j, "bytes", (int64_t)files[i].size);
    put_hash(j, "xxh64", files[i].hash);
    if (files[i].blocks.n) put_blocks(j, row, &files[i].blocks, a);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

void xlm_manifest_print(const xlm_checkpoint_info *info, const xlm_manifest_file *files, int n,
                        xlm_text *out) {
  xlm_hash hash;
  xlm_json j;
  xlm_hash_start(&hash);
  xlm_json_to_sink(&j, add_to_hash, &hash, NULL);
  xlm_json_object(&j, NULL, XLM_JSON_DENSE);
  put_members(&j, XLM_JSON_DENSE, info, files, n, out->arena);
  xlm_json_close(&j);
  XLM_ASSERT(xlm_json_finish(&j) == XLM_OK, "a checksum cannot fail");
  xlm_json_to_text(&j, out);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  put_members(&j, XLM_JSON_LINES, info, files, n, out->arena);
  put_hash(&j, "checksum", xlm_hash_value(&hash));
  xlm_json_close(&j);
  xlm_text_add(out, "\n");
}

// ---- reading ----

static void put_value(xlm_json *j, const char *key, const json_t *v, int depth);

static void put_object(xlm_json *j, const char *name, const json_t *object, int depth) {
  const char *key;
  json_t *value;
  xlm_json_object(j, name, XLM_JSON_DENSE);
  json_object_foreach((json_t *)(uintptr_t)object, key, value) // only read
      put_value(j, key, value, depth);
  xlm_json_close(j);
}

static void put_value(xlm_json *j, const char *key, const json_t *v, int depth) {
  if (json_is_object(v) && depth < DEPTH)
    put_object(j, key, v, depth + 1);
  else if (json_is_string(v))
    xlm_json_put_textn(j, key, json_string_value(v), json_string_length(v));
  else if (json_is_integer(v))
    xlm_json_put_int(j, key, json_integer_value(v));
  else
    xlm_json_put_null(j, key); // manifests have nothing else, so the checksum will not match
}

static uint64_t own_hash(const json_t *manifest) {
  xlm_hash hash;
  xlm_json j;
  xlm_hash_start(&hash);
  xlm_json_to_sink(&j, add_to_hash, &hash, NULL);
  put_value(&j, NULL, manifest, 0);
  XLM_ASSERT(xlm_json_finish(&j) == XLM_OK, "a checksum cannot fail");
  return xlm_hash_value(&hash);
}

static bool hash_is(const json_t *text, uint64_t hash) {
  char want[17];
  snprintf(want, sizeof want, "%016" PRIx64, hash);
  return json_is_string(text) && !strcmp(json_string_value(text), want);
}

// ---- checking ----

typedef struct reader {
  xlm_arena *a;
  const char *path;
  xlm_error *err;
} reader;

static xlm_status damaged(const reader *r, const char *key) {
  return xlm_fail(r->err, XLM_USER, "'%s/manifest.json' is damaged: '%s' is missing or out of range", r->path,
                  key);
}

static xlm_status read_count(const reader *r, const json_t *m, const char *key, int64_t most, int64_t *out) {
  const json_t *x = json_object_get(m, key);
  *out = json_integer_value(x);
  return json_is_integer(x) && *out >= 0 && *out <= most ? XLM_OK : damaged(r, key);
}

static xlm_status read_seed(const reader *r, const json_t *m, uint64_t *out) {
  const char *text = json_string_value(json_object_get(m, "seed"));
  char *end = NULL;
  errno = 0;
  *out = text ? strtoull(text, &end, 10) : 0;
  bool good = text && *text >= '0' && *text <= '9' && !*end && !errno;
  return good ? XLM_OK : damaged(r, "seed");
}

static xlm_status read_text(const reader *r, const json_t *m, const char *key, const char **out) { // or null
  const json_t *x = json_object_get(m, key);
  *out = json_is_string(x) ? xlm_arena_strdup(r->a, json_string_value(x)) : NULL;
  return !x || *out ? XLM_OK : damaged(r, key);
}

static xlm_status read_settings(const reader *r, json_t *all, xlm_checkpoint_info *out) {
  const char *key;
  json_t *value;
  if (!json_is_object(all)) return damaged(r, "settings");
  xlm_checkpoint_setting *list = XLM_NEW_N(r->a, xlm_checkpoint_setting, json_object_size(all) + 1);
  out->settings = list;
  json_object_foreach(all, key, value) {
    if (!json_is_string(value)) return damaged(r, key);
    list[out->n_settings++] = (xlm_checkpoint_setting){xlm_arena_strdup(r->a, key),
                                                       xlm_arena_strdup(r->a, json_string_value(value))};
  }
  return XLM_OK;
}

static xlm_status read_best(const reader *r, const json_t *m, xlm_best *out) { // or none
  const json_t *b = json_object_get(m, "best");
  const char *loss = json_string_value(json_object_get(b, "loss"));
  char *end = NULL;
  if (!b) return XLM_OK;
  XLM_TRY(read_count(r, b, "step", MOST_STEPS, &out->step));
  XLM_TRY(read_count(r, b, "since", MOST_STEPS, &out->since));
  out->loss = loss ? strtod(loss, &end) : NAN;
  return loss && *loss && !*end ? XLM_OK : damaged(r, "best");
}

static xlm_status read_info(const reader *r, const json_t *m, xlm_checkpoint_info *out) {
  *out = (xlm_checkpoint_info){0};
  XLM_TRY(read_count(r, m, "step", MOST_STEPS, &out->step));
  XLM_TRY(read_count(r, m, "tokens", INT64_MAX / 2, &out->tokens));
  XLM_TRY(read_count(r, m, "samples", INT64_MAX / 2, &out->samples));
  XLM_TRY(read_seed(r, m, &out->seed));
  XLM_TRY(read_text(r, m, "model", &out->model_path));
  XLM_TRY(read_text(r, m, "text_hash", &out->text_hash));
  XLM_TRY(read_text(r, m, "plan_hash", &out->plan_hash));
  XLM_TRY(read_best(r, m, &out->best));
  return read_settings(r, json_object_get(m, "settings"), out);
}

// ---- the files ----

static xlm_status check_content(const char *file, const json_t *entry, xlm_error *err) {
  uint64_t hash;
  XLM_TRY(xlm_file_hash(file, &hash, err));
  if (hash_is(json_object_get(entry, "xxh64"), hash)) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' is damaged: its checksum is wrong", file);
}

static xlm_status check_size(const reader *r, const char *file, const json_t *entry, uint64_t *out) {
  int64_t size;
  struct stat st;
  XLM_TRY(read_count(r, entry, "bytes", INT64_MAX, &size));
  *out = (uint64_t)size;
  if (stat(file, &st))
    return xlm_fail(r->err, xlm_file_kind(errno), "cannot read '%s': %s", file, strerror(errno));
  if (st.st_size == size) return XLM_OK;
  return xlm_fail(r->err, XLM_USER, "'%s' is damaged: it has %lld bytes, not %" PRId64, file,
                  (long long)st.st_size, size);
}

static bool read_hash(const char *digits, uint64_t *out) {
  char text[17] = "", *end;
  memcpy(text, digits, 16);
  *out = strtoull(text, &end, 16);
  return isxdigit((unsigned char)*text) && end == text + 16;
}

static xlm_status read_blocks(const reader *r, const json_t *entry, xlm_manifest_file *f) {
  const json_t *blocks = json_object_get(entry, "blocks"), *digits = json_object_get(blocks, "xxh64");
  int64_t head, each;
  if (!blocks) return XLM_OK;
  XLM_TRY(read_count(r, blocks, "head", (int64_t)f->size, &head));
  XLM_TRY(read_count(r, blocks, "each", INT64_MAX, &each));
  if (!each) return damaged(r, "each");
  int64_t n = xlm_blocks_count(f->size - (uint64_t)head, (uint64_t)each);
  if (!json_is_string(digits) || json_string_length(digits) % 16 ||
      json_string_length(digits) / 16 != (size_t)n)
    return damaged(r, "blocks");
  f->blocks = (xlm_blocks){(uint64_t)head, (uint64_t)each, n, XLM_NEW_N(r->a, uint64_t, n)};
  for (int64_t i = 0; i < n; i++)
    if (!read_hash(json_string_value(digits) + 16 * i, &f->blocks.hash[i])) return damaged(r, "blocks");
  return XLM_OK;
}

static xlm_status read_file(const reader *r, const char *name, const json_t *entry, xlm_manifest_file *f) {
  if (strchr(name, '/') || *name == '.') return damaged(r, name); // only files within the folder
  f->name = xlm_arena_strdup(r->a, name);
  XLM_TRY(check_size(r, xlm_arena_printf(r->a, "%s/%s", r->path, name), entry, &f->size));
  return read_blocks(r, entry, f);
}

// Checks all sizes first: a truncated file is found without reading the others.
static xlm_status read_files(const reader *r, json_t *files, xlm_manifest *out, uint64_t *read) {
  const char *name;
  json_t *entry;
  if (!json_is_object(files) || !json_object_size(files)) return damaged(r, "files");
  out->files = XLM_NEW_N(r->a, xlm_manifest_file, json_object_size(files));
  json_object_foreach(files, name, entry) XLM_TRY(read_file(r, name, entry, &out->files[out->n_files++]));
  for (int i = 0; i < out->n_files; i++) {
    const xlm_manifest_file *f = &out->files[i];
    if (f->blocks.n) continue;
    XLM_TRY(check_content(xlm_arena_printf(r->a, "%s/%s", r->path, f->name), json_object_get(files, f->name),
                          r->err));
    *read += f->size;
  }
  return XLM_OK;
}

static xlm_status check_manifest(const reader *r, json_t *m) {
  json_t *checksum = json_incref(json_object_get(m, "checksum"));
  json_object_del(m, "checksum");
  bool good = hash_is(checksum, own_hash(m));
  json_decref(checksum);
  if (!good)
    return xlm_fail(r->err, XLM_USER, "'%s/manifest.json' is damaged: its checksum is wrong", r->path);
  json_int_t version = json_integer_value(json_object_get(m, "version"));
  if (version == VERSION) return XLM_OK;
  return xlm_fail(r->err, XLM_USER,
                  "'%s' was written in format %" JSON_INTEGER_FORMAT ", this program reads format %d",
                  r->path, version, VERSION);
}

static xlm_status parse(const char *file, json_t **out, xlm_error *err) {
  xlm_map map;
  XLM_TRY(xlm_map_open(file, &map, err));
  xlm_status s = map.n < MAX_MANIFEST
                     ? xlm_json_parse((const char *)map.data, map.n, JSON_REJECT_DUPLICATES, file, out, err)
                     : xlm_fail(err, XLM_USER, "it is too large");
  xlm_map_close(&map);
  return s == XLM_USER ? xlm_fail_in(err, "'%s' is damaged", file) : s;
}

static void free_json(void *json) {
  json_decref(json);
}

xlm_status xlm_manifest_read(xlm_arena *a, const char *path, xlm_manifest *out, uint64_t *read,
                             xlm_error *err) {
  json_t *m;
  reader r = {a, path, err};
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(a, free_json);
  XLM_TRY(parse(xlm_arena_printf(a, "%s/manifest.json", path), &m, err));
  cleanup->what = m;
  xlm_status s = check_manifest(&r, m);
  *out = (xlm_manifest){0};
  if (s == XLM_OK) s = read_info(&r, m, &out->info);
  if (s == XLM_OK) s = read_files(&r, json_object_get(m, "files"), out, read);
  xlm_arena_clean_up(cleanup);
  return s;
}
