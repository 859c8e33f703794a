// See share.h. The installed programs must work wherever their folder is moved to, so that nothing but the way
// from the executable to the shared files is compiled in.
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
  const char *own = own_folder(a);
  const char *below = own ? xlm_arena_printf(a, "%s/" XLM_SHARE_FROM_BIN, own) : NULL;
  char real[PATH_MAX];
  bool installed = below && !access(xlm_arena_printf(a, "%s/models", below), F_OK) && realpath(below, real);
  return installed ? xlm_arena_strdup(a, real) : XLM_SOURCE_FOLDER;
}

const char *xlm_share_models(xlm_arena *a) {
  const char *named = getenv("XLM_MODELS");
  return named && *named ? named : xlm_arena_printf(a, "%s/models", xlm_share_folder(a));
}
