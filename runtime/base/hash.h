// XXH64 by libxxhash, seed 0: checksums of checkpoint files at memory speed.
#ifndef XLM_BASE_HASH_H
#define XLM_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_STATIC_LINKING_ONLY // declares the state's fields, so that one can lie on the stack
#include <xxhash.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

typedef XXH64_state_t xlm_hash;

static inline void xlm_hash_start(xlm_hash *h) {
  XXH64_reset(h, 0); // fails only for NULL, as does XXH64_update
}

static inline void xlm_hash_add(xlm_hash *h, const void *data, size_t n) {
  if (n) XXH64_update(h, data, n);
}

static inline uint64_t xlm_hash_value(const xlm_hash *h) {
  return XXH64_digest(h);
}

static inline uint64_t xlm_hash_bytes(const void *data, size_t n) {
  return XXH64(data, n, 0);
}

XLM_C_END

#endif
