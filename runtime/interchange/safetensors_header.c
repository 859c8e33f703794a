// A safetensors file: its header, untrusted, and the tensors in it; see safetensors_priv.h.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_parse.h"
#include "runtime/interchange/safetensors_priv.h"

enum { MAX_HEADER = 100000000 };

static const struct {
  const char *name;
  size_t bytes;
} dtypes[XLM_ST_DTYPES] = {
    [XLM_ST_F32] = {"F32", 4},   [XLM_ST_F16] = {"F16", 2},         [XLM_ST_BF16] = {"BF16", 2},
    [XLM_ST_F64] = {"F64", 8},   [XLM_ST_I64] = {"I64", 8},         [XLM_ST_I32] = {"I32", 4},
    [XLM_ST_I16] = {"I16", 2},   [XLM_ST_I8] = {"I8", 1},           [XLM_ST_U64] = {"U64", 8},
    [XLM_ST_U32] = {"U32", 4},   [XLM_ST_U16] = {"U16", 2},         [XLM_ST_U8] = {"U8", 1},
    [XLM_ST_BOOL] = {"BOOL", 1}, [XLM_ST_F8_E4M3] = {"F8_E4M3", 1}, [XLM_ST_F8_E5M2] = {"F8_E5M2", 1}};

const char *xlm_st_dtype_name(xlm_st_dtype t) {
  return dtypes[t].name;
}
size_t xlm_st_dtype_bytes(xlm_st_dtype t) {
  return dtypes[t].bytes;
}

typedef struct reader { // one file
  xlm_safetensors *s;
  const char *path;
  const unsigned char *data;
  uint64_t data_bytes;
  xlm_error *err;
} reader;

static xlm_status bad(const reader *r, const char *tensor, const char *what) {
  if (!tensor) return xlm_fail(r->err, XLM_USER, "'%s' is not a valid safetensors file: %s", r->path, what);
  return xlm_fail(r->err, XLM_USER, "'%s' is not a valid safetensors file: tensor '%.200s': %s", r->path,
                  tensor, what);
}

xlm_status xlm_st_check_bytes(const xlm_safetensors *s, const xlm_st_shard *f, uint64_t at, uint64_t n,
                              xlm_error *err) {
  return s->check.check ? s->check.check(s->check.arg, f->fd, f->path, at, n, err) : XLM_OK;
}

static bool read_shape(const json_t *list, xlm_st_tensor *t) {
  if (!json_is_array(list) || json_array_size(list) > XLM_ST_MAX_RANK) return false;
  t->rank = (int)json_array_size(list);
  t->n = 1;
  for (int i = 0; i < t->rank; i++) {
    const json_t *x = json_array_get(list, (size_t)i);
    if (!json_is_integer(x) || json_integer_value(x) < 0) return false;
    t->shape[i] = json_integer_value(x);
    if (__builtin_mul_overflow(t->n, t->shape[i], &t->n)) return false;
  }
  return true;
}

static bool read_dtype(const json_t *x, xlm_st_tensor *t) {
  for (int i = 0; json_is_string(x) && i < XLM_ST_DTYPES; i++)
    if (!strcmp(json_string_value(x), dtypes[i].name)) {
      t->dtype = (xlm_st_dtype)i;
      return true;
    }
  return false;
}

static bool read_offset(const json_t *list, size_t i, uint64_t *out) {
  const json_t *x = json_array_get(list, i);
  if (!json_is_integer(x) || json_integer_value(x) < 0) return false;
  *out = (uint64_t)json_integer_value(x);
  return true;
}

static xlm_status read_tensor(const reader *r, const char *name, const json_t *entry) {
  xlm_st_tensor t = {.name = xlm_arena_strdup(r->s->arena, name)};
  const json_t *offsets = json_object_get(entry, "data_offsets");
  uint64_t begin, end, bytes;
  if (!json_is_object(entry)) return bad(r, name, "its entry is no object");
  if (!read_dtype(json_object_get(entry, "dtype"), &t))
    return bad(r, name, "its dtype is missing or unknown");
  if (!read_shape(json_object_get(entry, "shape"), &t))
    return bad(r, name, "its shape is missing, wrong or too large");
  if (json_array_size(offsets) != 2 || !read_offset(offsets, 0, &begin) || !read_offset(offsets, 1, &end))
    return bad(r, name, "its data_offsets are not two positions");
  if (begin > end || end > r->data_bytes) return bad(r, name, "its data lies outside the file");
  if (__builtin_mul_overflow((uint64_t)t.n, dtypes[t.dtype].bytes, &bytes) || bytes != end - begin)
    return bad(r, name, "its shape and its data_offsets disagree");
  t.data = r->data + begin;
  t.file = (int)r->s->n_shards - 1;
  XLM_PUSH(r->s->arena, r->s->at, r->s->n, r->s->cap, t);
  return XLM_OK;
}

