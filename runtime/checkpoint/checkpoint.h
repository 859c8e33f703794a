// Checkpoints: folders that hold everything a run needs to go on, and everything another tool needs to use
// the weights.
//
//   DIR/step-00000100/model.safetensors      parameters, under the names of the model's `weights` section
//                     optimizer.safetensors  all other saved states, under their own names; large ones are
//                     several
//                                            files, model-00001-of-00004.safetensors, and an index
//                     config.json            sizes and settings as Hugging Face's readers expect them
//                     model.xlm              the model text
//                     manifest.json          position, seed, settings, plan; size and XXH64 of every file and
//                                            of the blocks of large ones; its own checksum
//
// A checkpoint is written to a temporary sibling, synced and renamed, so a folder of that name is complete.
// What a process reads it checks, and nothing else: tensors block by block, so all processes together check
// each byte that they load. Tensors are logical: any layout resumes any checkpoint.
#ifndef XLM_CHECKPOINT_CHECKPOINT_H
#define XLM_CHECKPOINT_CHECKPOINT_H

#include "runtime/state/store.h"

typedef struct xlm_checkpoint_setting {
  const char *key, *value;
} xlm_checkpoint_setting;

typedef struct xlm_checkpoint_info {
  int64_t step, tokens, samples; // done so far; samples is the position in the data
  uint64_t seed;
  const char *model_path, *model_text, *text_hash, *plan_hash; // plan_hash: for information
  const xlm_checkpoint_setting *settings;
  int n_settings;
} xlm_checkpoint_info;

// ---- saving ----

typedef struct xlm_saver xlm_saver;

typedef struct xlm_saver_options {
  const char *dir;      // checkpoints are DIR/step-NNNNNNNN
  int keep;             // so many, the newest; 0 = all
  int shards;           // files of tensors that are written at once; 0 = by size, at most one per rank
  bool async;           // states are copied and written behind the training
  uint64_t block_bytes; // that one checksum covers; 0 = XLM_BLOCK_BYTES
} xlm_saver_options;

// Strings must live on, and so must store and plan. Memory for the copies of an asynchronous saver is taken
// here: xlm_saver_bytes, in this process.
xlm_status xlm_saver_open(const xlm_store *store, const xlm_plan *p, const xlm_saver_options *o,
                          xlm_saver **out, xlm_error *err) XLM_MUST_CHECK;
// Waits for what is being written.
void xlm_saver_close(xlm_saver *s);
uint64_t xlm_saver_bytes(const xlm_saver *s);
// By all processes of a run together. When it returns the states may change again; an asynchronous save goes
// on, and the next one may not begin before xlm_saver_poll has told its end.
xlm_status xlm_saver_start(xlm_saver *s, const xlm_checkpoint_info *info, xlm_error *err) XLM_MUST_CHECK;
// By all processes together. Has the save ended since the last time? Then *path is the checkpoint, whole and
// durable; else NULL. wait: not before it has. What failed behind the training fails here, on every process.
xlm_status xlm_saver_poll(xlm_saver *s, bool wait, const char **path, xlm_error *err) XLM_MUST_CHECK;
// What could not be done that does not matter for the checkpoint: an old one that stays. Once; "" = nothing.
const char *xlm_saver_note(const xlm_saver *s);

// One save, at once.
xlm_status xlm_checkpoint_save(const xlm_store *s, const xlm_plan *p, const char *dir,
                               const xlm_checkpoint_info *info, int keep, char path[4096],
                               xlm_error *err) XLM_MUST_CHECK;

// ---- reading ----

typedef struct xlm_checkpoint {
  xlm_arena *arena;
  const char *path;
  xlm_checkpoint_info info;
  const char *notes;             // what was skipped and why, one line each; "" when nothing was
  int64_t among;                 // of a folder's steps, opened as the newest of them; -1: it was named itself
  bool damaged;                  // found when it was loaded, by any process
  uint64_t read;                 // bytes of its files that this process has read and checked
  struct xlm_verifier *verifier; // of those files
} xlm_checkpoint;

#define XLM_ANY_STEP INT64_MAX
// path: a checkpoint, or a folder of them: then the newest one, of a step before `before`, whose files are
// there with the right sizes and headers. XLM_USER when there is none.
xlm_status xlm_checkpoint_open(const char *path, int64_t before, xlm_checkpoint **out,
                               xlm_error *err) XLM_MUST_CHECK;
void xlm_checkpoint_close(xlm_checkpoint *c);
const char *xlm_checkpoint_setting_of(const xlm_checkpoint *c, const char *key); // NULL when absent
bool xlm_checkpoint_exists(const char *dir); // does the folder hold (what looks like) a checkpoint?
// Removes all checkpoints in the folder.
xlm_status xlm_checkpoint_clear(const char *dir, xlm_error *err) XLM_MUST_CHECK;

// Reads all saved states; weights_only: not those of the optimizer. By all processes of the store together:
// where what one of them reads is not what was written, it fails on all of them, with c->damaged.
xlm_status xlm_checkpoint_load(xlm_checkpoint *c, const xlm_store *s, const xlm_plan *p, bool weights_only,
                               xlm_error *err) XLM_MUST_CHECK;
// Opens and loads; of a folder, older ones take the place of damaged ones. *out NULL when it fails.
xlm_status xlm_checkpoint_load_newest(const char *path, const xlm_store *s, const xlm_plan *p,
                                      bool weights_only, xlm_checkpoint **out, xlm_error *err) XLM_MUST_CHECK;

#endif
