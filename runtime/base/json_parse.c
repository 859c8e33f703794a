// See json_parse.h. A refused request for memory ends reading at once: the library's lexer goes on without
// the character that had no room, and then finds the end of a string where there is none. So what the library
// got for a text is listed while the text is read, and released together.
#include "runtime/base/json_parse.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>

#include "runtime/base/map.h"

static _Thread_local struct {
  bool reading;
  void **block; // NULL where one was released
  size_t n, room;
  jmp_buf refused;
} reader;

static bool listed(void *p) {
  if (reader.n == reader.room) {
    size_t room = reader.room ? 2 * reader.room : 256;
    void **more = realloc(reader.block, room * sizeof *more);
    if (!more) return false;
    reader.block = more, reader.room = room;
  }
  reader.block[reader.n++] = p;
  return true;
}

static void *request(size_t n) {
  void *p = malloc(n);
  if (!reader.reading || (p && listed(p))) return p;
  free(p);
  longjmp(reader.refused, 1);
}

static void release(void *p) {
  if (reader.reading && p) {
    size_t i = reader.n; // most are among the last
    while (i && reader.block[i - 1] != p) i--;
    if (i) reader.block[i - 1] = NULL;
    while (reader.n && !reader.block[reader.n - 1]) reader.n--;
  }
  free(p);
}

static void set_functions(void) {
  json_set_alloc_funcs(request, release);
}

static void finish(bool keep) {
  for (size_t i = 0; i < reader.n && !keep; i++) free(reader.block[i]);
  free(reader.block);
  reader.block = NULL, reader.n = reader.room = 0, reader.reading = false;
}

xlm_status xlm_json_parse(const char *text, size_t n, size_t flags, const char *name, json_t **out,
                          xlm_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  json_error_t where;
  *out = NULL;
  pthread_once(&once, set_functions);
  reader.reading = true;
  if (setjmp(reader.refused)) {
    finish(false);
    return xlm_fail(err, XLM_ENV, "no memory to read '%s'", name);
  }
  *out = json_loadb(text, n, flags, &where);
  finish(true);
  if (*out) return XLM_OK;
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
