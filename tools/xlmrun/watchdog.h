// The watchdog: another thread that says where the ranks stand when they do not come back.
//
// Of ranks that are threads: when a run has failed and one of them is stuck in a computation (a thread cannot
// be ended from outside), it tells and ends the process. Of ranks that are processes: when the run was told
// to stop and the step does not end, it tells, once: the launcher ends a job so when a rank has died, and
// gives the others a second.
#ifndef XLM_XLMRUN_WATCHDOG_H
#define XLM_XLMRUN_WATCHDOG_H

#include <signal.h>

#include "runtime/exec/team.h"

typedef struct watchdog watchdog;

watchdog *watchdog_start(xlm_team *team, double patience_s); // NULL: not needed, or no thread to be had
// Told to stop: where a signal handler leaves its word. May be set while the watchdog runs.
void watchdog_heeds(watchdog *w, const volatile sig_atomic_t *told); // w may be NULL
void watchdog_stop(watchdog *w);

#endif
