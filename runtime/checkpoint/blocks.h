// Checksums of a file of tensors by block, so that a reader of a part can verify that part.
#ifndef XLM_CHECKPOINT_BLOCKS_H
#define XLM_CHECKPOINT_BLOCKS_H

#include "runtime/base/arena.h"
#include "runtime/base/hash.h"

enum { XLM_BLOCK_BYTES = 4 << 20 };

typedef struct xlm_blocks { // block 0 is the file's header, the others are its data
  uint64_t head;            // bytes of block 0
  uint64_t each;            // bytes of the others; the last one may be shorter
  int64_t n;
  uint64_t *hash; // XXH64, by block
} xlm_blocks;

xlm_blocks xlm_blocks_new(xlm_arena *a, uint64_t data_bytes, uint64_t each); // head is set later
int64_t xlm_blocks_count(uint64_t data_bytes, uint64_t each);
int64_t xlm_blocks_at(const xlm_blocks *b, uint64_t at); // the block that contains byte `at` of the file
// Block i of a file of `file_bytes` bytes.
void xlm_blocks_range(const xlm_blocks *b, uint64_t file_bytes, int64_t i, uint64_t *at, uint64_t *n);

// Hashes data as it is written, in any pieces.
typedef struct xlm_blocks_run {
  xlm_blocks *b;
  int64_t at; // block
  uint64_t used;
  xlm_hash hash;
} xlm_blocks_run;

void xlm_blocks_begin(xlm_blocks_run *r, xlm_blocks *b, uint64_t head, uint64_t head_hash);
void xlm_blocks_add(xlm_blocks_run *r, const void *data, size_t n);
void xlm_blocks_end(xlm_blocks_run *r);

#endif
