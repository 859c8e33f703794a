// Merging the most frequent pairs; see train.h. Words are kept once, with their counts. The pairs wait in a
// heap with the words that they occur in; a count that has become smaller is found out when its pair is
// first.
#include <stdlib.h>

#include "runtime/tokenizer/train_priv.h"

#define TRAIN_LIMIT ((size_t)1 << 46)

typedef struct word {
  int32_t *id;
  uint32_t n;
  int64_t count;
} word;

typedef struct place_list { // numbers of words
  uint32_t *at, n, cap;
} place_list;

typedef struct pair { // of two tokens
  uint64_t key;       // left above right, plus 1; 0 = free
  int64_t count;
  place_list found; // in words, since the last merge
} pair;

typedef struct waiting { // in the heap
  int64_t count;
  uint64_t key;
  place_list in;
} waiting;

typedef struct trainer {
  xlm_arena *arena;
  xlm_bpe_trained *out;
  word *words;
  uint32_t n_words;
  pair *pairs; // open addressing
  uint64_t n_pairs, slots;
  waiting *heap;
  uint32_t n_heap, cap_heap;
  uint64_t *fresh; // keys of pairs that a merge made
  uint32_t n_fresh, cap_fresh;
  table ids; // token -> id
} trainer;

static uint64_t key_of(int32_t left, int32_t right) {
  return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

static pair *find_slot(const trainer *t, uint64_t key) {
  uint64_t i = (key * 0x9E3779B97F4A7C15u >> 20) & (t->slots - 1);
  while (t->pairs[i].key && t->pairs[i].key != key) i = (i + 1) & (t->slots - 1);
  return &t->pairs[i];
}

static pair *find_pair(trainer *t, uint64_t key) {
  if (2 * t->n_pairs >= t->slots) {
    pair *old = t->pairs;
    uint64_t n = t->slots;
    t->slots = n ? 2 * n : 1 << 12;
    t->pairs = XLM_NEW_N(t->arena, pair, t->slots);
    for (uint64_t i = 0; i < n; i++)
      if (old[i].key) *find_slot(t, old[i].key) = old[i];
  }
  pair *p = find_slot(t, key);
  if (!p->key) p->key = key, t->n_pairs++;
  return p;
}

// Most frequent first, then the lower ids.
static bool is_before(const waiting *a, const waiting *b) {
  return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static void push(trainer *t, waiting x) {
  XLM_PUSH(t->arena, t->heap, t->n_heap, t->cap_heap, x);
  uint32_t i = t->n_heap - 1;
  for (; i && is_before(&x, &t->heap[(i - 1) / 2]); i = (i - 1) / 2) t->heap[i] = t->heap[(i - 1) / 2];
  t->heap[i] = x;
}

static waiting pop(trainer *t) {
  waiting first = t->heap[0], x = t->heap[--t->n_heap];
  uint32_t i = 0, n = t->n_heap;
  for (uint32_t c; (c = 2 * i + 1) < n; i = c) {
    if (c + 1 < n && is_before(&t->heap[c + 1], &t->heap[c])) c++;
    if (!is_before(&t->heap[c], &x)) break;
    t->heap[i] = t->heap[c];
  }
  if (n) t->heap[i] = x;
  return first;
}

static void add(trainer *t, int32_t left, int32_t right, uint32_t place, int64_t count) {
  pair *p = find_pair(t, key_of(left, right));
  p->count += count;
  if (count < 0) return;
  if (!p->found.n) XLM_PUSH(t->arena, t->fresh, t->n_fresh, t->cap_fresh, p->key);
  if (!p->found.n || p->found.at[p->found.n - 1] != place)
    XLM_PUSH(t->arena, p->found.at, p->found.n, p->found.cap, place);
}

static void push_fresh(trainer *t) {
  for (uint32_t i = 0; i < t->n_fresh; i++) {
    pair *p = find_pair(t, t->fresh[i]);
    if (p->count > 0) push(t, (waiting){p->count, p->key, p->found});
    p->found = (place_list){0};
  }
  t->n_fresh = 0;
}

static void merge_word(trainer *t, uint32_t place, int32_t left, int32_t right, int32_t id) {
  word *w = &t->words[place];
  uint32_t n = 0;
  for (uint32_t i = 0; i < w->n; i++, n++) {
    bool found = w->id[i] == left && i + 1 < w->n && w->id[i + 1] == right;
    w->id[n] = found ? id : w->id[i];
    if (!found) continue;
    if (n) {
      add(t, w->id[n - 1], left, place, -w->count);
      add(t, w->id[n - 1], id, place, w->count);
    }
    i++;
    if (i + 1 < w->n) {
      add(t, right, w->id[i + 1], place, -w->count);
      add(t, id, w->id[i + 1], place, w->count);
    }
  }
  w->n = n;
}

static int32_t new_token(trainer *t, int32_t left, int32_t right) {
  xlm_bpe_trained *o = t->out;
  span a = o->token[left], b = o->token[right];
  char *both = xlm_arena_alloc(o->arena, a.n + b.n);
  memcpy(both, a.at, a.n);
  memcpy(both + a.n, b.at, b.n);
  int32_t id = xlm_table_get(&t->ids, both, a.n + b.n);
  if (id >= 0) return id;
  o->token[o->size] = (span){both, a.n + b.n};
  xlm_table_put(&t->ids, o->size);
  return o->size++;
}

static void merge_all(trainer *t, const xlm_bpe_options *o) {
  xlm_bpe_trained *out = t->out;
  while (out->size < o->size && t->n_heap) {
    waiting top = pop(t);
    int64_t now = find_pair(t, top.key)->count;
    if (now != top.count) {
      top.count = now;
      push(t, top);
      continue;
    }
    if (now < 1) break;
    int32_t left = (int32_t)((top.key - 1) >> 32), right = (int32_t)(top.key - 1),
            id = new_token(t, left, right);
    XLM_PUSH(out->arena, out->merges, out->n_merges, out->cap_merges, ((struct merge){left, right, id}));
    for (uint32_t i = 0; i < top.in.n; i++) merge_word(t, top.in.at[i], left, right, id);
    push_fresh(t);
    if (o->progress) o->progress(o->arg, out->size);
  }
}

// Special tokens, then bytes in the order of their names in GPT-2's alphabet.
static void put_alphabet(trainer *t, const xlm_bpe_options *o, int32_t id_of[256]) {
  xlm_bpe_trained *out = t->out;
  out->token = XLM_NEW_N(out->arena, span, o->size);
  xlm_table_new(t->arena, &t->ids, out->token, o->size);
  const char **specials = XLM_NEW_N(out->arena, const char *, o->n_specials);
  for (int i = 0; i < o->n_specials; i++) {
    specials[i] = xlm_arena_strdup(out->arena, o->specials[i]);
    out->token[out->size++] = span_of(specials[i]);
  }
  out->specials = specials, out->n_specials = o->n_specials;
  for (int32_t c = 0; c < 512; c++) {
    int b = xlm_alphabet_byte(c);
    if (b < 0) continue;
    char byte = (char)b;
    id_of[b] = out->size;
    out->token[out->size] = (span){xlm_arena_strndup(out->arena, &byte, 1), 1};
    xlm_table_put(&t->ids, out->size++);
  }
}

static void take_words(trainer *t, const word_counts *all, const int32_t id_of[256]) {
  t->n_words = all->n, t->out->words = all->n;
  t->words = XLM_NEW_N(t->arena, word, all->n);
  for (uint32_t i = 0; i < all->n; i++) {
    span s = all->at[i].text;
    t->words[i] = (word){XLM_NEW_N(t->arena, int32_t, s.n), (uint32_t)s.n, all->at[i].count};
    for (size_t k = 0; k < s.n; k++) t->words[i].id[k] = id_of[(unsigned char)s.at[k]];
    for (size_t k = 0; k + 1 < s.n; k++)
      add(t, t->words[i].id[k], t->words[i].id[k + 1], i, t->words[i].count);
  }
  push_fresh(t);
}

static void train(xlm_bpe_trained *out, const xlm_bpe_counter *const *counters, int n,
                  const xlm_bpe_options *o) {
  trainer t = {.arena = xlm_arena_child(out->arena), .out = out};
  word_counts all = {0};
  int32_t id_of[256];
  for (int i = 0; i < n; i++)
    for (uint32_t k = 0; k < counters[i]->words.n; k++) {
      const counted *w = &counters[i]->words.at[k];
      xlm_word_count(t.arena, &all, w->text.at, w->text.n, w->count);
    }
  put_alphabet(&t, o, id_of);
  take_words(&t, &all, id_of);
  merge_all(&t, o);
  xlm_arena_free(t.arena);
}

xlm_status xlm_bpe_train(const xlm_bpe_counter *const *counters, int n, const xlm_bpe_options *o,
                         xlm_bpe_trained **out, xlm_error *err) {
  *out = NULL;
  if (o->size < 256 + o->n_specials)
    return xlm_fail(err, XLM_USER,
                    "a vocabulary of %d tokens: it needs %d, for 256 bytes and %d special tokens", o->size,
                    256 + o->n_specials, o->n_specials);
  xlm_arena *a = xlm_arena_new(TRAIN_LIMIT);
  if (!a || !XLM_ARENA_TRY(a)) {
    xlm_arena_free(a);
    return xlm_fail(err, XLM_ENV, "no memory to train a tokenizer");
  }
  xlm_bpe_trained *t = XLM_NEW(a, xlm_bpe_trained);
  *t = (xlm_bpe_trained){.arena = a, .pattern = counters[0]->pattern};
  train(t, counters, n, o);
  *out = t;
  return XLM_OK;
}

void xlm_bpe_trained_free(xlm_bpe_trained *t) {
  if (t) xlm_arena_free(t->arena);
}

int32_t xlm_bpe_trained_size(const xlm_bpe_trained *t) {
  return t->size;
}

int64_t xlm_bpe_trained_words(const xlm_bpe_trained *t) {
  return t->words;
}
