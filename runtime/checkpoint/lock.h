// One run at a time writes into a folder of checkpoints.
#ifndef XLM_CHECKPOINT_LOCK_H
#define XLM_CHECKPOINT_LOCK_H

#include "runtime/base/status.h"

// Locks the folder until xlm_lock_release or the end of the process, however it ends; *lock is -1 where the
// file system has no locks. By one process of a run. XLM_USER names the run that has it.
xlm_status xlm_lock_take(const char *dir, int *lock, xlm_error *err) XLM_MUST_CHECK;
void xlm_lock_release(int lock);

#endif
