// Which file a path means, by its name and kind; and what is asked of a tokenizer.
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/hash.h"
#include "runtime/tokenizer/tokenizer_priv.h"

#define TOKENIZER_LIMIT ((size_t)8 << 30)

static bool ends_with(const char *s, const char *suffix) {
  size_t n = strlen(s), m = strlen(suffix);
  return n > m && !strcmp(s + n - m, suffix);
}

static xlm_status (*reader_of(const char *path))(xlm_tokenizer *, xlm_error *) {
  if (ends_with(path, ".json")) return xlm_read_tokenizer_json;
  if (ends_with(path, ".tiktoken")) return xlm_read_tiktoken;
  if (ends_with(path, ".model")) return xlm_read_sentencepiece;
  return NULL;
}

// The only *.tiktoken in a folder; NULL: none, or several.
static const char *find_ranks(xlm_arena *a, const char *folder) {
  const char *found = NULL;
  DIR *d = opendir(folder);
  struct dirent *e;
  int n = 0;
  while (d && (e = readdir(d)))
    if (ends_with(e->d_name, ".tiktoken")) found = xlm_arena_printf(a, "%s/%s", folder, e->d_name), n++;
  if (d) closedir(d);
  return n == 1 ? found : NULL;
}

const char *xlm_tokenizer_find(xlm_arena *a, const char *folder) {
  static const char *const names[] = {"tokenizer.json", "tokenizer.model", "spiece.model"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *path = xlm_arena_printf(a, "%s%s%s", folder, ends_with(folder, "/") ? "" : "/", names[i]);
    if (!access(path, R_OK)) return path;
  }
  return find_ranks(a, folder);
}

static xlm_status read_path(xlm_tokenizer *t, const char *path, xlm_error *err) {
  struct stat st;
  t->path = xlm_arena_strdup(t->arena, path);
  if (!stat(path, &st) && S_ISDIR(st.st_mode)) t->path = xlm_tokenizer_find(t->arena, path);
  if (!t->path)
    return xlm_fail(err, XLM_USER, "'%s' has no tokenizer.json, tokenizer.model or one *.tiktoken", path);
  XLM_TRY(xlm_file_hash(t->path, &t->hash, err));
  xlm_status (*reader)(xlm_tokenizer *, xlm_error *) = reader_of(t->path);
  if (!reader)
    return xlm_fail(err, XLM_USER, "'%s' is not a tokenizer: tokenizer.json, *.tiktoken or *.model is one",
                    path);
  return reader(t, err);
}

xlm_status xlm_tokenizer_open(const char *path, xlm_tokenizer **out, xlm_error *err) {
  static atomic_uint_fast64_t serial;
  *out = NULL;
  xlm_arena *a = xlm_arena_new(TOKENIZER_LIMIT);
  if (!a || !XLM_ARENA_TRY(a)) {
    xlm_arena_free(a);
    return xlm_fail(err, XLM_ENV, "no memory to read the tokenizer '%s'", path);
  }
  xlm_tokenizer *t = XLM_NEW(a, xlm_tokenizer);
  *t = (xlm_tokenizer){
      .arena = a, .serial = ++serial, .unk = -1, .model = xlm_bpe_word, .role = {-1, -1, -1, -1}};
  xlm_status status = read_path(t, path, err);
  if (status != XLM_OK)
    xlm_arena_free(a);
  else
    *out = t;
  return status;
}

void xlm_tokenizer_close(xlm_tokenizer *t) {
  if (t) xlm_arena_free(t->arena);
}

void xlm_tokenizer_resize(xlm_tokenizer *t, int32_t size) {
  t->size = size;
  t->piece = XLM_NEW_N(t->arena, span, size);
  t->raw = XLM_NEW_N(t->arena, span, size);
  t->special = XLM_NEW_N(t->arena, bool, size);
}

const char *xlm_tokenizer_path(const xlm_tokenizer *t) {
  return t->path;
}

const char *xlm_tokenizer_kind(const xlm_tokenizer *t) {
  return t->kind;
}

uint64_t xlm_tokenizer_hash(const xlm_tokenizer *t) {
  return t->hash;
}

int32_t xlm_tokenizer_size(const xlm_tokenizer *t) {
  return t->size;
}

int64_t xlm_tokenizer_merges(const xlm_tokenizer *t) {
  return t->merges;
}

int32_t xlm_tokenizer_special(const xlm_tokenizer *t, xlm_token_role role) {
  return t->role[role];
}

int xlm_tokenizer_before(const xlm_tokenizer *t, const int32_t **ids) {
  *ids = t->before;
  return t->n_before;
}

int xlm_tokenizer_behind(const xlm_tokenizer *t, const int32_t **ids) {
  *ids = t->behind;
  return t->n_behind;
}

const char *xlm_tokenizer_piece(const xlm_tokenizer *t, int32_t id, size_t *n) {
  if (id < 0 || id >= t->size) return NULL;
  *n = t->piece[id].n;
  return t->piece[id].at;
}

bool xlm_tokenizer_is_special(const xlm_tokenizer *t, int32_t id) {
  return id >= 0 && id < t->size && t->special[id];
}
