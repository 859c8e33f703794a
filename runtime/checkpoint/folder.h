// The folder of checkpoints: names and contents.
#ifndef XLM_CHECKPOINT_FOLDER_H
#define XLM_CHECKPOINT_FOLDER_H

#include <stdint.h>

#include "runtime/base/status.h"

#define XLM_FOLDER_TEMPORARY ".writing-"
#define XLM_FOLDER_BEST "best" // a link to the checkpoint with the lowest validation loss

typedef struct xlm_folder {
  int64_t *step; // descending
  int n, cap;
} xlm_folder;

xlm_status xlm_folder_list(const char *dir, xlm_folder *out, xlm_error *err) XLM_MUST_CHECK;
void xlm_folder_free(xlm_folder *f);
void xlm_folder_path(const char *dir, int64_t step, char path[4352]);
void xlm_folder_remove_temporary(const char *dir); // left by a killed run

#endif
