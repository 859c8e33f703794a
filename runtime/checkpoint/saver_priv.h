// Shared by saver.c (the steps of a save) and save_folder.c (folders and small files).
#ifndef XLM_CHECKPOINT_SAVER_PRIV_H
#define XLM_CHECKPOINT_SAVER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/shards.h"

typedef enum xlm_saver_state {
  XLM_SAVER_IDLE,
  XLM_SAVER_COLLECTED, // all states are in files
  XLM_SAVER_WRITING,   // a thread writes them
  XLM_SAVER_SAVED,     // process 0 has renamed the folder; to be reported
} xlm_saver_state;

enum { XLM_SAVER_DIR = 3900 };

struct xlm_saver {
  xlm_arena *arena;
  const xlm_store *store;
  const xlm_plan *plan;
  xlm_saver_options options;
  xlm_weights *weights;
  xlm_shards shards;
  char **images; // by shard, of those that this process writes; NULL: synchronous
  uint64_t image_bytes;

  xlm_saver_state state;
  xlm_checkpoint_info info;
  char writing[4096], final[4352]; // the temporary folder, and its final name
  pthread_t thread;
  atomic_bool over;   // the thread has finished
  xlm_status written; // of the thread
  xlm_error err;
  char note[1024]; // for the user; ""
  bool noted;      // was returned
};

void xlm_saver_set_paths(xlm_saver *s);
xlm_status xlm_saver_make_folder(xlm_saver *s, xlm_error *err) XLM_MUST_CHECK;
// Requires all files of tensors: writes the small ones, renames, and removes old checkpoints.
xlm_status xlm_saver_finish(xlm_saver *s, xlm_error *err) XLM_MUST_CHECK;
void xlm_saver_abandon(xlm_saver *s); // after a failure: cleans up; the saver cannot be used again

#endif
