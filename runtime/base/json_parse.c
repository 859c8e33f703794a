// See json_parse.h. A refused request for memory ends reading at once: the library's lexer goes on without
// the character that had no room, and then finds the end of a string where there is none. So what the library
// got for a text is listed while the text is read, and released together.
#include "runtime/base/json_parse.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "runtime/base/map.h"

static _Thread_local struct {
  bool reading;
  void **block; // a hash table, at most half full; NULL: a free place
  size_t n, room;
  jmp_buf refused;
} reader;

static size_t next_place(size_t i) {
  return (i + 1) & (reader.room - 1);
}

static size_t first_place(const void *p) {
  return (size_t)(((uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15u) >> 32) & (reader.room - 1);
}

static size_t place_of(const void *p) { // where it is, or belongs
  size_t i = first_place(p);
  while (reader.block[i] && reader.block[i] != p) i = next_place(i);
  return i;
}

static bool grow(void) {
  void **old = reader.block;
  size_t n = reader.room, room = n ? 2 * n : 256;
  void **more = calloc(room, sizeof *more);
  if (!more) return false;
  reader.block = more, reader.room = room;
  for (size_t i = 0; i < n; i++)
    if (old[i]) more[place_of(old[i])] = old[i];
  free(old);
  return true;
}

static bool listed(void *p) {
  if (2 * reader.n >= reader.room && !grow()) return false;
  reader.block[place_of(p)] = p;
  reader.n++;
  return true;
}

static void unlist(const void *p) { // if it is there; what follows moves up, so that searches find it
  if (!reader.n) return;
  size_t i = place_of(p);
  if (!reader.block[i]) return;
  for (size_t j = next_place(i); reader.block[j]; j = next_place(j)) {
    size_t away = (j - first_place(reader.block[j])) & (reader.room - 1);
    if (away >= ((j - i) & (reader.room - 1))) reader.block[i] = reader.block[j], i = j;
  }
  reader.block[i] = NULL;
  reader.n--;
}

static void *request(size_t n) {
  void *p = malloc(n);
  if (!reader.reading || (p && listed(p))) return p;
  free(p);
  longjmp(reader.refused, 1);
}

static void release(void *p) {
  if (reader.reading && p) unlist(p);
  free(p);
}

static void set_functions(void) {
  json_set_alloc_funcs(request, release);
}

static void finish(bool keep) {
  for (size_t i = 0; i < reader.room && !keep; i++) free(reader.block[i]);
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
