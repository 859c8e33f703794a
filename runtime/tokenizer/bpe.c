// Byte-pair encoding of a word: of all neighbours the pair of lowest rank is merged, the leftmost first,
// until none has a rank (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units",
// 2016).
//
// Short words are scanned for the lowest rank again and again; long ones have their pairs in a heap, so that
// n symbols take O(n log n). The ids of short words stay in a table of one entry per hash.
#include "runtime/base/hash.h"
#include "runtime/tokenizer/tokenizer_priv.h"

enum { SCAN_MOST = 48, CACHE_BITS = 15 };

static uint32_t rank_of(const xlm_tokenizer *t, int32_t left, int32_t right) {
  const pair_entry *p = xlm_pairs_get(&t->pairs, left, right);
  return p ? p->rank : NO_RANK;
}

// Room for n symbols and their pairs.
static void take_memory(work *w, size_t n) {
  merge_memory *m = &w->merge;
  if (n <= m->cap) return;
  size_t cap = m->cap * 2 > n ? m->cap * 2 : n;
  m->id = xlm_arena_grow(w->arena, NULL, 0, cap, sizeof *m->id);
  m->rank = xlm_arena_grow(w->arena, NULL, 0, cap, sizeof *m->rank);
  m->cap = cap;
}

static void take_heap(work *w, size_t n) {
  merge_memory *m = &w->merge;
  if (n <= m->heap_cap) return;
  size_t cap = m->heap_cap * 2 > n ? m->heap_cap * 2 : n;
  m->next = xlm_arena_grow(w->arena, NULL, 0, cap, sizeof *m->next);
  m->prev = xlm_arena_grow(w->arena, NULL, 0, cap, sizeof *m->prev);
  m->heap = xlm_arena_grow(w->arena, NULL, 0, 3 * cap, sizeof *m->heap); // each merge adds two
  m->heap_cap = cap;
}

