// What generate writes: text as it comes, up to a stop text, whole characters only.
#ifndef XLM_XLMRUN_WRITER_H
#define XLM_XLMRUN_WRITER_H

#include <stdbool.h>

#include "runtime/base/text.h"

typedef struct writer {
  xlm_text text;      // all that was generated
  size_t shown, from; // bytes written; where stop texts may begin
  const char *const *stops;
  int n_stops;
  bool terminal; // control characters are not written as they are
} writer;

void writer_open(writer *w, xlm_arena *a);
void writer_stop_at(writer *w, const char *const *stops, int n); // texts that are added from now on
// Adds text and writes what no stop text can take back. true: a stop text has appeared; it is not written.
bool writer_add(writer *w, const char *s, size_t n);
void writer_close(writer *w); // writes the rest, and a newline

#endif
