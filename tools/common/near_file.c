// Suggests an existing file for one that does not exist, which usually has a typo or lacks its suffix.
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/share.h"
#include "tools/common/request.h"

enum { MOST = 4096 };

// Adds the files of a folder to names.
static void list(xlm_arena *a, const char *folder, const char ***names, size_t *n, size_t *cap) {
  DIR *d = opendir(folder);
  for (struct dirent *e; d && *n < MOST && (e = readdir(d));)
    if (e->d_name[0] != '.') XLM_PUSH(a, *names, *n, *cap, (const char *)xlm_arena_strdup(a, e->d_name));
  if (d) closedir(d);
}

static int in_order(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The shipped models as they are named on the command line.
static const char **shipped(xlm_arena *a, size_t *n) {
  const char **names = NULL;
  size_t all = 0, cap = 0;
  list(a, xlm_share_models(a), &names, &all, &cap);
  *n = 0;
  for (size_t i = 0; i < all; i++) {
    const char *ending = strstr(names[i], ".xlm");
    if (ending) names[(*n)++] = xlm_arena_strndup(a, names[i], (size_t)(ending - names[i]));
  }
  if (*n) qsort(names, *n, sizeof *names, in_order);
  return names;
}

static const char *near_shipped(xlm_arena *a, const char *named) {
  size_t n;
  const char **names = shipped(a, &n);
  return n ? xlm_text_nearest(named, names, n) : NULL;
}

const char *xlm_shipped_models(xlm_arena *a) {
  size_t n;
  const char **names = shipped(a, &n);
  xlm_text t = xlm_text_new(a);
  for (size_t i = 0; i < n; i++) xlm_text_printf(&t, "%s%s", i ? ", " : "", names[i]);
  return t.data;
}

const char *xlm_near_file(xlm_arena *a, const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  const char **names = NULL;
  size_t n = 0, cap = 0;
  list(a, slash ? xlm_arena_strndup(a, path, (size_t)(slash - path) + 1) : ".", &names, &n, &cap);
  const char *near = n ? xlm_text_nearest(name, names, n) : NULL;
  if (near) return xlm_arena_printf(a, "%.*s%s", (int)(name - path), path, near);
  return near_shipped(a, path);
}
