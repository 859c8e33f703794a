// The watchdog: a thread that reports where the ranks are when they do not return.
//
// If ranks are threads: when a run has failed and a rank is stuck in a computation (a thread cannot be ended
// from outside), it reports this and ends the process. If ranks are processes: when the run was asked to stop
// and the step does not end, it reports once, because a launcher that ends a job after the death of a rank
// gives the others only a second.
#ifndef XLM_XLMRUN_WATCHDOG_H
#define XLM_XLMRUN_WATCHDOG_H

#include <signal.h>

#include "runtime/exec/team.h"

typedef struct watchdog watchdog;

watchdog *watchdog_start(xlm_team *team, double patience_s); // NULL: not needed, or no thread available
// told: the flag that a signal handler sets to request a stop. May be called while the watchdog runs.
void watchdog_heeds(watchdog *w, const volatile sig_atomic_t *told); // w may be NULL
void watchdog_stop(watchdog *w);

#endif
