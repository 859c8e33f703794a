// Suggests an existing file for one that does not exist, which usually has a typo or lacks its suffix.
#include <dirent.h>
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

static const char *near_shipped(xlm_arena *a, const char *named) {
  const char **names = NULL;
  size_t n = 0, cap = 0;
  list(a, xlm_share_models(a), &names, &n, &cap);
  for (size_t i = 0; i < n; i++) { // as they are named on the command line
    const char *ending = strstr(names[i], ".xlm");
    names[i] = ending ? xlm_arena_strndup(a, names[i], (size_t)(ending - names[i])) : "";
  }
  return n ? xlm_text_nearest(named, names, n) : NULL;
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
