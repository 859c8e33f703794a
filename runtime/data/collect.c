// Finds the files that a path refers to. A folder is walked in name order; hidden entries and links to
// folders are skipped. If a folder has token files, its text files are skipped (a data folder often has a
// README beside its shards); otherwise all text files are used. Other files are skipped and recorded for a
// message.
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/file.h"
#include "runtime/data/data_priv.h"

enum { MAX_FILES = 1000000 };

typedef struct walk {
  xlm_data *d;
  paths text, tokens;
} walk;

// A token file by its magic, or a headerless *.bin.
static bool is_tokens(const char *path, const unsigned char *head) {
  return xlm_data_has_token_magic(head) || xlm_kind_has_suffix(path, ".bin");
}

// The list for a file of a folder; NULL: none.
static paths *sort(walk *w, const char *path) {
  unsigned char head[XLM_KIND_HEAD] = {0};
  size_t n = xlm_file_head(path, head, sizeof head);
  if (!n) return NULL;
  if (w->d->o.format != XLM_DATA_AUTO) return &w->text;
  if (xlm_data_has_token_magic(head) && xlm_kind_has_suffix(path, ".idx"))
    return NULL; // handled with its .bin
  const xlm_foreign *foreign = xlm_data_has_token_magic(head) ? NULL : xlm_foreign_kind(path, head, n);
  if (!foreign) return is_tokens(path, head) ? &w->tokens : &w->text;
  if (!w->d->n_left_out++) w->d->left_out = path, w->d->left_out_as = foreign;
  return NULL;
}

static void add_path(xlm_data *d, paths *list, const char *path) {
  for (uint32_t i = 0; list->n < 64 && i < list->n; i++) // `x.bin x.idx` from a shell glob: one data set
    if (!strcmp(list->at[i], path)) return;
  XLM_PUSH(d->arena, list->at, list->n, list->cap, path);
}

static xlm_status visit(void *arg, const char *path, xlm_error *err) {
  walk *w = arg;
  paths *list = sort(w, path);
  if (list && list->n >= MAX_FILES)
    return xlm_fail(err, XLM_USER, "the folder of '%s' holds more than %d files: join them into fewer", path,
                    MAX_FILES);
  if (list) XLM_PUSH(w->d->arena, list->at, list->n, list->cap, path);
  return XLM_OK;
}

static xlm_status collect_folder(xlm_data *d, const char *path, paths *out, xlm_error *err) {
  walk w = {.d = d};
  XLM_TRY(xlm_files_walk(d->arena, path, visit, &w, err));
  const paths *found = w.tokens.n ? &w.tokens : &w.text;
  if (!found->n && d->n_left_out)
    return xlm_fail(err, XLM_USER, "the folder '%s' has no text or token file; '%s' is %s: %s", path,
                    d->left_out, d->left_out_as->what, d->left_out_as->advice);
  if (!found->n) return xlm_fail(err, XLM_USER, "the folder '%s' has no text or token file", path);
  for (uint32_t i = 0; i < found->n; i++) XLM_PUSH(d->arena, out->at, out->n, out->cap, found->at[i]);
  return XLM_OK;
}

static xlm_status visit_for_tokens(void *arg, const char *path, xlm_error *err) {
  bool *any = arg;
  unsigned char head[XLM_KIND_HEAD] = {0};
  size_t n = xlm_file_head(path, head, sizeof head);
  bool ids = is_tokens(path, head) && (xlm_data_has_token_magic(head) || !xlm_foreign_kind(path, head, n));
  *any = *any || (n && (ids || xlm_data_names_records(path)));
  (void)err;
  return XLM_OK;
}

bool xlm_data_has_tokens(xlm_arena *a, const char *path) {
  struct stat st;
  bool any = false;
  xlm_error err;
  if (stat(path, &st)) return false;
  xlm_status s = S_ISDIR(st.st_mode) ? xlm_files_walk(a, path, visit_for_tokens, &any, &err)
                                     : visit_for_tokens(&any, path, &err);
  return s == XLM_OK && any;
}

xlm_status xlm_data_collect(xlm_data *d, const char *path, paths *out, xlm_error *err) {
  struct stat st;
  bool found;
  XLM_TRY(xlm_file_exists(path, &found, err));
  if (!found) { // a Megatron prefix is not itself a file
    const char *bin = xlm_arena_printf(d->arena, "%s.bin", path);
    XLM_TRY(xlm_file_exists(bin, &found, err));
    if (!found) return xlm_fail(err, XLM_USER, "there is no data file '%s'", path);
    add_path(d, out, bin);
    return XLM_OK;
  }
  if (!stat(path, &st) && S_ISDIR(st.st_mode)) return collect_folder(d, path, out, err);
  unsigned char head[24];
  if (d->o.format == XLM_DATA_AUTO && xlm_kind_has_suffix(path, ".idx") && xlm_data_peek(path, head) &&
      xlm_data_has_token_magic(head))
    path = xlm_arena_printf(d->arena, "%.*s.bin", (int)strlen(path) - 4, path);
  add_path(d, out, xlm_arena_strdup(d->arena, path));
  return XLM_OK;
}
