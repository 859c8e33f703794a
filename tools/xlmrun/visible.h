// Text of any bytes made safe for a terminal.
#ifndef XLM_XLMRUN_VISIBLE_H
#define XLM_XLMRUN_VISIBLE_H

#include <stdbool.h>

#include "runtime/base/text.h"

// Appends s[0, n) with control characters other than newline and tab as \x1b and bytes that are not UTF-8 as
// U+FFFD. Returns how many bytes were taken: a character that is cut off at the end waits for more, unless
// `end`.
size_t visible_add(xlm_text *out, const char *s, size_t n, bool end);
// All of it on one line: newlines and tabs as \n and \t, too.
void visible_line(xlm_text *out, const char *s, size_t n);

#endif
