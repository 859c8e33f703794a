// See blocks.h.
#include "runtime/checkpoint/blocks.h"

int64_t xlm_blocks_count(uint64_t data_bytes, uint64_t each) {
  return 1 + (int64_t)(data_bytes / each + (data_bytes % each != 0));
}

xlm_blocks xlm_blocks_new(xlm_arena *a, uint64_t data_bytes, uint64_t each) {
  xlm_blocks b = {.each = each, .n = xlm_blocks_count(data_bytes, each)};
  b.hash = XLM_NEW_N(a, uint64_t, b.n);
  return b;
}

int64_t xlm_blocks_at(const xlm_blocks *b, uint64_t at) {
  return at < b->head ? 0 : 1 + (int64_t)((at - b->head) / b->each);
}

void xlm_blocks_range(const xlm_blocks *b, uint64_t file_bytes, int64_t i, uint64_t *at, uint64_t *n) {
  *at = i ? b->head + (uint64_t)(i - 1) * b->each : 0;
  uint64_t size = i ? b->each : b->head;
  *n = size < file_bytes - *at ? size : file_bytes - *at;
}

void xlm_blocks_begin(xlm_blocks_run *r, xlm_blocks *b, uint64_t head, uint64_t head_hash) {
  *r = (xlm_blocks_run){.b = b, .at = 1};
  b->head = head, b->hash[0] = head_hash;
  xlm_hash_start(&r->hash);
}

static void close_block(xlm_blocks_run *r) {
  r->b->hash[r->at++] = xlm_hash_value(&r->hash);
  r->used = 0;
  xlm_hash_start(&r->hash);
}

void xlm_blocks_add(xlm_blocks_run *r, const void *data, size_t n) {
  for (const char *from = data; n;) {
    uint64_t left = r->b->each - r->used, part = n < left ? n : left;
    xlm_hash_add(&r->hash, from, part);
    from += part, n -= part, r->used += part;
    if (r->used == r->b->each) close_block(r);
  }
}

void xlm_blocks_end(xlm_blocks_run *r) {
  if (r->used) close_block(r);
}
