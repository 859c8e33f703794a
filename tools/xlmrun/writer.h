// Text as it comes, up to a stop text; on standard output whole characters only.
#ifndef XLM_XLMRUN_WRITER_H
#define XLM_XLMRUN_WRITER_H

#include <stdbool.h>

#include "runtime/base/text.h"

typedef struct writer {
  xlm_text text;      // all that was generated
  size_t shown, from; // bytes written; where stop texts may begin
  const char *const *stops;
  int n_stops;
  bool live;     // it is written as it comes
  bool terminal; // control characters are not written as they are
} writer;

void writer_open(writer *w, xlm_arena *a);
void writer_go_live(writer *w); // writes what there is, and from now on text as it comes
void writer_stop_at(writer *w, const char *const *stops, int n); // texts that are added from now on
// Adds text and, live, writes what no stop text can take back. true: a stop text has appeared; it and what
// follows are taken off.
bool writer_add(writer *w, const char *s, size_t n);
void writer_close(writer *w); // writes what was not yet written, and a newline

#endif
