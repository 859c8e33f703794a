// A file that is not there is most often a misspelt name or one without its ending; the folder knows better.
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/common/request.h"

static const char *with_ending(xlm_arena *a, const char *path) {
  struct stat st;
  const char *longer = xlm_arena_printf(a, "%s.xlm", path);
  return stat(longer, &st) || !S_ISREG(st.st_mode) ? NULL : longer;
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
