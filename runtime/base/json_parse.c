// See json_parse.h. The library's requests for memory go through a function that notes, by thread, that one
// was refused.
#include "runtime/base/json_parse.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "runtime/base/map.h"

static _Thread_local bool refused;

static void *request(size_t n) {
  void *p = malloc(n);
  if (!p) refused = true;
  return p;
}

static void set_functions(void) {
  json_set_alloc_funcs(request, free);
}

xlm_status xlm_json_parse(const char *text, size_t n, size_t flags, const char *name, json_t **out,
                          xlm_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  json_error_t where;
  pthread_once(&once, set_functions);
  refused = false;
  *out = json_loadb(text, n, flags, &where);
  if (!refused && *out) return XLM_OK;
  json_decref(*out); // where memory was refused, it may lack a part
  *out = NULL;
  if (refused) return xlm_fail(err, XLM_ENV, "no memory to read '%s'", name);
  return xlm_fail(err, XLM_USER, "line %d, column %d: %s", where.line, where.column, where.text);
}

xlm_status xlm_json_parse_file(const char *path, size_t flags, json_t **out, xlm_error *err) {
  xlm_map map;
  *out = NULL;
  XLM_TRY(xlm_map_open(path, &map, err));
  xlm_status s = xlm_json_parse((const char *)map.data, map.n, flags, path, out, err);
  xlm_map_close(&map);
  return s == XLM_USER ? xlm_fail_in(err, "'%s' cannot be read", path) : s;
}
