// The files that come with xlm: models with their blocks, and descriptions of clusters
// and evaluation tasks.
#ifndef XLM_BASE_SHARE_H
#define XLM_BASE_SHARE_H

#include "runtime/base/arena.h"

XLM_C_BEGIN

// The folder that has models/ and clusters/: share/xlm beside the folder of the executable, wherever that was
// moved to; else the source tree from which it was built. Absolute.
const char *xlm_share_folder(xlm_arena *a);
// The folder of the shipped models: XLM_MODELS of the environment, else models/ of xlm_share_folder.
const char *xlm_share_models(xlm_arena *a);
// A program that is started by others: libexec/xlm/NAME. NULL: it is not installed.
const char *xlm_share_program(xlm_arena *a, const char *name);

XLM_C_END

#endif
