// Records: samples of several named tensors. A file of records is a safetensors file whose tensors have the
// records along their first dimension; an index names several such files. What the model reads is checked
// when the data is opened, so that a wrong shape or type is found before the first step. Elements are
// converted as they are read: integers to i32 ids, anything to f32.
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/json_parse.h"
#include "runtime/base/text.h"
#include "runtime/data/data_priv.h"

enum { PIECE = 1024 }; // elements converted at a time

// ---- types

static bool is_integer(xlm_st_dtype t) {
  return t >= XLM_ST_I64 && t <= XLM_ST_BOOL;
}
static bool is_float(xlm_st_dtype t) {
  return t <= XLM_ST_F64;
}

static int64_t integer_at(xlm_st_dtype type, const unsigned char *p) {
  uint64_t v = 0;
  size_t bytes = xlm_st_dtype_bytes(type);
  memcpy(&v, p, bytes); // files are little-endian, as are the supported machines
  bool is_signed = type == XLM_ST_I64 || type == XLM_ST_I32 || type == XLM_ST_I16 || type == XLM_ST_I8;
  unsigned unused = (unsigned)(64 - 8 * bytes);
  return is_signed ? (int64_t)(v << unused) >> unused : (int64_t)v;
}

// ---- opening

static const char *shape_text(xlm_arena *a, const char *first, const int64_t *shape, int n) {
  xlm_text t = xlm_text_new(a);
  xlm_text_printf(&t, "[%s", first);
  for (int i = 0; i < n; i++) xlm_text_printf(&t, ", %" PRId64, shape[i]);
  xlm_text_printf(&t, "]");
  return t.data;
}

static const char *names_text(xlm_arena *a, const xlm_safetensors *f) {
  enum { MOST = 12 };
  xlm_text t = xlm_text_new(a);
  int n = xlm_safetensors_count(f);
  for (int i = 0; i < n && i < MOST; i++)
    xlm_text_printf(&t, "%s%s", i ? ", " : "", xlm_safetensors_at(f, i)->name);
  if (n > MOST) xlm_text_printf(&t, ", ..");
  return n ? t.data : "none";
}

static xlm_status check_tensor(const xlm_data *d, const shard *s, const xlm_field *f, const xlm_st_tensor *t,
                               xlm_error *err) {
  if (!t)
    return xlm_fail(err, XLM_USER, "'%s' has no tensor `%s`, which the model reads; it has: %s", s->path,
                    f->name, names_text(d->arena, s->file));
  bool same = t->rank == f->rank + 1;
  for (int i = 0; same && i < f->rank; i++) same = t->shape[i + 1] == f->shape[i];
  if (!same) {
    int64_t first = t->rank ? t->shape[0] : 0;
    return xlm_fail(err, XLM_USER, "the tensor `%s` of '%s' is %s, and the model reads %s", f->name, s->path,
                    t->rank ? shape_text(d->arena, xlm_arena_printf(d->arena, "%" PRId64, first),
                                         t->shape + 1, t->rank - 1)
                            : "one number",
                    shape_text(d->arena, "records", f->shape, f->rank));
  }
  if (f->dtype == XLM_I32 && !is_integer(t->dtype))
    return xlm_fail(err, XLM_USER,
                    "the tensor `%s` of '%s' is of type %s, and the model reads integers: declare the input "
                    "without `of` to read real numbers",
                    f->name, s->path, xlm_st_dtype_name(t->dtype));
  if (!is_integer(t->dtype) && !is_float(t->dtype))
    return xlm_fail(err, XLM_USER, "the tensor `%s` of '%s' is of type %s, which cannot be read", f->name,
                    s->path, xlm_st_dtype_name(t->dtype));
  return XLM_OK;
}

static xlm_status take_all_fields(xlm_data *d, const shard *s, xlm_error *err) {
  int n = xlm_safetensors_count(s->file);
  xlm_field *fields = XLM_NEW_N(d->arena, xlm_field, n);
  for (int i = 0; i < n; i++) {
    const xlm_st_tensor *t = xlm_safetensors_at(s->file, i);
    fields[i] =
        (xlm_field){.name = t->name, .dtype = is_integer(t->dtype) ? XLM_I32 : XLM_F32, .rank = t->rank - 1};
    if (t->rank < 1 || t->rank > XLM_MAX_RANK)
      return xlm_fail(err, XLM_USER,
                      "the tensor `%s` of '%s' has %d dimensions, which are not those of records", t->name,
                      s->path, t->rank);
    memcpy(fields[i].shape, t->shape + 1, sizeof *t->shape * (size_t)(t->rank - 1));
    fields[i].n = t->shape[0] ? t->n / t->shape[0] : 0;
  }
  d->o.all_fields = false;
  xlm_data_place_fields(d, fields, n);
  return XLM_OK;
}

