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

// A trie whose edges are in one table: node and byte to node.
typedef struct edge {
  uint64_t key; // node above byte, plus 1; 0 = free
  uint32_t to;
} edge;

struct trie {
  bool first[256]; // some key begins with it
  int32_t *value;  // by node; node 0 is the root
  uint32_t n, cap;
  edge *at;
  int bits;
};

trie *xlm_trie_new(xlm_arena *a) {
  trie *t = XLM_NEW(a, trie);
  XLM_PUSH(a, t->value, t->n, t->cap, -1);
  t->bits = 6;
  t->at = XLM_NEW_N(a, edge, (size_t)1 << t->bits);
  return t;
}

static edge *find_edge(const trie *t, uint64_t key) { // the edge, or where it would be
  uint64_t mask = ((uint64_t)1 << t->bits) - 1;
  for (uint64_t i = key * 0x9E3779B97F4A7C15u >> (64 - t->bits);; i = (i + 1) & mask)
    if (!t->at[i].key || t->at[i].key == key) return &t->at[i];
}

static uint64_t edge_key(uint32_t node, unsigned char c) {
  return ((uint64_t)node << 8 | c) + 1;
}

static void grow(xlm_arena *a, trie *t) {
  edge *old = t->at;
  size_t n = (size_t)1 << t->bits++;
  t->at = XLM_NEW_N(a, edge, 2 * n);
  for (size_t i = 0; i < n; i++)
    if (old[i].key) *find_edge(t, old[i].key) = old[i];
}

void xlm_trie_put(xlm_arena *a, trie *t, span key, int32_t value) {
  uint32_t node = 0;
  if (!key.n) return;
  t->first[(unsigned char)key.at[0]] = true;
  for (size_t k = 0; k < key.n; k++) {
    if (2 * (size_t)t->n >= (size_t)1 << t->bits) grow(a, t);
    edge *e = find_edge(t, edge_key(node, (unsigned char)key.at[k]));
    if (!e->key) {
      *e = (edge){edge_key(node, (unsigned char)key.at[k]), t->n};
      XLM_PUSH(a, t->value, t->n, t->cap, -1);
    }
    node = e->to;
  }
  if (t->value[node] < 0) t->value[node] = value;
}

bool xlm_trie_step(const trie *t, trie_walk *w, unsigned char c) {
  const edge *e = find_edge(t, edge_key(w->at, c));
  if (!e->key) return false;
  w->at = e->to, w->value = t->value[e->to];
  return true;
}

int32_t xlm_trie_longest(const trie *t, const char *s, size_t n, size_t *length) {
  int32_t found = -1;
  trie_walk w = {0};
  for (size_t k = 0; k < n && xlm_trie_step(t, &w, (unsigned char)s[k]); k++)
    if (w.value >= 0) found = w.value, *length = k + 1;
  return found;
}

bool xlm_trie_may_begin(const trie *t, unsigned char c) {
  return t->first[c];
}
