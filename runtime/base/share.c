// See share.h. The installed programs must work wherever their folder is moved to, so that nothing but the
// way from the executable to the shared files is compiled in.
#include "runtime/base/share.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The folder of this process's executable; NULL if /proc is not mounted.
static const char *own_folder(xlm_arena *a) {
  char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n <= 0) return NULL;
  path[n] = 0;
  char *slash = strrchr(path, '/');
  return slash ? xlm_arena_strndup(a, path, (size_t)(slash - path)) : NULL;
}

const char *xlm_share_folder(xlm_arena *a) {
  static const char *const ways[] = {XLM_SHARE_FROM_BIN, XLM_SHARE_FROM_PROGRAMS};
  const char *own = own_folder(a);
  char real[PATH_MAX];
  for (int i = 0; own && i < 2; i++) {
    const char *folder = xlm_arena_printf(a, "%s/%s", own, ways[i]);
    if (!access(xlm_arena_printf(a, "%s/models", folder), F_OK) && realpath(folder, real))
      return xlm_arena_strdup(a, real);
  }
  return XLM_SOURCE_FOLDER;
}

const char *xlm_share_models(xlm_arena *a) {
  const char *named = getenv("XLM_MODELS");
  return named && *named ? named : xlm_arena_printf(a, "%s/models", xlm_share_folder(a));
}

const char *xlm_share_program(xlm_arena *a, const char *name) {
  const char *own = own_folder(a);
  const char *path = own ? xlm_arena_printf(a, "%s/" XLM_PROGRAMS_FROM_BIN "/%s", own, name) : NULL;
  return path && !access(path, X_OK) ? path : NULL;
}
