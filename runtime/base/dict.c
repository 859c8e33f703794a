// A table from names to pointers; see dict.h.
#include "runtime/base/dict.h"

#include <string.h>

static uint32_t hash(const char *s) { // FNV-1a
  uint32_t h = 2166136261u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
  return h ^ h >> 15;
}

static uint32_t *probe(const xlm_dict *d, const char *key) {
  uint32_t i = hash(key) & (d->n_buckets - 1);
  while (d->bucket[i] && strcmp(d->at[d->bucket[i] - 1].key, key) != 0) i = (i + 1) & (d->n_buckets - 1);
  return &d->bucket[i];
}

static void rehash(xlm_arena *a, xlm_dict *d) {
  d->n_buckets = d->n_buckets ? d->n_buckets * 2 : 16;
  d->bucket = XLM_NEW_N(a, uint32_t, d->n_buckets);
  for (uint32_t i = 0; i < d->n; i++) *probe(d, d->at[i].key) = i + 1;
}

void *xlm_dict_get(const xlm_dict *d, const char *key) {
  if (!d->n) return NULL;
  uint32_t at = *probe(d, key);
  return at ? d->at[at - 1].value : NULL;
}

void xlm_dict_put(xlm_arena *a, xlm_dict *d, const char *key, void *value) {
  if (2 * (d->n + 1) > d->n_buckets) rehash(a, d);
  uint32_t *bucket = probe(d, key);
  if (*bucket) {
    d->at[*bucket - 1].value = value;
    return;
  }
  XLM_PUSH(a, d->at, d->n, d->cap, ((xlm_dict_entry){key, value}));
  *bucket = d->n;
}
