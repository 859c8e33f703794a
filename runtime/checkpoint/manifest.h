// manifest.json of a checkpoint.
#ifndef XLM_CHECKPOINT_MANIFEST_H
#define XLM_CHECKPOINT_MANIFEST_H

#include "runtime/checkpoint/blocks.h"
#include "runtime/checkpoint/checkpoint.h"

typedef struct xlm_manifest_file {
  const char *name;
  uint64_t size, hash;
  xlm_blocks blocks; // n = 0: none
} xlm_manifest_file;

typedef struct xlm_manifest {
  xlm_checkpoint_info info; // without the model text
  xlm_manifest_file *files;
  int n_files;
} xlm_manifest;

void xlm_manifest_print(const xlm_checkpoint_info *info, const xlm_manifest_file *files, int n,
                        xlm_text *out);

// Reads and verifies the manifest of the checkpoint at `path`: its own checksum, the size of each file, and
// the checksum of each file without blocks; *read += the bytes read. Files with blocks are verified as they
// are read (verify.h).
xlm_status xlm_manifest_read(xlm_arena *a, const char *path, xlm_manifest *out, uint64_t *read,
                             xlm_error *err) XLM_MUST_CHECK;

#endif
