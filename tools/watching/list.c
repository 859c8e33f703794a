// See list.h.
#include "tools/watching/list.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/folder.h"

static bool is_run(xlm_arena *a, const char *dir) {
  return !access(xlm_arena_printf(a, "%s/run.json", dir), F_OK) ||
         !access(xlm_arena_printf(a, "%s/metrics.jsonl", dir), F_OK) || xlm_checkpoint_exists(dir);
}

// ---- checkpoints ----

static uint64_t bytes_in(xlm_arena *a, const char *dir) {
  struct stat st;
  uint64_t sum = 0;
  DIR *d = opendir(dir);
  for (struct dirent *e; d && (e = readdir(d));)
    if (!stat(xlm_arena_printf(a, "%s/%s", dir, e->d_name), &st) && S_ISREG(st.st_mode))
      sum += (uint64_t)st.st_size;
  if (d) closedir(d);
  return sum;
}

static double loss_at(const xlm_run *r, int64_t step) {
  const xlm_run_series *s = xlm_run_field(r, "val_loss");
  for (uint32_t i = 0; s && i < s->n; i++)
    if (s->step[i] == step) return s->value[i];
  return NAN;
}

static bool is_best(xlm_arena *a, const char *dir, const char *path) {
  char target[64] = "";
  ssize_t n = readlink(xlm_arena_printf(a, "%s/" XLM_FOLDER_BEST, dir), target, sizeof target - 1);
  return n > 0 && !strcmp(target, strrchr(path, '/') + 1);
}

static xlm_status add_checkpoints(xlm_arena *a, xlm_listed_run *l, xlm_error *err) {
  xlm_folder f;
  struct stat st;
  char path[4352];
  XLM_TRY(xlm_folder_list(l->run->folder, &f, err));
  l->checkpoints = XLM_NEW_N(a, xlm_listed_checkpoint, f.n + 1);
  for (int i = 0; i < f.n; i++) {
    xlm_folder_path(l->run->folder, f.step[i], path);
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) continue;
    xlm_listed_checkpoint *c = &l->checkpoints[l->n_checkpoints++];
    *c = (xlm_listed_checkpoint){.path = xlm_arena_strdup(a, path),
                                 .step = f.step[i],
                                 .bytes = bytes_in(a, path),
                                 .time = (double)st.st_mtime,
                                 .val_loss = loss_at(l->run, f.step[i]),
                                 .best = is_best(a, l->run->folder, path)};
    l->bytes += c->bytes;
    if (isnan(l->time) || c->time > l->time) l->time = c->time;
  }
  xlm_folder_free(&f);
  return XLM_OK;
}

// ---- folders ----

static void note(xlm_arena *a, xlm_run_list *out, const xlm_error *why) {
  XLM_PUSH(a, out->notes, out->n_notes, out->cap_notes, xlm_arena_strdup(a, why->text));
}

static xlm_status add_run(xlm_arena *a, const char *dir, xlm_run_list *out, xlm_error *err) {
  xlm_listed_run l = {0};
  XLM_TRY(xlm_run_open(a, dir, &l.run, err));
  l.time = xlm_run_last(l.run, "time");
  XLM_TRY(add_checkpoints(a, &l, err));
  XLM_PUSH(a, out->at, out->n, out->cap, l);
  return XLM_OK;
}

static bool is_folder(xlm_arena *a, const char *dir, const char *name) {
  struct stat st;
  bool ours = *name == '.' || !strncmp(name, "step-", 5);
  return !ours && !lstat(xlm_arena_printf(a, "%s/%s", dir, name), &st) && S_ISDIR(st.st_mode);
}

static xlm_status add_below(xlm_arena *a, const char *dir, int depth, xlm_run_list *out, xlm_error *err);

// One that cannot be read does not hide the others.
static xlm_status add_folder(xlm_arena *a, const char *dir, int depth, xlm_run_list *out, xlm_error *err) {
  bool run = is_run(a, dir);
  xlm_status s = run ? add_run(a, dir, out, err) : XLM_OK;
  if (s == XLM_OK && depth < XLM_LIST_DEPTH) s = add_below(a, dir, depth, out, err);
  if (s == XLM_USER && (depth || run)) note(a, out, err), s = XLM_OK;
  return s;
}

static xlm_status add_below(xlm_arena *a, const char *dir, int depth, xlm_run_list *out, xlm_error *err) {
  struct dirent **list;
  int n = scandir(dir, &list, NULL, alphasort);
  if (n < 0)
    return xlm_fail(err, xlm_file_kind(errno), "cannot read the folder '%s': %s", dir, strerror(errno));
  const char **names = XLM_NEW_N(a, const char *, n + 1); // the library's list goes before anything can fail
  int folders = 0;
  for (int i = 0; i < n; i++) {
    if (is_folder(a, dir, list[i]->d_name))
      names[folders++] = xlm_arena_printf(a, "%s/%s", dir, list[i]->d_name);
    free(list[i]);
  }
  free(list);
  for (int i = 0; i < folders; i++) XLM_TRY(add_folder(a, names[i], depth + 1, out, err));
  return XLM_OK;
}

xlm_status xlm_run_list_add(xlm_arena *a, const char *dir, xlm_run_list *out, xlm_error *err) {
  size_t n = strlen(dir);
  while (n > 1 && dir[n - 1] == '/') n--;
  return add_folder(a, xlm_arena_strndup(a, dir, n), 0, out, err);
}
