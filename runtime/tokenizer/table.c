// Tables of a vocabulary; see table_priv.h.
#include "runtime/tokenizer/table_priv.h"

#include "runtime/base/hash.h"

// Slots for n entries, at most half full.
static int bits_for(int64_t n) {
  int bits = 4;
  while (((int64_t)1 << bits) < 2 * n) bits++;
  return bits;
}

static uint64_t hash_of(const char *s, size_t n) {
  return XXH3_64bits(s, n);
}

void xlm_table_new(xlm_arena *a, table *t, const span *key, int64_t n) {
  int bits = bits_for(n);
  *t = (table){
      .key = key, .slot = XLM_NEW_N(a, int32_t, (size_t)1 << bits), .mask = ((uint64_t)1 << bits) - 1};
}

int32_t xlm_table_put(table *t, int32_t id) {
  span k = t->key[id];
  uint64_t i = hash_of(k.at, k.n) & t->mask;
  while (t->slot[i] && !span_is(t->key[t->slot[i] - 1], k)) i = (i + 1) & t->mask;
  int32_t old = t->slot[i] - 1;
  t->slot[i] = id + 1;
  return old;
}

int32_t xlm_table_get(const table *t, const char *s, size_t n) {
  for (uint64_t i = hash_of(s, n) & t->mask; t->slot[i]; i = (i + 1) & t->mask)
    if (span_is(t->key[t->slot[i] - 1], (span){s, n})) return t->slot[i] - 1;
  return -1;
}

void xlm_pairs_new(xlm_arena *a, pairs *p, int64_t n) {
  int bits = bits_for(n);
  *p = (pairs){.at = XLM_NEW_N(a, pair_entry, (size_t)1 << bits),
               .mask = ((uint64_t)1 << bits) - 1,
               .shift = 64 - bits};
}

void xlm_pairs_put(pairs *p, int32_t left, int32_t right, uint32_t rank, int32_t id) {
  uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
  uint64_t i = key * 0x9E3779B97F4A7C15u >> p->shift;
  while (p->at[i].key && p->at[i].key != key) i = (i + 1) & p->mask;
  p->at[i] = (pair_entry){key, rank, id};
}

// A trie of first children and siblings; its keys are few or its nodes have few children.
typedef struct trie_node {
  uint32_t child, sibling;
  int32_t value;
  unsigned char byte;
} trie_node;

struct trie {
  uint32_t first[256];
  trie_node *at; // at[0] is not used
  uint32_t n, cap;
};

trie *xlm_trie_new(xlm_arena *a) {
  trie *t = XLM_NEW(a, trie);
  XLM_PUSH(a, t->at, t->n, t->cap, ((trie_node){0}));
  return t;
}

static uint32_t find_child(const trie *t, uint32_t i, unsigned char c) {
  for (i = t->at[i].child; i && t->at[i].byte != c;) i = t->at[i].sibling;
  return i;
}

static uint32_t add_node(xlm_arena *a, trie *t, unsigned char c) {
  XLM_PUSH(a, t->at, t->n, t->cap, ((trie_node){.value = -1, .byte = c}));
  return t->n - 1;
}

void xlm_trie_put(xlm_arena *a, trie *t, span key, int32_t value) {
  if (!key.n) return;
  unsigned char c = (unsigned char)key.at[0];
  uint32_t i = t->first[c];
  if (!i) i = t->first[c] = add_node(a, t, c);
  for (size_t k = 1; k < key.n; k++) {
    c = (unsigned char)key.at[k];
    uint32_t next = find_child(t, i, c);
    if (!next) {
      next = add_node(a, t, c);
      t->at[next].sibling = t->at[i].child;
      t->at[i].child = next;
    }
    i = next;
  }
  if (t->at[i].value < 0) t->at[i].value = value;
}

int32_t xlm_trie_longest(const trie *t, const char *s, size_t n, size_t *length) {
  int32_t found = -1;
  uint32_t i = n ? t->first[(unsigned char)s[0]] : 0;
  for (size_t k = 1; i; k++) {
    if (t->at[i].value >= 0) found = t->at[i].value, *length = k;
    if (k == n) break;
    i = find_child(t, i, (unsigned char)s[k]);
  }
  return found;
}

bool xlm_trie_may_begin(const trie *t, unsigned char c) {
  return t->first[c] != 0;
}
