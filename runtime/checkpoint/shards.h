// The files that a checkpoint's tensors are in, and who writes which.
//
// A file holds whole logical tensors, never pieces that a layout would show in. Shard k is a file of
// parameters and one of other states; shards are about equal in bytes, and written at the same time: by a
// process each where there are several, else by a thread each.
#ifndef XLM_CHECKPOINT_SHARDS_H
#define XLM_CHECKPOINT_SHARDS_H

#include "runtime/checkpoint/blocks.h"
#include "runtime/interchange/weights.h"

typedef struct xlm_shard_file {
  char name[64]; // "": there is none
  int *tensors;  // ascending
  int n;
  uint64_t bytes;      // of the tensors
  uint64_t size, hash; // of the file, once it is written
  xlm_blocks blocks;   // of the file, too
} xlm_shard_file;

typedef struct xlm_shard {
  int64_t process; // that writes it
  xlm_shard_file files[XLM_WEIGHTS_PARTS];
} xlm_shard;

typedef struct xlm_shards {
  xlm_shard *at;
  int n;
} xlm_shards;

// n: 0 = one for every XLM_SHARD_BYTES, but no more than there are ranks. block_bytes: what one checksum
// covers. The same on every process.
enum { XLM_SHARD_BYTES = 64 << 20 };
xlm_shards xlm_shards_new(xlm_arena *a, const xlm_weights *w, const xlm_store *s, int n, int64_t ranks,
                          uint64_t block_bytes);
const char *xlm_shards_part_name(xlm_weights_part part); // "model", "optimizer"
// The index of a part that is in several files.
void xlm_shards_print_index(const xlm_shards *s, const xlm_weights *w, xlm_weights_part part, xlm_text *out);
int xlm_shards_files(const xlm_shards *s, xlm_weights_part part);

// ---- collecting and writing ----

// Where a shard's chunks go: into its files in `folder`, or into memory, to be written later.
typedef struct xlm_shard_sink {
  const char *folder;
  char *image; // of files[].bytes bytes each, one behind the other; NULL: into the files
} xlm_shard_sink;

// Of a run in several processes all call it together, each with its own shard's sink (NULL: it writes none).
xlm_status xlm_shards_collect(xlm_shards *s, const xlm_weights *w, const xlm_store *store,
                              const xlm_shard_sink *sink, xlm_error *err) XLM_MUST_CHECK;
// One shard of a store that is here whole.
xlm_status xlm_shard_collect(xlm_shard *shard, const xlm_weights *w, const xlm_store *store,
                             size_t chunk_bytes, const xlm_shard_sink *sink, xlm_error *err) XLM_MUST_CHECK;
// The files from the image.
xlm_status xlm_shard_write(xlm_shard *shard, const xlm_weights *w, const xlm_shard_sink *sink,
                           xlm_error *err) XLM_MUST_CHECK;
size_t xlm_shards_chunk_bytes(const xlm_shards *s);

#endif
