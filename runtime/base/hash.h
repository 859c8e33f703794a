// XXH64 (Yann Collet's xxHash, 64 bits): checksums of checkpoint files, at memory speed.
#ifndef XLM_BASE_HASH_H
#define XLM_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct xlm_hash {
  uint64_t lane[4], total;
  unsigned char pending[32];
  size_t n_pending;
} xlm_hash;

void xlm_hash_start(xlm_hash *h);
void xlm_hash_add(xlm_hash *h, const void *data, size_t n);
uint64_t xlm_hash_value(const xlm_hash *h);
uint64_t xlm_hash_bytes(const void *data, size_t n);

#endif
