// The live line: the last line of a terminal, rewritten while a run goes on. Lines of text are printed above
// it and stay. One per process, on standard error; without a terminal that can rewrite a line (a file, a
// pipe, TERM=dumb) there is none, and a phase that takes long is said in plain lines now and then.
#ifndef XLM_XLMRUN_LIVE_H
#define XLM_XLMRUN_LIVE_H

#include <stdbool.h>

#include "runtime/base/status.h"

// silent: shows nothing (not the process that reports). Starts a thread; without one phases show no seconds.
void live_open(bool silent);
void live_close(void); // clears the line; may be called at any time, also again
bool live_is_shown(void);
int live_width(void); // columns of a line that does not wrap; for a file or pipe 200

// What begins now; shown with its seconds until the next phase, line or text. A string that stays.
void live_phase(const char *what);
// Replaces the live line, at most ten times a second.
void live_line(const char *text);
// Prints a line on standard output, where the live line was; the next text comes below it.
void live_print(const char *fmt, ...) XLM_PRINTF(1, 2);
// Clears the live line for text that is printed by other means.
void live_clear(void);

#endif
