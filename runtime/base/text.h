// Text: a growing string in an arena, for dumps, reports and messages.
#ifndef XLM_BASE_TEXT_H
#define XLM_BASE_TEXT_H

#include <stdint.h>

#include "runtime/base/arena.h"

XLM_C_BEGIN

typedef struct xlm_text {
  xlm_arena *arena;
  char *data; // NUL-terminated; "" while empty
  size_t n, cap;
} xlm_text;

xlm_text xlm_text_new(xlm_arena *a);
void xlm_text_add(xlm_text *t, const char *s);
void xlm_text_addn(xlm_text *t, const char *s, size_t n);
void xlm_text_add_html(xlm_text *t, const char *s); // as content of an element: < and & are escaped
void xlm_text_printf(xlm_text *t, const char *fmt, ...) XLM_PRINTF(2, 3);
// Length of the UTF-8 character at s, at most n; 0: invalid (a lone or missing continuation, an overlong
// form, a surrogate, beyond U+10FFFF).
size_t xlm_text_character(const unsigned char *s, size_t n);
void xlm_text_pad(xlm_text *t, size_t column); // spaces until the current line has `column` characters
// The shortest decimal text that reads back as the same double ("0.1", "1e-05", "nan", "inf").
void xlm_text_double(xlm_text *t, double x);
// "12.34 GiB", "1.56 B" (parameters), "13,120": for display, not for parsing.
const char *xlm_text_bytes(xlm_arena *a, uint64_t bytes);
const char *xlm_text_count(xlm_arena *a, double n);
const char *xlm_text_thousands(xlm_arena *a, int64_t n);
const char *xlm_text_plural(xlm_arena *a, int64_t n, const char *noun); // "1 microbatch", "1,024 ranks"

// Edit distance (insert, delete, substitute, swap neighbours) of at most 63 characters each; for suggestions.
int xlm_text_distance(const char *a, const char *b);
// The candidate nearest to `name` if close enough for a likely typo (distance <= max(1, len/3)), else NULL.
const char *xlm_text_nearest(const char *name, const char *const *candidates, size_t n);

XLM_C_END

#endif
