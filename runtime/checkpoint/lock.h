// Only one run at a time may write to a folder of checkpoints.
#ifndef XLM_CHECKPOINT_LOCK_H
#define XLM_CHECKPOINT_LOCK_H

#include <stdbool.h>

#include "runtime/base/status.h"

// Locks the folder until xlm_lock_release or the end of the process; *lock is -1 if the file system has no
// locks. To be called by one process of a run. XLM_USER names the run that holds the lock.
xlm_status xlm_lock_take(const char *dir, int *lock, xlm_error *err) XLM_MUST_CHECK;
void xlm_lock_release(int lock);
// Does a run write to the folder now? False where it cannot be known.
bool xlm_lock_is_held(const char *dir);

#endif
