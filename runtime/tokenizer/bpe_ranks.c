// Pairs of a vocabulary that has ranks of tokens instead of a list of merges (tiktoken, SentencePiece): two
// neighbours are merged if together they are a token, by its rank.
//
// In a vocabulary that was trained, each token comes from two others of lower rank, always the same: those
// that merges of lower rank leave of it. If a token is left in another number of parts, all its halves that
// are tokens are pairs, and so for all tokens: that is the definition, with more pairs.
#include <stdlib.h>

#include "runtime/tokenizer/tokenizer_priv.h"

typedef struct ranked {
  uint32_t rank;
  int32_t id;
} ranked;

static int by_rank(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
  return (x->id > y->id) - (x->id < y->id);
}

static void put_halves(xlm_tokenizer *t, int32_t id, uint32_t rank, int64_t *n, bool count_only) {
  span s = t->raw[id];
  for (size_t k = 1; k < s.n; k++) {
    int32_t left = xlm_table_get(&t->words, s.at, k), right = xlm_table_get(&t->words, s.at + k, s.n - k);
    if (left < 0 || right < 0) continue;
    ++*n;
    if (!count_only) xlm_pairs_put(&t->pairs, left, right, rank, id);
  }
}

static void put_all_halves(xlm_tokenizer *t, const ranked *list, int64_t n) {
  int64_t halves = 0, again = 0;
  for (int64_t i = 0; i < n; i++) put_halves(t, list[i].id, list[i].rank, &halves, true);
  xlm_pairs_new(t->arena, &t->pairs, halves);
  for (int64_t i = 0; i < n; i++) put_halves(t, list[i].id, list[i].rank, &again, false);
  t->merges = halves;
}

// false: a token is not made of two.
static bool put_parts(xlm_tokenizer *t, const ranked *list, int64_t n) {
  xlm_arena *a = xlm_arena_child(t->arena);
  work w = {.arena = a, .t = t};
  bool two = true;
  for (int64_t i = 0; i < n && two; i++) {
    span s = t->raw[list[i].id];
    size_t parts = xlm_bpe_merge(&w, s.at, s.n);
    two = parts == 2;
    if (two) xlm_pairs_put(&t->pairs, w.merge.id[0], w.merge.id[1], list[i].rank, list[i].id);
  }
  xlm_arena_free(a);
  return two;
}

void xlm_bpe_find_pairs(xlm_tokenizer *t, const uint32_t *rank) {
  ranked *list = XLM_NEW_N(t->arena, ranked, t->size);
  int64_t n = 0;
  for (int32_t i = 0; i < t->size; i++)
    if (rank[i] != NO_RANK) list[n++] = (ranked){rank[i], i};
  qsort(list, (size_t)n, sizeof *list, by_rank);
  xlm_pairs_new(t->arena, &t->pairs, n);
  t->merges = n;
  if (!put_parts(t, list, n)) put_all_halves(t, list, n);
}
