// Finds tasks and their data; see eval_tasks.h. A task is tasks/NAME.yaml, here or shipped, or a file of
// one's own. Its data is looked for in the folders of --task-data by the names under which it is published,
// and in the folder TASK in them also by names that other data sets have, too; or it is given as TASK=FILE.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/share.h"
#include "runtime/documents/kind.h"
#include "runtime/evaluate/examples.h"
#include "tools/xlmrun/eval_tasks.h"

// ---- tasks

static bool is_file_name(const char *name) {
  return strchr(name, '/') || xlm_kind_has_suffix(name, ".yaml") || xlm_kind_has_suffix(name, ".yml");
}

static int in_order(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char **shipped(session *s, size_t *n) {
  const char *folder = xlm_arena_printf(s->arena, "%s/tasks", xlm_share_folder(s->arena)), **names = NULL;
  size_t cap = 0;
  DIR *d = opendir(folder);
  *n = 0;
  for (struct dirent *e; d && (e = readdir(d));)
    if (xlm_kind_has_suffix(e->d_name, ".yaml"))
      XLM_PUSH(s->arena, names, *n, cap,
               (const char *)xlm_arena_strndup(s->arena, e->d_name, strlen(e->d_name) - 5));
  if (d) closedir(d);
  if (*n) qsort(names, *n, sizeof *names, in_order);
  return names;
}

static xlm_status unknown(session *s, const char *name) {
  size_t n;
  const char **names = shipped(s, &n), *near = n ? xlm_text_nearest(name, names, n) : NULL;
  xlm_text list = xlm_text_new(s->arena);
  for (size_t i = 0; i < n; i++) xlm_text_printf(&list, "%s%s", i ? ", " : "", names[i]);
  if (near)
    return xlm_fail(&s->err, XLM_USER, "--tasks: there is no task '%s'; did you mean '%s'?", name, near);
  return xlm_fail(&s->err, XLM_USER,
                  "--tasks: there is no task '%s'. There are %s; a task of your own is a file, as mine.yaml "
                  "(docs/evaluation.md)",
                  name, list.data);
}

static xlm_status open_task(session *s, const char *name, xlm_task **out) {
  if (is_file_name(name)) return xlm_task_read(s->arena, name, out, &s->err);
  const char *here = xlm_arena_printf(s->arena, "tasks/%s.yaml", name);
  const char *path = xlm_arena_printf(s->arena, "%s/%s", xlm_share_folder(s->arena), here);
  if (!access(here, R_OK)) path = here;
  return access(path, R_OK) ? unknown(s, name) : xlm_task_read(s->arena, path, out, &s->err);
}

bool tasks_asks_for_list(const session *s) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_tasks];
  return v->n == 1 && !strcmp(v->list[0], "list");
}

xlm_status tasks_list(session *s) {
  size_t n;
  const char **names = shipped(s, &n);
  for (size_t i = 0; i < n; i++) {
    xlm_task *t;
    XLM_TRY(open_task(s, names[i], &t));
    printf("%-16s %s\n", t->name, t->about);
  }
  return XLM_OK;
}

// ---- data

static bool is_folder(const char *path) {
  struct stat st;
  return !stat(path, &st) && S_ISDIR(st.st_mode);
}

// The file in a folder that one of the names matches; *out NULL: there is none.
static xlm_status find_in(session *s, const char *folder, const char *const *names, int n, const char **out) {
  *out = NULL;
  for (int i = 0; i < n && !*out; i++) {
    xlm_file_list found = {0};
    xlm_error none;
    const char *pattern = xlm_arena_printf(s->arena, "%s/%s", folder, names[i]);
    if (xlm_files_match(s->arena, pattern, &found, &none) != XLM_OK || !found.n || access(found.at[0], F_OK))
      continue;
    if (found.n > 1)
      return xlm_fail(&s->err, XLM_USER,
                      "--task-data: '%s' and '%s' could both be the data of a task; say which, as TASK=FILE",
                      found.at[0], found.at[1]);
    *out = found.at[0];
  }
  return XLM_OK;
}

static xlm_status find_in_folder(session *s, const xlm_task *t, const char *folder, bool own,
                                 const char **out) {
  const char *inner = xlm_arena_printf(s->arena, "%s/%s", folder, t->name);
  XLM_TRY(find_in(s, inner, t->files, t->n_files, out));
  if (!*out) XLM_TRY(find_in(s, inner, t->own_files, t->n_own_files, out));
  if (!*out) XLM_TRY(find_in(s, folder, t->files, t->n_files, out));
  if (!*out && own) XLM_TRY(find_in(s, folder, t->own_files, t->n_own_files, out));
  return XLM_OK;
}

