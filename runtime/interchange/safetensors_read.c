// Reads safetensors files and sharded sets of them; see safetensors.h.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json_parse.h"
#include "runtime/base/map.h"
#include "runtime/interchange/safetensors.h"

enum { MAX_HEADER = 100000000, MAX_FILES = 20000, MOST_READ = 1 << 30 };

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

typedef struct shard {
  const char *path;
  int fd;
  xlm_map map; // for the header; tensors are read from fd
} shard;

struct xlm_safetensors {
  xlm_arena *arena;
  xlm_st_check check;
  shard *shards;
  uint32_t n_shards, cap_shards;
  xlm_st_tensor *at;
  uint32_t n, cap;
};

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

static xlm_status check(const xlm_safetensors *s, const shard *f, uint64_t at, uint64_t n, xlm_error *err) {
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
           ((shard){path, -1, m})); // the open file has its entry
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
  XLM_TRY(check(s, &s->shards[s->n_shards - 1], 0, 8 + n, err));
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

static xlm_status read_one(xlm_safetensors *s, const char *path, xlm_error *err) {
  xlm_arena_cleanup *header = xlm_arena_add_cleanup(s->arena, free_json);
  xlm_status status = read_file(s, path, header, err);
  xlm_arena_clean_up(header);
  return status;
}

// A shard must be a plain file name, so that a hostile index cannot refer to files outside its folder.
static bool is_plain(const char *name) {
  return *name && !strchr(name, '/') && strcmp(name, "..") && strcmp(name, ".");
}

static bool is_open(const xlm_safetensors *s, const char *path) {
  for (uint32_t i = s->n_shards; i-- > 0;) // consecutive entries of the map usually have the same file
    if (!strcmp(s->shards[i].path, path)) return true;
  return false;
}

static xlm_status read_shards(xlm_safetensors *s, const char *path, json_t *map, xlm_error *err) {
  const char *slash = strrchr(path, '/'), *key;
  char file[4096];
  json_t *value;
  if (!json_is_object(map)) return xlm_fail(err, XLM_USER, "'%s' has no weight_map", path);
  json_object_foreach(map, key, value) {
    const char *name = json_string_value(value);
    if (!name || !is_plain(name))
      return xlm_fail(err, XLM_USER, "'%s': the file of '%.200s' is not a plain name", path, key);
    int folder = slash ? (int)(slash - path) + 1 : 0,
        n = snprintf(file, sizeof file, "%.*s%s", folder, path, name);
    if (n >= (int)sizeof file)
      return xlm_fail(err, XLM_USER, "'%s': the file name of '%.200s' is too long", path, key);
    if (is_open(s, file)) continue;
    if (s->n_shards >= MAX_FILES)
      return xlm_fail(err, XLM_USER, "'%s' lists more than %d files", path, MAX_FILES);
    XLM_TRY(read_one(s, xlm_arena_strdup(s->arena, file), err));
  }
  return XLM_OK;
}

static xlm_status read_index(xlm_safetensors *s, const char *path, xlm_error *err) {
  json_t *root;
  xlm_arena_cleanup *index = xlm_arena_add_cleanup(s->arena, free_json);
  XLM_TRY(xlm_json_parse_file(path, JSON_REJECT_DUPLICATES, &root, err));
  index->what = root;
  xlm_status status = read_shards(s, path, json_object_get(root, "weight_map"), err);
  xlm_arena_clean_up(index);
  return status;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const xlm_st_tensor *)a)->name, ((const xlm_st_tensor *)b)->name);
}

static bool ends_with(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n >= m && !strcmp(s + n - m, suffix);
}

// ---- folders ----

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void close_folder(void *d) {
  closedir(d);
}

// The files of a folder that end with `end`, sorted.
static xlm_status list_files(xlm_safetensors *s, const char *path, const char *end, const char ***out,
                             uint32_t *n, xlm_error *err) {
  uint32_t cap = 0;
  xlm_arena_cleanup *cleanup = xlm_arena_add_cleanup(s->arena, close_folder);
  DIR *d = opendir(path);
  *out = NULL, *n = 0;
  if (!d) return xlm_fail(err, xlm_file_kind(errno), "cannot read '%s': %s", path, strerror(errno));
  cleanup->what = d;
  for (const struct dirent *e; (e = readdir(d));)
    if (ends_with(e->d_name, end) && *e->d_name != '.')
      XLM_PUSH(s->arena, *out, *n, cap, (const char *)xlm_arena_printf(s->arena, "%s/%s", path, e->d_name));
  xlm_arena_clean_up(cleanup);
  if (*n) qsort(*out, *n, sizeof **out, by_text);
  return XLM_OK;
}

static xlm_status has_none(xlm_safetensors *s, const char *path, xlm_error *err) {
  static const char *const others[] = {".bin", ".pth", ".pt", ".gguf"};
  const char **files;
  uint32_t n;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    XLM_TRY(list_files(s, path, others[i], &files, &n, err));
    if (n)
      return xlm_fail(
          err, XLM_USER,
          "'%s' has no *.safetensors; '%s' is of another format: load it with the tool it is of and "
          "save it as safetensors (transformers: save_pretrained)",
          path, files[0]);
  }
  return xlm_fail(err, XLM_USER, "'%s' has no *.safetensors", path);
}