static xlm_status find_tensors(xlm_data *d, shard *s, xlm_error *err) {
  s->tensor = XLM_NEW_N(d->arena, const xlm_st_tensor *, d->n_fields);
  for (int i = 0; i < d->n_fields; i++) {
    const xlm_field *f = &d->fields[i];
    const xlm_st_tensor *t = s->tensor[i] = xlm_safetensors_find(s->file, f->name);
    XLM_TRY(check_tensor(d, s, f, t, err));
    if (i && t->shape[0] != s->n)
      return xlm_fail(err, XLM_USER,
                      "'%s' has %" PRId64 " records of `%s` and %" PRId64
                      " of `%s`: each record has all tensors",
                      s->path, s->n, d->fields[0].name, t->shape[0], f->name);
    s->n = t->shape[0];
  }
  return XLM_OK;
}

static xlm_status add_shard(xlm_data *d, const char *path, int64_t promised, xlm_error *err) {
  XLM_PUSH(d->arena, d->shards, d->n_shards, d->cap_shards, ((shard){.path = path, .first = d->tokens}));
  shard *s = &d->shards[d->n_shards - 1];
  XLM_TRY(xlm_safetensors_open(path, &s->file, err));
  if (d->o.all_fields) XLM_TRY(take_all_fields(d, s, err));
  XLM_TRY(find_tensors(d, s, err));
  if (promised >= 0 && promised != s->n)
    return xlm_fail(err, XLM_USER, "'%s' has %" PRId64 " records, and the index promises %" PRId64, path,
                    s->n, promised);
  d->tokens += s->n;
  return XLM_OK;
}

static xlm_status add_listed(xlm_data *d, const char *index, json_t *list, xlm_error *err) {
  const char *slash = strrchr(index, '/');
  int folder = slash ? (int)(slash + 1 - index) : 0;
  for (size_t i = 0; i < json_array_size(list); i++) {
    json_t *x = json_array_get(list, i), *name = json_object_get(x, "file"),
           *records = json_object_get(x, "records");
    if (!json_is_string(name) || strchr(json_string_value(name), '/') ||
        (records && !json_is_integer(records)) || json_integer_value(records) < 0)
      return xlm_fail(
          err, XLM_USER,
          "'%s': entry %zu of `shards` must be {\"file\": .., \"records\": ..}, with the name of a "
          "file in the index's folder",
          index, i + 1);
    const char *path = xlm_arena_printf(d->arena, "%.*s%s", folder, index, json_string_value(name));
    XLM_TRY(add_shard(d, path, records ? (int64_t)json_integer_value(records) : -1, err));
  }
  return XLM_OK;
}

static void free_json(void *json) {
  json_decref(json);
}

static xlm_status add_index(xlm_data *d, const char *path, xlm_error *err) {
  xlm_arena_cleanup *parsed = xlm_arena_add_cleanup(d->arena, free_json);
  json_t *json;
  XLM_TRY(xlm_json_parse_file(path, 0, &json, err));
  parsed->what = json;
  json_t *list = json_object_get(json, "shards");
  xlm_status s = json_array_size(list)
                     ? add_listed(d, path, list, err)
                     : xlm_fail(err, XLM_USER, "'%s' is no index of records: it has no list `shards`", path);
  xlm_arena_clean_up(parsed);
  return s;
}

static bool is_index(const char *path) {
  const char *slash = strrchr(path, '/');
  return !strcmp(slash ? slash + 1 : path, "records.json");
}

static bool is_folder(const char *path) {
  struct stat st;
  return !stat(path, &st) && S_ISDIR(st.st_mode);
}

// The index of a folder; false: it has none.
static bool index_in(const char *folder, char *out, size_t size) {
  struct stat st;
  int n = snprintf(out, size, "%s/records.json", folder);
  return n > 0 && (size_t)n < size && !stat(out, &st);
}

bool xlm_data_names_records(const char *path) {
  char index[4096];
  if (is_folder(path)) return index_in(path, index, sizeof index);
  return xlm_kind_has_suffix(path, ".safetensors") || is_index(path);
}

