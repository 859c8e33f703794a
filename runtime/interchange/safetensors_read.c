// Sets of safetensors files: an index, a folder; and reading of tensors. See safetensors.h.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json_parse.h"
#include "runtime/interchange/safetensors_priv.h"

enum { MAX_FILES = 20000, MOST_READ = 1 << 30 };

static void free_json(void *json) {
  json_decref(json);
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
    XLM_TRY(xlm_st_open_file(s, xlm_arena_strdup(s->arena, file), err));
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
  bool found;
  const char **files, *index = xlm_arena_printf(s->arena, "%s/model.safetensors.index.json", path),
                      *one = xlm_arena_printf(s->arena, "%s/model.safetensors", path);
  uint32_t n;
  XLM_TRY(xlm_file_exists(index, &found, err));
  if (found) return read_index(s, index, err);
  XLM_TRY(xlm_file_exists(one, &found, err));
  if (found) return xlm_st_open_file(s, one, err);
  XLM_TRY(list_files(s, path, ".safetensors.index.json", &files, &n, err));
  if (n == 1) return read_index(s, files[0], err);
  XLM_TRY(list_files(s, path, ".safetensors", &files, &n, err));
  for (uint32_t i = 0; i < n && i < MAX_FILES; i++) XLM_TRY(xlm_st_open_file(s, files[i], err));
  return n ? XLM_OK : has_none(s, path, err);
}

static xlm_status open_path(xlm_safetensors *s, const char *path, xlm_error *err) {
  struct stat st;
  if (!stat(path, &st) && S_ISDIR(st.st_mode)) return read_folder(s, path, err);
  return ends_with(path, ".json") ? read_index(s, path, err) : xlm_st_open_file(s, path, err);
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
  const xlm_st_shard *f = &s->shards[t->file];
  size_t bytes = xlm_st_dtype_bytes(t->dtype), left = (size_t)n * bytes;
  off_t at = (off_t)(t->data - f->map.data) + (off_t)((size_t)first * bytes);
  XLM_TRY(xlm_st_check_bytes(s, f, (uint64_t)at, left, err));
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
                  xlm_st_dtype_name(t->dtype));
}