// The usual names, else the only index, else all files.
static xlm_status read_folder(xlm_safetensors *s, const char *path, xlm_error *err) {
  struct stat st;
  const char **files, *index = xlm_arena_printf(s->arena, "%s/model.safetensors.index.json", path),
                      *one = xlm_arena_printf(s->arena, "%s/model.safetensors", path);
  uint32_t n;
  if (!stat(index, &st)) return read_index(s, index, err);
  if (!stat(one, &st)) return read_one(s, one, err);
  XLM_TRY(list_files(s, path, ".safetensors.index.json", &files, &n, err));
  if (n == 1) return read_index(s, files[0], err);
  XLM_TRY(list_files(s, path, ".safetensors", &files, &n, err));
  for (uint32_t i = 0; i < n && i < MAX_FILES; i++) XLM_TRY(read_one(s, files[i], err));
  return n ? XLM_OK : has_none(s, path, err);
}

static xlm_status open_path(xlm_safetensors *s, const char *path, xlm_error *err) {
  struct stat st;
  if (!stat(path, &st) && S_ISDIR(st.st_mode)) return read_folder(s, path, err);
  return ends_with(path, ".json") ? read_index(s, path, err) : read_one(s, path, err);
}

static xlm_status open_all(xlm_safetensors *s, const char *path, xlm_error *err) {
  XLM_TRY(open_path(s, path, err));
  if (s->n) qsort(s->at, s->n, sizeof *s->at, by_name);
  for (uint32_t i = 1; i < s->n; i++)
    if (!strcmp(s->at[i].name, s->at[i - 1].name))
      return xlm_fail(err, XLM_USER, "'%s': tensor '%.200s' is in two files", path, s->at[i].name);
  return XLM_OK;
}

xlm_status xlm_safetensors_open(const char *path, xlm_safetensors **out, xlm_error *err) {
  return xlm_safetensors_open_checked(path, (xlm_st_check){NULL, NULL}, out, err);
}

xlm_status xlm_safetensors_open_checked(const char *path, xlm_st_check check, xlm_safetensors **out,
                                        xlm_error *err) {
  *out = NULL;
  xlm_safetensors *s = calloc(1, sizeof *s);
  if (!s || !(s->arena = xlm_arena_new(0))) {
    free(s);
    return xlm_fail(err, XLM_ENV, "no memory to open '%s'", path);
  }
  xlm_status status;
  s->check = check;
  if (XLM_ARENA_TRY(s->arena))
    status = open_all(s, path, err);
  else
    status = xlm_fail(err, XLM_ENV, "no memory for the header of '%s'", path);
  if (status == XLM_OK)
    *out = s;
  else
    xlm_safetensors_close(s);
  return status;
}

void xlm_safetensors_close(xlm_safetensors *s) {
  if (!s) return;
  for (uint32_t i = 0; i < s->n_shards; i++) {
    xlm_map_close(&s->shards[i].map);
    if (s->shards[i].fd >= 0) close(s->shards[i].fd);
  }
  xlm_arena_free(s->arena);
  free(s);
}

int xlm_safetensors_count(const xlm_safetensors *s) {
  return (int)s->n;
}
const xlm_st_tensor *xlm_safetensors_at(const xlm_safetensors *s, int i) {
  return &s->at[i];
}

const xlm_st_tensor *xlm_safetensors_find(const xlm_safetensors *s, const char *name) {
  xlm_st_tensor key = {.name = name};
  return s->n ? bsearch(&key, s->at, s->n, sizeof *s->at, by_name) : NULL;
}

xlm_status xlm_safetensors_read(const xlm_safetensors *s, const xlm_st_tensor *t, int64_t first, int64_t n,
                                void *out, xlm_error *err) {
  const shard *f = &s->shards[t->file];
  size_t bytes = dtypes[t->dtype].bytes, left = (size_t)n * bytes;
  off_t at = (off_t)(t->data - f->map.data) + (off_t)((size_t)first * bytes);
  XLM_TRY(check(s, f, (uint64_t)at, left, err));
  for (char *to = out; left;) {
    ssize_t got = pread(f->fd, to, left < MOST_READ ? left : MOST_READ, at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      return xlm_fail(err, XLM_ENV, "cannot read tensor '%s' of '%s': %s", t->name, f->path,
                      got ? strerror(errno) : "the file was truncated");
    to += got, at += got, left -= (size_t)got;
  }
  return XLM_OK;
}

xlm_status xlm_safetensors_read_floats(const xlm_safetensors *s, const xlm_st_tensor *t, int64_t first,
                                       int64_t n, void *scratch, float *out, xlm_error *err) {
  XLM_TRY(xlm_safetensors_read(s, t, first, n, scratch, err));
  if (xlm_st_floats(t->dtype, scratch, n, out)) return XLM_OK;
  return xlm_fail(err, XLM_USER,
                  "tensor '%s' is of type %s, which is not a floating-point type that can be read", t->name,
                  dtypes[t->dtype].name);
}