static size_t merge_by_scan(const xlm_tokenizer *t, int32_t *id, uint32_t *rank, size_t n) {
  for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(t, id[i], id[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (rank[i] < rank[best]) best = i;
    if (rank[best] == NO_RANK) break;
    id[best] = xlm_pairs_get(&t->pairs, id[best], id[best + 1])->id;
    memmove(id + best + 1, id + best + 2, (n - best - 2) * sizeof *id);
    memmove(rank + best, rank + best + 1, (n - best - 2) * sizeof *rank);
    n--;
    if (best + 1 < n) rank[best] = rank_of(t, id[best], id[best + 1]);
    if (best) rank[best - 1] = rank_of(t, id[best - 1], id[best]);
  }
  return n;
}

static void heap_push(merge_memory *m, uint64_t x) {
  size_t i = m->heap_n++;
  for (; i && m->heap[(i - 1) / 2] > x; i = (i - 1) / 2) m->heap[i] = m->heap[(i - 1) / 2];
  m->heap[i] = x;
}

static uint64_t heap_pop(merge_memory *m) {
  uint64_t first = m->heap[0], x = m->heap[--m->heap_n];
  size_t i = 0, n = m->heap_n;
  for (size_t c; (c = 2 * i + 1) < n; i = c) {
    if (c + 1 < n && m->heap[c + 1] < m->heap[c]) c++;
    if (m->heap[c] >= x) break;
    m->heap[i] = m->heap[c];
  }
  m->heap[i] = x;
  return first;
}

// The pair at i has changed: entries with another rank are out of date.
static void renew_pair(const xlm_tokenizer *t, merge_memory *m, uint32_t i, uint32_t n) {
  m->rank[i] = m->next[i] < n ? rank_of(t, m->id[i], m->id[m->next[i]]) : NO_RANK;
  if (m->rank[i] != NO_RANK) heap_push(m, (uint64_t)m->rank[i] << 32 | i);
}

static size_t merge_by_heap(work *w, uint32_t n) {
  const xlm_tokenizer *t = w->t;
  merge_memory *m = &w->merge;
  take_heap(w, n);
  m->heap_n = 0;
  for (uint32_t i = 0; i < n; i++) m->next[i] = i + 1, m->prev[i] = i - 1;
  for (uint32_t i = 0; i < n; i++) renew_pair(t, m, i, n);
  while (m->heap_n) {
    uint64_t top = heap_pop(m);
    uint32_t i = (uint32_t)top;
    if (m->rank[i] != top >> 32) continue;
    uint32_t gone = m->next[i];
    m->id[i] = xlm_pairs_get(&t->pairs, m->id[i], m->id[gone])->id;
    m->rank[gone] = NO_RANK;
    m->next[i] = m->next[gone];
    if (m->next[i] < n) m->prev[m->next[i]] = i;
    renew_pair(t, m, i, n);
    if (i) renew_pair(t, m, m->prev[i], n);
  }
  size_t left = 0;
  for (uint32_t i = 0; i < n; i = m->next[i]) m->id[left++] = m->id[i];
  return left;
}

static size_t bytes_of(const xlm_tokenizer *t, const char *s, size_t n, int32_t *id) {
  size_t k = 0;
  for (size_t i = 0; i < n; i++) {
    id[k] = t->byte_token[(unsigned char)s[i]];
    k += id[k] >= 0;
  }
  return k;
}

static int32_t find_character(const xlm_tokenizer *t, const char *s, size_t n, bool is_first, bool is_last) {
  char text[64];
  span prefix = is_first ? (span){"", 0} : t->prefix, suffix = is_last ? t->suffix : (span){"", 0};
  if (!prefix.n && !suffix.n) return xlm_table_get(&t->words, s, n);
  memcpy(text, prefix.at, prefix.n);
  memcpy(text + prefix.n, s, n);
  memcpy(text + prefix.n + n, suffix.at, suffix.n);
  return xlm_table_get(&t->words, text, prefix.n + n + suffix.n);
}

static bool falls_back(const xlm_tokenizer *t, const char *s, size_t n) {
  bool all = t->byte_fallback;
  for (size_t i = 0; i < n; i++) all = all && t->byte_token[(unsigned char)s[i]] >= 0;
  return all;
}

// As `tokenizers` does: unknown characters wait until the next known one, bytes that stand for a character do
// not end that.
static size_t characters_of(const xlm_tokenizer *t, const char *s, size_t n, int32_t *id) {
  size_t k = 0;
  bool unknown = false;
  for (size_t i = 0, length; i < n; i += length) {
    length = xlm_utf8_length((unsigned char)s[i]);
    int32_t c = find_character(t, s + i, length, !i, i + length >= n);
    if (c >= 0) {
      if (unknown) id[k++] = t->unk;
      unknown = false;
      id[k++] = c;
    } else if (falls_back(t, s + i, length)) {
      k += bytes_of(t, s + i, length, id + k);
    } else if (t->unk >= 0) {
      if (unknown && !t->fuse_unk) id[k++] = t->unk;
      unknown = true;
    }
  }
  if (unknown) id[k++] = t->unk;
  return k;
}

size_t xlm_bpe_merge(work *w, const char *s, size_t n) {
  const xlm_tokenizer *t = w->t;
  int32_t whole = t->whole_words ? xlm_table_get(&t->words, s, n) : -1;
  take_memory(w, n + 1);
  if (whole >= 0) return w->merge.id[0] = whole, 1;
  size_t k = t->byte_level ? bytes_of(t, s, n, w->merge.id) : characters_of(t, s, n, w->merge.id);
  if (k <= SCAN_MOST) return merge_by_scan(t, w->merge.id, w->merge.rank, k);
  return merge_by_heap(w, (uint32_t)k);
}

static void put(work *w, const int32_t *id, size_t n) {
  for (size_t i = 0; i < n; i++) xlm_token_put(w, id[i]);
}

static word_entry *find_entry(work *w, const char *s, size_t n) {
  if (!w->cache) w->cache = XLM_NEW_N(w->arena, word_entry, (size_t)1 << CACHE_BITS);
  return &w->cache[XXH3_64bits(s, n) >> (64 - CACHE_BITS)];
}

static void encode_word(work *w, const char *s, size_t n) {
  if (n > WORD_BYTES) {
    size_t k = xlm_bpe_merge(w, s, n);
    put(w, w->merge.id, k);
    return;
  }
  word_entry *e = find_entry(w, s, n);
  if (!e->n || e->bytes != n || memcmp(e->at, s, n)) {
    size_t k = xlm_bpe_merge(w, s, n);
    if (k > WORD_IDS || !k) {
      put(w, w->merge.id, k);
      return;
    }
    e->n = (int8_t)k, e->bytes = (uint8_t)n;
    memcpy(e->at, s, n);
    memcpy(e->id, w->merge.id, k * sizeof *e->id);
  }
  put(w, e->id, (size_t)e->n);
}

static const span metaspace = {"\xE2\x96\x81", 3};

static bool ends_with_metaspace(span s) {
  return s.n >= metaspace.n && !memcmp(s.at + s.n - metaspace.n, metaspace.at, metaspace.n);
}

void xlm_bpe_word(work *w, const char *s, size_t n) {
  size_t begin = 0;
  for (size_t i = 1; w->t->cut && i + metaspace.n <= n; i++)
    if (s[i] == metaspace.at[0] && span_begins((span){s + i, n - i}, metaspace) &&
        !ends_with_metaspace((span){s + begin, i - begin})) {
      encode_word(w, s + begin, i - begin);
      begin = i;
    }
  if (begin < n) encode_word(w, s + begin, n - begin);
}

void xlm_bpe_find_cut(xlm_tokenizer *t) {
  t->cut = !t->byte_level && !t->whole_words && !t->prefix.n && !t->suffix.n &&
           xlm_table_get(&t->words, metaspace.at, metaspace.n) >= 0;
  for (uint64_t i = 0; t->cut && i <= t->pairs.mask; i++) {
    uint64_t key = t->pairs.at[i].key - 1;
    if (!t->pairs.at[i].key) continue;
    span left = t->raw[key >> 32], right = t->raw[key & 0xffffffff];
    t->cut = !span_begins(right, metaspace) || ends_with_metaspace(left);
  }
}
