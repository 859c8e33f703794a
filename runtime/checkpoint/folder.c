// The folder of checkpoints; see folder.h.
#include "runtime/checkpoint/folder.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"

void xlm_folder_path(const char *dir, int64_t step, char path[4352]) {
  snprintf(path, 4352, "%.4095s/step-%08" PRId64, dir, step);
}

static int64_t step_of(const char *name) { // -1: not the name of a checkpoint
  if (strncmp(name, "step-", 5) || strlen(name) < 13 || strlen(name) > 23) return -1;
  char *end;
  int64_t step = strtoll(name + 5, &end, 10);
  return *end || step < 0 ? -1 : step;
}

static int descending(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (y > x) - (y < x);
}

static bool add(xlm_folder *f, int64_t step) {
  if (f->n == f->cap) {
    int cap = f->cap ? 2 * f->cap : 16;
    int64_t *bigger = realloc(f->step, (size_t)cap * sizeof *bigger);
    if (!bigger) return false;
    f->step = bigger, f->cap = cap;
  }
  f->step[f->n++] = step;
  return true;
}

xlm_status xlm_folder_list(const char *dir, xlm_folder *out, xlm_error *err) {
  *out = (xlm_folder){0};
  DIR *d = opendir(dir);
  if (!d) return xlm_fail(err, xlm_file_kind(errno), "cannot read the folder '%s': %s", dir, strerror(errno));
  bool ok = true;
  errno = 0;
  for (struct dirent *e; ok && (e = readdir(d)); errno = 0)
    if (step_of(e->d_name) >= 0) ok = add(out, step_of(e->d_name));
  int why = ok ? errno : 0;
  closedir(d);
  if (out->n) qsort(out->step, (size_t)out->n, sizeof *out->step, descending);
  if (ok && !why) return XLM_OK;
  xlm_folder_free(out);
  if (why) return xlm_fail(err, XLM_ENV, "cannot read the folder '%s': %s", dir, strerror(why));
  return xlm_fail(err, XLM_ENV, "no memory for the list of checkpoints in '%s'", dir);
}

void xlm_folder_free(xlm_folder *f) {
  free(f->step);
  *f = (xlm_folder){0};
}

void xlm_folder_remove_temporary(const char *dir) {
  DIR *d = opendir(dir);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));) {
    if (strncmp(e->d_name, XLM_FOLDER_TEMPORARY, strlen(XLM_FOLDER_TEMPORARY))) continue;
    char path[4352];
    xlm_error ignored; // a leftover that cannot be removed does no harm
    snprintf(path, sizeof path, "%.4000s/%s", dir, e->d_name);
    if (xlm_file_remove_folder(path, &ignored) != XLM_OK) continue;
  }
  closedir(d);
}
