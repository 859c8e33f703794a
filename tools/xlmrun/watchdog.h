// The watchdog of ranks that are threads: when a run has failed and one of them does not come back (it is
// stuck in a computation, and a thread cannot be ended from outside), it says where everybody stands and ends
// the process. Ranks that are processes need none: MPI ends them.
#ifndef XLM_XLMRUN_WATCHDOG_H
#define XLM_XLMRUN_WATCHDOG_H

#include "runtime/exec/team.h"

typedef struct watchdog watchdog;

watchdog *watchdog_start(xlm_team *team, double patience_s); // NULL: not needed, or no thread to be had
void watchdog_stop(watchdog *w);

#endif
