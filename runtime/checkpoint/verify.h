// Verifies a checkpoint's files as they are read: block by block, each block once.
#ifndef XLM_CHECKPOINT_VERIFY_H
#define XLM_CHECKPOINT_VERIFY_H

#include "runtime/checkpoint/manifest.h"
#include "runtime/interchange/safetensors.h"

typedef struct xlm_verifier {
  const xlm_manifest *manifest;
  unsigned char **checked; // by file, one byte per block; NULL: no blocks, or already verified
  uint64_t *read;          // += bytes
  bool *damaged;           // set when a block is damaged
} xlm_verifier;

// Allocated in the arena; everything it points to must outlive it.
xlm_verifier *xlm_verifier_new(xlm_arena *a, const xlm_manifest *m, uint64_t *read, bool *damaged);
xlm_st_check xlm_verifier_check(xlm_verifier *v); // XLM_USER if the file is damaged

#endif