static const char *names_of(session *s, const xlm_task *t) {
  xlm_text list = xlm_text_new(s->arena);
  for (int i = 0; i < t->n_files; i++) xlm_text_printf(&list, "%s%s", i ? ", " : "", t->files[i]);
  return list.data;
}

static xlm_status no_data(session *s, const xlm_task *t) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_task_data];
  if (!v->n)
    return xlm_fail(
        &s->err, XLM_USER,
        "--task-data: where is the data of %s? Give a folder that has %s, or --task-data %s=FILE; the "
        "first lines of %s say where it comes from",
        t->name, t->n_files ? names_of(s, t) : "it", t->name, t->path);
  return xlm_fail(
      &s->err, XLM_USER,
      "--task-data: there is no data of %s in '%s': looked for %s%s there and in its folder `%s`; "
      "--task-data %s=FILE names a file",
      t->name, v->list[v->n - 1], names_of(s, t), t->n_own_files ? " and others" : "", t->name, t->name);
}

// alone: it is the only task, so a file can be only its.
static xlm_status find_data(session *s, const xlm_task *t, bool alone, const char **out) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_task_data];
  size_t n = strlen(t->name);
  *out = NULL;
  for (int i = 0; i < v->n && !*out; i++) {
    bool named = !strncmp(v->list[i], t->name, n) && v->list[i][n] == '=';
    const char *path = named ? v->list[i] + n + 1 : v->list[i];
    if (!named && strchr(path, '=') && access(path, F_OK)) continue; // of another task
    if (access(path, F_OK))
      return xlm_fail(&s->err, XLM_USER, "--task-data: there is no file or folder '%s'", path);
    if (is_folder(path))
      XLM_TRY(find_in_folder(s, t, path, named, out));
    else if (named || alone)
      *out = path;
    else
      return xlm_fail(&s->err, XLM_USER, "--task-data: '%s' is the data of which task? Say TASK=%s", path,
                      path);
  }
  return *out ? XLM_OK : no_data(s, t);
}

// `hellaswag,piqa`, and repeated flags.
static const char **names_asked_for(session *s, int *n) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_tasks];
  const char **names = NULL;
  int cap = 0;
  *n = 0;
  for (int i = 0; i < v->n; i++)
    for (const char *p = v->list[i]; *p;) {
      size_t length = strcspn(p, ", ");
      if (length) XLM_PUSH(s->arena, names, *n, cap, (const char *)xlm_arena_strndup(s->arena, p, length));
      p += length + (p[length] != 0);
    }
  return names;
}

static xlm_status read_items(session *s, evaluation *e) {
  int64_t limit = xlm_setting_int(s->settings, XLM_SET_limit),
          shots = xlm_setting_int(s->settings, XLM_SET_shots);
  const char *file;
  xlm_items examples;
  XLM_TRY(xlm_task_items(s->arena, e->task, e->file, limit, &e->items, &s->err));
  if (!shots) return XLM_OK;
  if (xlm_task_examples(s->arena, e->task, e->file, &file, &s->err) != XLM_OK)
    return xlm_fail_in(&s->err, "--shots");
  XLM_TRY(xlm_task_items(s->arena, e->task, file, 0, &examples, &s->err));
  xlm_status status = xlm_items_add_examples(s->arena, e->task, &examples, shots, &e->items, &s->err);
  return status == XLM_OK ? status : xlm_fail_in(&s->err, "--shots %lld: '%s'", (long long)shots, file);
}

xlm_status tasks_open(session *s, evaluations *out) {
  const char **names = names_asked_for(s, &out->n);
  if (!out->n) return xlm_fail(&s->err, XLM_USER, "--tasks: which? as in --tasks hellaswag,arc_easy");
  out->at = XLM_NEW_N(s->arena, evaluation, out->n);
  for (int i = 0; i < out->n; i++) {
    evaluation *e = &out->at[i];
    XLM_TRY(open_task(s, names[i], &e->task));
    XLM_TRY(find_data(s, e->task, out->n == 1, &e->file));
  }
  for (int i = 0; i < out->n; i++) XLM_TRY(read_items(s, &out->at[i]));
  return XLM_OK;
}
