// Suggests an existing file for one that does not exist, which usually has a typo or lacks its suffix.
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common/request.h"

// `llama`, `llama.xlm`, `models/llama`: the shipped models are in models/.
static const char *with_ending(xlm_arena *a, const char *path) {
  static const char *const around[][2] = {{"", ".xlm"}, {"models/", ".xlm"}, {"models/", ""}};
  for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
    struct stat st;
    const char *found = xlm_arena_printf(a, "%s%s%s", around[i][0], path, around[i][1]);
    if (!stat(found, &st) && S_ISREG(st.st_mode)) return found;
  }
  return NULL;
}

const char *xlm_near_file(xlm_arena *a, const char *path) {
  enum { MOST = 4096 };
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *found = with_ending(a, path);
  if (found) return found;
  DIR *d = opendir(slash ? xlm_arena_strndup(a, path, (size_t)(slash - path) + 1) : ".");
  const char **names = NULL;
  size_t n = 0, cap = 0;
  for (struct dirent *e; d && n < MOST && (e = readdir(d));)
    if (e->d_name[0] != '.') XLM_PUSH(a, names, n, cap, (const char *)xlm_arena_strdup(a, e->d_name));
  if (d) closedir(d);
  const char *near = n ? xlm_text_nearest(name, names, n) : NULL;
  return near ? xlm_arena_printf(a, "%.*s%s", (int)(name - path), path, near) : NULL;
}
