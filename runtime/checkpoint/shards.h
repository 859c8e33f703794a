// The files of a checkpoint's tensors, and the process that writes each.
//
// A file contains whole logical tensors, so that it does not depend on the layout. Shard k is a file of
// parameters and one of other states; shards are about equal in bytes and are written in parallel: by a
// process each if there are several, else by a thread each.
#ifndef XLM_CHECKPOINT_SHARDS_H
#define XLM_CHECKPOINT_SHARDS_H

#include "runtime/checkpoint/blocks.h"
#include "runtime/interchange/weights.h"

typedef struct xlm_shard_file {
  char name[64]; // "": no such file
  int *tensors;  // ascending
  int n;
  uint64_t bytes;      // of the tensors
  uint64_t size, hash; // of the file, after it is written
  xlm_blocks blocks;   // of the file, too
} xlm_shard_file;

typedef struct xlm_shard {
  int64_t process; // the one that writes it
  xlm_shard_file files[XLM_WEIGHTS_PARTS];
} xlm_shard;

typedef struct xlm_shards {
  xlm_shard *at;
  int n;
} xlm_shards;

// n: 0 = one per XLM_SHARD_BYTES, but at most one per rank. block_bytes: bytes per checksum. The result is
// the same on every process.
enum { XLM_SHARD_BYTES = 64 << 20 };
xlm_shards xlm_shards_new(xlm_arena *a, const xlm_weights *w, const xlm_store *s, int n, int64_t ranks,
                          uint64_t block_bytes);
const char *xlm_shards_part_name(xlm_weights_part part); // "model", "optimizer"
// The index of a part with several files.
void xlm_shards_print_index(const xlm_shards *s, const xlm_weights *w, xlm_weights_part part, xlm_text *out);
int xlm_shards_files(const xlm_shards *s, xlm_weights_part part);

// ---- collecting and writing ----

// Destination of a shard's chunks: its files in `folder`, or memory, to be written later.
typedef struct xlm_shard_sink {
  const char *folder;
  char *image; // files[].bytes bytes each, consecutively; NULL: into the files
} xlm_shard_sink;

// In a run of several processes all call it together, each with the sink of its own shard (NULL: it writes
// none).
xlm_status xlm_shards_collect(xlm_shards *s, const xlm_weights *w, const xlm_store *store,
                              const xlm_shard_sink *sink, xlm_error *err) XLM_MUST_CHECK;
// Collects one shard of a store that is entirely in this process.
xlm_status xlm_shard_collect(xlm_shard *shard, const xlm_weights *w, const xlm_store *store,
                             size_t chunk_bytes, const xlm_shard_sink *sink, xlm_error *err) XLM_MUST_CHECK;
// Writes the files from the image.
xlm_status xlm_shard_write(xlm_shard *shard, const xlm_weights *w, const xlm_shard_sink *sink,
                           xlm_error *err) XLM_MUST_CHECK;
size_t xlm_shards_chunk_bytes(const xlm_shards *s);

#endif
