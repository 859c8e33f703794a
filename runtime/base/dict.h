// A table from names to pointers. Entries are in the order of insertion, so iteration is deterministic.
#ifndef XLM_BASE_DICT_H
#define XLM_BASE_DICT_H

#include <stdint.h>

#include "runtime/base/arena.h"

XLM_C_BEGIN

typedef struct xlm_dict_entry {
  const char *key;
  void *value;
} xlm_dict_entry;

typedef struct xlm_dict { // zeroed: empty
  xlm_dict_entry *at;     // [n]
  uint32_t n, cap;
  uint32_t *bucket; // open addressing: index of the entry + 1; 0 = free
  uint32_t n_buckets;
} xlm_dict;

void *xlm_dict_get(const xlm_dict *d, const char *key);                     // NULL: not found
void xlm_dict_put(xlm_arena *a, xlm_dict *d, const char *key, void *value); // replaces an existing value; the
                                                                            // key is not copied

XLM_C_END

#endif
