// The files that paths refer to: folders walked in the order of names, patterns, and what a folder of
// documents has.
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "runtime/documents/documents_priv.h"

enum { MAX_DEPTH = 32 };

typedef struct walk {
  xlm_arena *arena;
  xlm_file_visit *visit;
  void *arg;
} walk;

static xlm_status enter(const walk *w, const char *folder, int depth, xlm_error *err);

static xlm_status visit_entry(const walk *w, const char *folder, const char *name, int depth,
                              xlm_error *err) {
  const char *path = xlm_arena_printf(w->arena, "%s/%s", folder, name);
  struct stat st, target;
  if (lstat(path, &st) || stat(path, &target)) return XLM_OK; // removed meanwhile, or a dangling link
  if (S_ISDIR(st.st_mode)) return enter(w, path, depth + 1, err);
  return S_ISREG(target.st_mode) ? w->visit(w->arg, path, err) : XLM_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static xlm_status enter(const walk *w, const char *folder, int depth, xlm_error *err) {
  if (depth > MAX_DEPTH)
    return xlm_fail(err, XLM_USER, "'%s' is nested deeper than %d folders", folder, MAX_DEPTH);
  DIR *dir = opendir(folder);
  if (!dir)
    return xlm_fail(err, xlm_file_kind(errno), "cannot read the folder '%s': %s", folder, strerror(errno));
  xlm_file_list names = {0};
  for (struct dirent *e; (e = readdir(dir));)
    if (e->d_name[0] != '.')
      XLM_PUSH(w->arena, names.at, names.n, names.cap, xlm_arena_strdup(w->arena, e->d_name));
  closedir(dir);
  if (names.n) qsort(names.at, names.n, sizeof *names.at, by_name);
  for (uint32_t i = 0; i < names.n; i++) XLM_TRY(visit_entry(w, folder, names.at[i], depth, err));
  return XLM_OK;
}

xlm_status xlm_files_walk(xlm_arena *a, const char *folder, xlm_file_visit *visit, void *arg,
                          xlm_error *err) {
  size_t n = strlen(folder);
  while (n > 1 && folder[n - 1] == '/') n--;
  return enter(&(walk){a, visit, arg}, xlm_arena_strndup(a, folder, n), 0, err);
}

static xlm_status match(xlm_arena *a, const char *pattern, glob_t *g, xlm_file_list *out, xlm_error *err) {
  int r = glob(pattern, 0, NULL, g);
  if (r == GLOB_NOSPACE) return xlm_fail(err, XLM_ENV, "no memory to find '%s'", pattern);
  if (r == GLOB_ABORTED) return xlm_fail(err, XLM_USER, "cannot read a folder of '%s'", pattern);
  if (r == GLOB_NOMATCH) return xlm_fail(err, XLM_USER, "no file matches '%s'", pattern);
  for (size_t i = 0; i < g->gl_pathc; i++)
    XLM_PUSH(a, out->at, out->n, out->cap, xlm_arena_strdup(a, g->gl_pathv[i]));
  return XLM_OK;
}

static void free_glob(void *g) {
  globfree(g);
}

xlm_status xlm_files_match(xlm_arena *a, const char *pattern, xlm_file_list *out, xlm_error *err) {
  struct stat st;
  if (!strpbrk(pattern, "*?[") || !lstat(pattern, &st)) {
    XLM_PUSH(a, out->at, out->n, out->cap, xlm_arena_strdup(a, pattern));
    return XLM_OK;
  }
  glob_t *g = XLM_NEW(a, glob_t);
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(a, free_glob);
  c->what = g;
  xlm_status s = match(a, pattern, g, out, err);
  xlm_arena_clean_up(c);
  return s;
}

typedef struct found { // in a folder
  xlm_arena *arena;
  xlm_file_list text, lines; // lines: and tables
  uint32_t n_left_out;
  const char *left_out;
  const xlm_foreign *left_out_as;
} found;

static xlm_status visit(void *arg, const char *path, xlm_error *err) {
  found *f = arg;
  form is;
  packing packed;
  const xlm_foreign *foreign;
  unsigned char byte;
  if (!xlm_file_head(path, &byte, 1)) return XLM_OK;
  XLM_TRY(xlm_form_of(path, &is, &packed, &foreign, err));
  if (is == NO_FORM) {
    if (foreign && !f->n_left_out++) f->left_out = path, f->left_out_as = foreign;
    return XLM_OK;
  }
  xlm_file_list *list = is == TEXT ? &f->text : &f->lines;
  XLM_PUSH(f->arena, list->at, list->n, list->cap, path);
  return XLM_OK;
}

static xlm_status add_folder(found *f, const char *path, xlm_file_list *out, xlm_error *err) {
  f->text = f->lines = (xlm_file_list){0};
  XLM_TRY(xlm_files_walk(f->arena, path, visit, f, err));
  const xlm_file_list *list = f->lines.n ? &f->lines : &f->text;
  if (!list->n)
    return xlm_fail(err, XLM_USER, "the folder '%s' has no documents: no text, JSON lines or Parquet", path);
  for (uint32_t i = 0; i < list->n; i++) XLM_PUSH(f->arena, out->at, out->n, out->cap, list->at[i]);
  return XLM_OK;
}

static const char *sentence(const found *f) {
  if (!f->n_left_out) return "";
  return xlm_arena_printf(f->arena, "%u file%s left out%s '%s' is %s", f->n_left_out,
                          f->n_left_out == 1 ? " of the data is" : "s of the data are",
                          f->n_left_out == 1 ? ":" : ", the first because", f->left_out,
                          f->left_out_as->what);
}

xlm_status xlm_documents_files(xlm_arena *a, const char *const *paths, int n_paths, const char *const **files,
                               int *n_files, const char **left_out, xlm_error *err) {
  xlm_file_list matched = {0}, out = {0};
  found f = {.arena = a};
  for (int i = 0; i < n_paths; i++) XLM_TRY(xlm_files_match(a, paths[i], &matched, err));
  for (uint32_t i = 0; i < matched.n; i++) {
    struct stat st;
    if (!stat(matched.at[i], &st) && S_ISDIR(st.st_mode))
      XLM_TRY(add_folder(&f, matched.at[i], &out, err));
    else
      XLM_PUSH(a, out.at, out.n, out.cap, matched.at[i]);
  }
  *files = out.at, *n_files = (int)out.n;
  if (left_out) *left_out = sentence(&f);
  return XLM_OK;
}
