// Tables of a vocabulary: bytes to id, pair of ids to merged id, and a trie for the longest match.
#ifndef XLM_TOKENIZER_TABLE_PRIV_H
#define XLM_TOKENIZER_TABLE_PRIV_H

#include <stdint.h>
#include <string.h>

#include "runtime/base/arena.h"

typedef struct span { // bytes that belong to something else
  const char *at;
  size_t n;
} span;

static inline span span_of(const char *s) {
  return (span){s, strlen(s)};
}
static inline bool span_is(span a, span b) {
  return a.n == b.n && !memcmp(a.at, b.at, a.n);
}
static inline bool span_begins(span a, span with) {
  return a.n >= with.n && !memcmp(a.at, with.at, with.n);
}

typedef struct table { // open addressing
  const span *key;     // by id
  int32_t *slot;       // id + 1; 0 = free
  uint64_t mask;
} table;

// For up to n ids, whose keys are key[id].
void xlm_table_new(xlm_arena *a, table *t, const span *key, int64_t n);
// Returns the id that the key had before, or -1; the new one replaces it.
int32_t xlm_table_put(table *t, int32_t id);
int32_t xlm_table_get(const table *t, const char *s, size_t n); // -1 = none

typedef struct pair_entry {
  uint64_t key; // left above right, plus 1; 0 = free
  uint32_t rank;
  int32_t id;
} pair_entry;

typedef struct pairs { // open addressing
  pair_entry *at;
  uint64_t mask;
  int shift;
} pairs;

enum { NO_RANK = 0xffffffff };

void xlm_pairs_new(xlm_arena *a, pairs *p, int64_t n);
void xlm_pairs_put(pairs *p, int32_t left, int32_t right, uint32_t rank, int32_t id); // replaces

static inline const pair_entry *xlm_pairs_get(const pairs *p, int32_t left, int32_t right) { // NULL: none
  uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
  for (uint64_t i = key * 0x9E3779B97F4A7C15u >> p->shift;; i = (i + 1) & p->mask) {
    if (p->at[i].key == key) return &p->at[i];
    if (!p->at[i].key) return NULL;
  }
}

typedef struct trie trie;
trie *xlm_trie_new(xlm_arena *a);
void xlm_trie_put(xlm_arena *a, trie *t, span key, int32_t value); // value >= 0; an existing one stays
// The value of the longest key at the begin of s, or -1; *length: of the key.
int32_t xlm_trie_longest(const trie *t, const char *s, size_t n, size_t *length);
typedef struct trie_walk { // zeroed: at the root
  uint32_t at;
  int32_t value; // of the key that ends here; -1 = none
} trie_walk;
bool xlm_trie_step(const trie *t, trie_walk *w, unsigned char c); // false: no key goes on with c
bool xlm_trie_may_begin(const trie *t, unsigned char c);          // some key begins with it

#endif
