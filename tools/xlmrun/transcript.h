// The text of a sequence as its tokens come: what is certain of it, up to a stop text.
#ifndef XLM_XLMRUN_TRANSCRIPT_H
#define XLM_XLMRUN_TRANSCRIPT_H

#include "tools/xlmrun/encoding.h"
#include "tools/xlmrun/writer.h"

typedef struct transcript {
  xlm_arena *arena;
  const encoding *encoding;
  writer out;          // all text; of plain numbers "9707 11 "
  size_t continuation; // where the text after the prompt begins
  int64_t told, since; // tokens whose text was added; where a text begins that they end
} transcript;

// Adds the prompt's text, from token `shown` on.
void transcript_open(transcript *t, xlm_arena *a, const encoding *e, const xlm_sequence *s, int64_t shown);
void transcript_stop_at(transcript *t, const char *const *stops, int n); // texts that end it from now on
bool transcript_add(transcript *t, const xlm_sequence *s); // its new tokens; true: a stop text has appeared
// Adds what waited for more. Not to be called after a stop text.
void transcript_end(transcript *t, const xlm_sequence *s);

#endif
