// A checkpoint's files are checked as they are read: block by block, each block once.
#ifndef XLM_CHECKPOINT_VERIFY_H
#define XLM_CHECKPOINT_VERIFY_H

#include "runtime/checkpoint/manifest.h"
#include "runtime/interchange/safetensors.h"

typedef struct xlm_verifier {
  const xlm_manifest *manifest;
  unsigned char **checked; // by file, a byte per block; NULL: it has no blocks, or was checked whole
  uint64_t *read;          // += bytes
  bool *damaged;           // a block was not what was written
} xlm_verifier;

// In the arena; all that it points to must live on.
xlm_verifier *xlm_verifier_new(xlm_arena *a, const xlm_manifest *m, uint64_t *read, bool *damaged);
xlm_st_check xlm_verifier_check(xlm_verifier *v); // XLM_USER where the file is damaged

#endif
