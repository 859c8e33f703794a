// See json_parse.h. A refused request for memory ends reading at once: the library's lexer goes on without
// the character that had no room, and then finds the end of a string where there is none. So blocks know, by
// thread, the others of the text that is being read, and are released together.
#include "runtime/base/json_parse.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>

#include "runtime/base/map.h"

typedef struct block { // before what the library gets; a pair of pointers, so that the alignment is kept
  struct block *before, *after; // of the text that is being read, in a ring; NULL: of none
} block;

static _Thread_local struct {
  bool reading;
  block ring;
  jmp_buf refused;
} reader;

static void *request(size_t n) {
  block *b = n <= SIZE_MAX - sizeof *b ? malloc(sizeof *b + n) : NULL;
  if (!b && reader.reading) longjmp(reader.refused, 1);
  if (!b) return NULL;
  *b = (block){NULL, NULL};
  if (reader.reading) {
    *b = (block){&reader.ring, reader.ring.after};
    b->before->after = b->after->before = b;
  }
  return b + 1;
}

static void take_out(block *b) {
  b->before->after = b->after, b->after->before = b->before;
  *b = (block){NULL, NULL};
}

static void release(void *p) {
  if (!p) return;
  block *b = (block *)p - 1;
  if (b->before) take_out(b);
  free(b);
}

// Before main, since what one pair of functions gives the other cannot release.
__attribute__((constructor)) static void set_functions(void) {
  json_set_alloc_funcs(request, release);
}

static void finish(bool keep) {
  for (block *b; (b = reader.ring.after) != &reader.ring;) {
    take_out(b);
    if (!keep) free(b);
  }
  reader.reading = false;
}

xlm_status xlm_json_parse(const char *text, size_t n, size_t flags, const char *name, json_t **out,
                          xlm_error *err) {
  json_error_t where;
  *out = NULL;
  reader.ring = (block){&reader.ring, &reader.ring};
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
