// Between saver.c (the parts of a save) and save_folder.c (folders and small files).
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
  XLM_SAVER_SAVED,     // process 0 has renamed the folder; to be told
} xlm_saver_state;

enum { XLM_SAVER_DIR = 3900 };

struct xlm_saver {
  xlm_arena *arena;
  const xlm_store *store;
  const xlm_plan *plan;
  xlm_saver_options options;
  xlm_weights *weights;
  xlm_shards shards;
  char **images; // by shard, of those that this process writes; NULL: not asynchronous
  uint64_t image_bytes;

  xlm_saver_state state;
  xlm_checkpoint_info info;
  char writing[4096], final[4352]; // the temporary folder, and what it shall be called
  pthread_t thread;
  atomic_bool over;   // the thread has nothing more to do
  xlm_status written; // of the thread
  xlm_error err;
  char note[1024]; // what a person should know; ""
  bool noted;      // said once
};

void xlm_saver_set_paths(xlm_saver *s);
xlm_status xlm_saver_make_folder(xlm_saver *s, xlm_error *err) XLM_MUST_CHECK;
// All files of tensors are there: the small ones, the rename, the removal of old checkpoints.
xlm_status xlm_saver_finish(xlm_saver *s, xlm_error *err) XLM_MUST_CHECK;
void xlm_saver_abandon(xlm_saver *s); // the save has failed: clears away, and is ready for nothing more

#endif
