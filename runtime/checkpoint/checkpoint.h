// Checkpoints: folders with everything needed to resume a run, and to use the weights in other tools.
//
// DIR/step-00000100/:
//   model.safetensors      parameters, under the names of the model's `weights` section
//   optimizer.safetensors  all other saved states, under their own names
//   config.json            sizes and settings as Hugging Face's readers expect them
//   model.xlm              the model text
//   tokenizer.json, ..     the tokenizer, if the run has one
//   manifest.json          position, seed, settings, plan; size and XXH64 of every file, and of large ones
//                          also of their blocks; its own checksum
// DIR/best                 with keep_best, a link to the checkpoint with the lowest validation loss
//
// Large tensors' files are several, model-00001-of-00004.safetensors, and an index.
//
// A checkpoint is written to a temporary sibling, synced and renamed, so a folder of that name is complete. A
// process verifies exactly what it reads, tensors block by block, so all processes together verify each byte
// that they load. Tensors are logical: any layout can resume any checkpoint.
#ifndef XLM_CHECKPOINT_CHECKPOINT_H
#define XLM_CHECKPOINT_CHECKPOINT_H

#include "runtime/interchange/config_json.h"
#include "runtime/state/store.h"

typedef struct xlm_checkpoint_setting {
  const char *key, *value;
} xlm_checkpoint_setting;

// The lowest validation loss of the run so far.
typedef struct xlm_best {
  double loss;
  int64_t step;  // of that evaluation; 0: there was none yet
  int64_t since; // evaluations after it
} xlm_best;

typedef struct xlm_checkpoint_info {
  int64_t step, tokens, samples; // done so far; samples is the position in the data
  uint64_t seed;
  const char *model_path, *model_text, *text_hash, *plan_hash; // plan_hash: for information
  const xlm_checkpoint_setting *settings;
  int n_settings;
  xlm_best best;
} xlm_checkpoint_info;

// ---- saving ----

typedef struct xlm_saver xlm_saver;

typedef struct xlm_checkpoint_file { // a small file that every checkpoint has, such as a tokenizer
  const char *name, *bytes;
  size_t n;
} xlm_checkpoint_file;

typedef struct xlm_saver_options {
  const char *dir;      // checkpoints are DIR/step-NNNNNNNN
  int keep;             // number of newest checkpoints to keep; 0 = all
  int shards;           // files of tensors written in parallel; 0 = by size, at most one per rank
  bool async;           // states are copied and written during training
  bool keep_best;       // the checkpoint of info.best.step is kept, too, and a link DIR/best leads to it
  uint64_t block_bytes; // bytes per checksum; 0 = XLM_BLOCK_BYTES
  const xlm_checkpoint_file *files;
  int n_files;
  const xlm_config_tokens *tokens; // of the tokenizer among these files; NULL: there is none
} xlm_saver_options;

// Strings, store and plan must outlive the saver. An asynchronous saver allocates memory for its copies here:
// xlm_saver_bytes, in this process.
xlm_status xlm_saver_open(const xlm_store *store, const xlm_plan *p, const xlm_saver_options *o,
                          xlm_saver **out, xlm_error *err) XLM_MUST_CHECK;
// Waits for a save in progress.
void xlm_saver_close(xlm_saver *s);
uint64_t xlm_saver_bytes(const xlm_saver *s);
// To be called by all processes of a run together. The states may change again when it returns. An
// asynchronous save continues; the next one may not start before xlm_saver_poll has reported its end.
xlm_status xlm_saver_start(xlm_saver *s, const xlm_checkpoint_info *info, xlm_error *err) XLM_MUST_CHECK;
// To be called by all processes together. If the save has ended since the last call, *path is the checkpoint,
// complete and durable; else NULL. wait: waits for the end. A failure of an asynchronous save is returned
// here, on every process.
xlm_status xlm_saver_poll(xlm_saver *s, bool wait, const char **path, xlm_error *err) XLM_MUST_CHECK;
// Failures that do not affect the checkpoint: an old one that could not be removed. Reported once; "" = none.
const char *xlm_saver_note(const xlm_saver *s);

// A synchronous save.
xlm_status xlm_checkpoint_save(const xlm_store *s, const xlm_plan *p, const char *dir,
                               const xlm_checkpoint_info *info, int keep, char path[4096],
                               xlm_error *err) XLM_MUST_CHECK;

// ---- reading ----

typedef struct xlm_checkpoint {
  xlm_arena *arena;
  const char *path;
  xlm_checkpoint_info info;
  const char *notes;             // skipped checkpoints and the reasons, one per line; "" if none
  int64_t among;                 // of a folder's steps, if opened as the newest of them; -1: named directly
  bool damaged;                  // set when any process finds damage while loading
  uint64_t read;                 // bytes of its files that this process has read and verified
  struct xlm_verifier *verifier; // of those files
} xlm_checkpoint;

#define XLM_ANY_STEP INT64_MAX
// path: a checkpoint, or a folder of them: then the newest one of a step before `before` whose files exist
// with the right sizes and headers. XLM_USER when there is none.
xlm_status xlm_checkpoint_open(const char *path, int64_t before, xlm_checkpoint **out,
                               xlm_error *err) XLM_MUST_CHECK;
void xlm_checkpoint_close(xlm_checkpoint *c);
const char *xlm_checkpoint_setting_of(const xlm_checkpoint *c, const char *key); // NULL: not set
bool xlm_checkpoint_exists(const char *dir); // does the folder contain (what looks like) a checkpoint?
// Removes all checkpoints in the folder.
xlm_status xlm_checkpoint_clear(const char *dir, xlm_error *err) XLM_MUST_CHECK;

// Reads all saved states; weights_only: except those of the optimizer. To be called by all processes of the
// store together: if one of them reads damaged data, it fails on all of them, with c->damaged.
xlm_status xlm_checkpoint_load(xlm_checkpoint *c, const xlm_store *s, const xlm_plan *p, bool weights_only,
                               xlm_error *err) XLM_MUST_CHECK;
// Opens and loads; in a folder, falls back from damaged checkpoints to older ones. *out NULL on failure.
xlm_status xlm_checkpoint_load_newest(const char *path, const xlm_store *s, const xlm_plan *p,
                                      bool weights_only, xlm_checkpoint **out, xlm_error *err) XLM_MUST_CHECK;

#endif