static int by_place(const void *a, const void *b) {
  const xlm_st_tensor *x = a, *y = b;
  if (x->data != y->data) return x->data < y->data ? -1 : 1;
  return (x->n > 0) - (y->n > 0); // empty tensors first: they share an offset with the next one
}

// The tensors from `first` on must cover the file's data exactly.
static xlm_status check_cover(const reader *r, uint32_t first) {
  xlm_safetensors *s = r->s;
  if (s->n > first) qsort(s->at + first, s->n - first, sizeof *s->at, by_place);
  const unsigned char *expected = r->data;
  for (uint32_t i = first; i < s->n; i++) {
    const xlm_st_tensor *t = &s->at[i];
    if (t->data < expected) return bad(r, t->name, "its data overlaps another tensor's");
    if (t->data > expected) return bad(r, t->name, "there is a hole before its data");
    expected += (uint64_t)t->n * dtypes[t->dtype].bytes;
  }
  if (expected != r->data + r->data_bytes) return bad(r, NULL, "there is data after the last tensor");
  return XLM_OK;
}

static xlm_status check_metadata(const reader *r, json_t *metadata) {
  const char *key;
  json_t *value;
  if (!json_is_object(metadata)) return bad(r, NULL, "__metadata__ is no object");
  json_object_foreach(metadata, key, value) if (!json_is_string(value)) return bad(
      r, NULL, "__metadata__ holds a non-string");
  return XLM_OK;
}

static xlm_status read_entries(const reader *r, json_t *header) {
  const char *name;
  json_t *entry;
  uint32_t first = r->s->n;
  json_object_foreach(header, name, entry) {
    bool metadata = !strcmp(name, "__metadata__");
    XLM_TRY(metadata ? check_metadata(r, entry) : read_tensor(r, name, entry));
  }
  return check_cover(r, first);
}

static void free_json(void *json) {
  json_decref(json);
}

static xlm_status read_file(xlm_safetensors *s, const char *path, xlm_arena_cleanup *header, xlm_error *err) {
  xlm_map m = {0};
  XLM_PUSH(s->arena, s->shards, s->n_shards, s->cap_shards,
           ((xlm_st_shard){path, -1, m})); // the open file has its entry
  XLM_TRY(xlm_map_open(path, &m, err));
  s->shards[s->n_shards - 1].map = m;
  s->shards[s->n_shards - 1].fd = open(path, O_RDONLY | O_CLOEXEC);
  if (s->shards[s->n_shards - 1].fd < 0)
    return xlm_fail(err, XLM_ENV, "cannot open '%s': %s", path, strerror(errno));
  reader r = {.s = s, .path = path, .err = err};
  uint64_t n = 0;
  if (m.n < 8) return bad(&r, NULL, "it is shorter than its header");
  memcpy(&n, m.data, 8);
  if (n > MAX_HEADER || n > m.n - 8)
    return bad(&r, NULL, "the header's length is beyond the file or its limit");
  XLM_TRY(xlm_st_check_bytes(s, &s->shards[s->n_shards - 1], 0, 8 + n, err));
  if (n < 2 || m.data[8] != '{') return bad(&r, NULL, "the header does not begin with '{'");
  r.data = m.data + 8 + n;
  r.data_bytes = m.n - 8 - n;
  json_t *root;
  xlm_status parsed =
      xlm_json_parse((const char *)m.data + 8, (size_t)n, JSON_REJECT_DUPLICATES, path, &root, err);
  if (parsed == XLM_USER) return xlm_fail_in(err, "'%s' is not a valid safetensors file", path);
  XLM_TRY(parsed);
  header->what = root;
  return read_entries(&r, root);
}

xlm_status xlm_st_open_file(xlm_safetensors *s, const char *path, xlm_error *err) {
  xlm_arena_cleanup *header = xlm_arena_add_cleanup(s->arena, free_json);
  xlm_status status = read_file(s, path, header, err);
  xlm_arena_clean_up(header);
  return status;
}
