// Finds a cluster by name.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/map.h"
#include "runtime/base/share.h"
#include "tools/common/request.h"

// `h100`: clusters/h100.yaml, in the current folder, beside the model's folder or shipped.
static const char *cluster_path(xlm_arena *a, const char *model_path, const char *name) {
  if (!access(name, R_OK) || strchr(name, '/')) return name;
  const char *slash = strrchr(model_path, '/'), *dot = strrchr(name, '.') ? "" : ".yaml";
  const char *here = xlm_arena_printf(a, "clusters/%s%s", name, dot);
  if (!access(here, R_OK)) return here;
  int n = slash ? (int)(slash - model_path) : 1;
  const char *beside = xlm_arena_printf(a, "%.*s/../clusters/%s%s", n, slash ? model_path : ".", name, dot);
  if (!access(beside, R_OK)) return beside;
  const char *shipped = xlm_arena_printf(a, "%s/clusters/%s%s", xlm_share_folder(a), name, dot);
  return access(shipped, R_OK) ? name : shipped;
}

xlm_status xlm_request_cluster(xlm_arena *a, const char *model_path, const char *name, xlm_cluster *out,
                               xlm_error *err) {
  xlm_map m;
  const char *path = cluster_path(a, model_path, name);
  static const char *const shipped[] = {"h100", "h200", "a100", "b200", "cpu"};
  if (access(path, R_OK)) {
    int why = errno;
    const char *near = xlm_text_nearest(name, shipped, sizeof shipped / sizeof *shipped);
    if (near)
      return xlm_fail(err, XLM_USER, "--cluster: there is no cluster `%s`; did you mean `%s`?", name, near);
    return xlm_fail(err, XLM_USER,
                    "--cluster: cannot read `%s`: %s; clusters/ has h100, h200, a100, b200 and cpu", path,
                    strerror(why));
  }
  XLM_TRY(xlm_map_open(path, &m, err));
  xlm_status s = xlm_cluster_read(a, path, (const char *)m.data, m.n, out, err);
  xlm_map_close(&m);
  return s;
}
