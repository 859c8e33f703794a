// Saved plans, as `xlmc plan --format json` writes them. The file is untrusted: the reader checks all
// references, and the verifier checks all ranks together, before the plan is used.
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "compiler/verify/verify_plan.h"
#include "runtime/base/map.h"
#include "tools/common/request.h"

static bool ends_with(const char *path, const char *end) {
  size_t n = strlen(path), m = strlen(end);
  return n > m && !strcmp(path + n - m, end);
}

static bool begins_as_json(const char *path) {
  struct stat st;
  if (stat(path, &st) || !S_ISREG(st.st_mode)) return false;
  FILE *f = fopen(path, "rb");
  if (!f) return false;
  int c;
  do c = fgetc(f);
  while (c != EOF && isspace(c));
  fclose(f);
  return c == '{';
}

bool xlm_plan_file_is(const char *path) {
  return ends_with(path, ".json") || (!ends_with(path, ".xlm") && begins_as_json(path));
}

static xlm_status read_verified(xlm_arena *a, const char *path, const xlm_map *m, const xlm_plan **out,
                                xlm_error *err) {
  if (xlm_plan_read_json(a, (const char *)m->data, m->n, out, err) != XLM_OK)
    return xlm_fail_in(err, "'%s'", path);
  xlm_plan_check check = xlm_plan_verify_saved(*out, a);
  if (check.text) return xlm_fail(err, XLM_USER, "'%s': the plan was rejected: %s", path, check.text);
  return XLM_OK;
}

xlm_status xlm_plan_file_read(xlm_arena *a, const char *path, const xlm_plan **out, xlm_error *err) {
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, err));
  xlm_status s = read_verified(a, path, &m, out, err);
  xlm_map_close(&m);
  return s;
}
