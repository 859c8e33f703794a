// Signals end a run after its step; a second one at once.
#ifndef XLM_XLMRUN_SIGNALS_H
#define XLM_XLMRUN_SIGNALS_H

#include <signal.h>

#include "tools/xlmrun/session.h"

// From now on. Returns what a signal sets. The session's watchdog then heeds it, too.
volatile sig_atomic_t *signals_catch(const session *s);
// The ranks are about to be closed: a signal no longer says where they are.
void signals_leave(void);

#endif
