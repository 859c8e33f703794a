// The segmentation of highest probability (Kudo, "Subword Regularization", 2018), by Viterbi's algorithm.
// Sums are rounded where SentencePiece rounds them (EncodeOptimized in unigram_model.cc), or ties would be
// decided otherwise.
#include "runtime/tokenizer/sentencepiece_priv.h"

typedef struct node { // the best path to a place
  float score;
  int32_t id;
  uint32_t begin; // of its last piece; NO_RANK: none yet
} node;

static void offer(node *end, double score, uint32_t begin, int32_t id) {
  if (end->begin == NO_RANK || score > end->score) *end = (node){(float)score, id, begin};
}

static void find_paths(const xlm_tokenizer *t, const char *s, uint32_t n, node *best) {
  const unigram *u = t->unigram;
  for (uint32_t i = 0, length; i < n; i += length) {
    bool single = false;
    trie_walk walk = {0};
    length = (uint32_t)xlm_utf8_length((unsigned char)s[i]);
    for (uint32_t k = i; k < n && xlm_trie_step(u->trie, &walk, (unsigned char)s[k]); k++) {
      if (walk.value < 0) continue;
      uint32_t bytes = k + 1 - i;
      double score = u->is_user[walk.value] ? (double)((float)bytes * u->most) - 0.1 : u->score[walk.value];
      offer(&best[k + 1], score + best[i].score, i, walk.value);
      single = single || bytes == length;
    }
    if (!single) offer(&best[i + length], u->unknown + best[i].score, i, t->unk);
  }
}

static void put_unknown(work *w, const char *s, uint32_t n, bool repeated) {
  const xlm_tokenizer *t = w->t;
  bool bytes = t->byte_fallback;
  for (uint32_t i = 0; i < n; i++) bytes = bytes && t->byte_token[(unsigned char)s[i]] >= 0;
  if (!bytes && !repeated) xlm_token_put(w, t->unk);
  for (uint32_t i = 0; bytes && i < n; i++) xlm_token_put(w, t->byte_token[(unsigned char)s[i]]);
}

void xlm_unigram_text(work *w, const char *s, size_t size) {
  uint32_t n = (uint32_t)size, count = 0;
  if (size + 1 > w->path_cap) {
    w->path_cap = 2 * size + 1;
    w->path = XLM_NEW_N(w->arena, node, w->path_cap);
  }
  node *best = w->path;
  for (uint32_t i = 0; i <= n; i++) best[i] = (node){.begin = NO_RANK};
  find_paths(w->t, s, n, best);
  uint32_t next = n; // turns the path round
  for (uint32_t end = n; end;) {
    uint32_t begin = best[end].begin;
    best[end].begin = next, next = end, end = begin, count++;
  }
  bool unknown = false;
  for (uint32_t begin = 0, end = next; count; count--) {
    bool is_unknown = best[end].id == w->t->unk;
    if (is_unknown)
      put_unknown(w, s + begin, end - begin, unknown);
    else
      xlm_token_put(w, best[end].id);
    unknown = is_unknown;
    begin = end, end = best[end].begin;
  }
}
