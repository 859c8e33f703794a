// The training runs below a folder, and their checkpoints.
#ifndef XLM_WATCHING_LIST_H
#define XLM_WATCHING_LIST_H

#include "tools/watching/run.h"

typedef struct xlm_listed_checkpoint {
  const char *path;
  int64_t step;
  uint64_t bytes;  // of all its files
  double time;     // when it was written, in seconds since 1970
  double val_loss; // of that step; NaN: not evaluated
  bool best;       // the link `best` leads to it
} xlm_listed_checkpoint;

typedef struct xlm_listed_run {
  xlm_run *run;
  xlm_listed_checkpoint *checkpoints; // newest first
  uint32_t n_checkpoints;
  uint64_t bytes; // of the checkpoints
  double time;    // of its last step or checkpoint; NaN: none
} xlm_listed_run;

typedef struct xlm_run_list {
  xlm_listed_run *at; // in the order of their paths
  uint32_t n, cap;
  const char **notes; // folders that could not be read, a sentence each
  uint32_t n_notes, cap_notes;
} xlm_run_list;

enum { XLM_LIST_DEPTH = 3 }; // folders below the given one

// Adds the folder, if it is a run, and the runs below it; hidden folders and checkpoints are left out.
// XLM_USER when it cannot be read.
xlm_status xlm_run_list_add(xlm_arena *a, const char *dir, xlm_run_list *out, xlm_error *err) XLM_MUST_CHECK;

#endif