xlm_status xlm_data_add_records(xlm_data *d, const char *path, xlm_error *err) {
  char index[4096];
  d->records = true;
  if (!xlm_data_names_records(path))
    return xlm_fail(err, XLM_USER, "'%s' has no records, and other data of this run has: give one kind",
                    path);
  if (d->o.record)
    return xlm_fail(err, XLM_USER, "--record-length cuts a stream of tokens; '%s' has records already", path);
  path = xlm_arena_strdup(d->arena, path);
  if (is_folder(path) && index_in(path, index, sizeof index)) path = xlm_arena_strdup(d->arena, index);
  return is_index(path) ? add_index(d, path, err) : add_shard(d, path, -1, err);
}

void xlm_data_place_fields(xlm_data *d, const xlm_field *fields, int n) {
  d->fields = XLM_NEW_N(d->arena, xlm_field, n);
  for (int i = 0; i < n; i++) {
    d->fields[i] = fields[i];
    d->fields[i].name = xlm_arena_strdup(d->arena, fields[i].name);
    d->fields[i].first = d->cells;
    d->cells += fields[i].n;
  }
  d->n_fields = n;
  d->o.fields = d->fields; // not the caller's
}

void xlm_data_close_records(xlm_data *d) {
  for (uint32_t i = 0; i < d->n_shards; i++) xlm_safetensors_close(d->shards[i].file);
}

// ---- reading

static const shard *shard_of(const xlm_data *d, int64_t record) {
  uint32_t low = 0, high = d->n_shards;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (d->shards[middle].first <= record)
      low = middle;
    else
      high = middle;
  }
  return &d->shards[low];
}

static xlm_status refuse(const shard *s, const xlm_field *f, int64_t record, int64_t id, xlm_error *err) {
  return xlm_fail(err, XLM_USER,
                  "record %" PRId64 " of '%s' holds %" PRId64
                  " in `%s`, and the model's input takes 0 to %" PRId64,
                  record, s->path, id, f->name, (f->bound ? f->bound : INT32_MAX) - 1);
}

static void to_floats(xlm_st_dtype type, const unsigned char *from, int64_t n, int32_t *out) {
  float *to = (float *)(void *)out;
  if (xlm_st_floats(type, from, n, to)) return;
  size_t bytes = xlm_st_dtype_bytes(type);
  for (int64_t i = 0; i < n; i++) to[i] = (float)integer_at(type, from + (size_t)i * bytes);
}

static xlm_status to_ids(const shard *s, const xlm_field *f, const xlm_st_tensor *t, int64_t record,
                         const unsigned char *from, int64_t n, int32_t *out, xlm_error *err) {
  int64_t limit = f->bound ? f->bound : INT32_MAX;
  size_t bytes = xlm_st_dtype_bytes(t->dtype);
  for (int64_t i = 0; i < n; i++) {
    int64_t id = integer_at(t->dtype, from + (size_t)i * bytes);
    if (id < 0 || id >= limit) return refuse(s, f, record, id, err);
    out[i] = (int32_t)id;
  }
  return XLM_OK;
}

static xlm_status read_field(const shard *s, const xlm_field *f, const xlm_st_tensor *t, int64_t record,
                             int32_t *out, xlm_error *err) {
  unsigned char bytes[PIECE * sizeof(int64_t)];
  for (int64_t at = 0; at < f->n; at += PIECE) {
    int64_t n = f->n - at < PIECE ? f->n - at : PIECE;
    XLM_TRY(xlm_safetensors_read(s->file, t, record * f->n + at, n, bytes, err));
    if (f->dtype == XLM_F32)
      to_floats(t->dtype, bytes, n, out + at);
    else
      XLM_TRY(to_ids(s, f, t, record, bytes, n, out + at, err));
  }
  return XLM_OK;
}

xlm_status xlm_data_read_record(const xlm_data *d, int64_t index, int32_t *out, xlm_error *err) {
  XLM_ASSERT(d->records && index >= 0 && index < d->tokens, "record %" PRId64 " of %" PRId64, index,
             d->tokens);
  if (d->synthetic) {
    xlm_data_synthesize_record(d, index, out);
    return XLM_OK;
  }
  const shard *s = shard_of(d, index);
  for (int i = 0; i < d->n_fields; i++)
    XLM_TRY(read_field(s, &d->fields[i], s->tensor[i], index - s->first, out + d->fields[i].first, err));
  return XLM_OK;
}
