// manifest.json of a checkpoint.
#ifndef XLM_CHECKPOINT_MANIFEST_H
#define XLM_CHECKPOINT_MANIFEST_H

#include "runtime/checkpoint/checkpoint.h"

typedef struct xlm_manifest_file {
  const char *name;
  uint64_t size, hash;
} xlm_manifest_file;

void xlm_manifest_print(const xlm_checkpoint_info *info, const xlm_manifest_file *files, int n,
                        xlm_text *out);

// Reads and checks the manifest of the checkpoint at `path`: its own checksum, and size and checksum of each
// file.
xlm_status xlm_manifest_read(xlm_arena *a, const char *path, xlm_checkpoint_info *out,
                             xlm_error *err) XLM_MUST_CHECK;

#endif
