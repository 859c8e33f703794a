// What a standard stream is connected to, and text for it.
#ifndef XLM_TOOLS_TERMINAL_H
#define XLM_TOOLS_TERMINAL_H

#include <stdbool.h>

#include "runtime/base/text.h"

// Is text in colour wanted there? A terminal, unless TERM is dumb or unset or NO_COLOR is set (no-color.org).
bool xlm_terminal_color(int fd);
// Columns of a line there: of the terminal, which COLUMNS overrides; 0: it is no terminal.
int xlm_terminal_width(int fd);

// Text with every line of at most `width` columns (UTF-8 characters). Continued lines begin below the last
// column of the line: where the words after a gap of two or more blanks begin.
void xlm_terminal_wrap(const char *text, int width, xlm_text *out);
// The same for a report: rows of tables are cut after `width` columns, which `..` at their end shows, other
// lines are wrapped. A row is a line with three gaps beside another one.
void xlm_terminal_fit(const char *text, size_t n, int width, xlm_text *out);
// Prints help on standard output: wrapped to the terminal, else to 80 columns.
void xlm_terminal_help(xlm_arena *a, const char *text);

#endif
