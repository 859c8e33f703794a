// Finds the model that is named on the command line.
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/share.h"
#include "tools/common/request.h"

static bool is_file(const char *path) { // or a pipe
  struct stat st;
  return !stat(path, &st) && !S_ISDIR(st.st_mode);
}

xlm_model_file xlm_request_file(xlm_arena *a, const char *named) {
  static const char *const around[][2] = {{"", ""}, {"", ".xlm"}, {"models/", ""}, {"models/", ".xlm"}};
  enum { WAYS = sizeof around / sizeof *around };
  for (int i = 0; i < WAYS; i++) {
    const char *path = xlm_arena_printf(a, "%s%s%s", around[i][0], named, around[i][1]);
    if (is_file(path)) return (xlm_model_file){path, path};
  }
  const char *base = strncmp(named, "models/", 7) ? named : named + 7, *models = xlm_share_models(a);
  for (int i = 0; i < 2 && *base != '.' && *base != '/'; i++) {
    const char *place = xlm_arena_printf(a, "%s/%s%s", models, base, around[i][1]);
    if (is_file(place))
      return (xlm_model_file){xlm_arena_printf(a, "models/%s%s", base, around[i][1]), place};
  }
  return (xlm_model_file){named, named};
}
