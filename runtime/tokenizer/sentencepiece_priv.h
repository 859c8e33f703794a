// What a SentencePiece model has besides a vocabulary: rules for its text, and scores.
#ifndef XLM_TOKENIZER_SENTENCEPIECE_PRIV_H
#define XLM_TOKENIZER_SENTENCEPIECE_PRIV_H

#include "runtime/tokenizer/tokenizer_priv.h"

typedef struct charsmap { // a double array (Darts) of texts, and what they become
  const uint32_t *unit;
  size_t n;
  span texts; // each ends with 0
} charsmap;

struct sp_rules {
  charsmap map;       // n = 0: none
  trie *user;         // texts that stay as they are; NULL: none
  bool dummy_prefix;  // a space is put in front
  bool suffix;        // or behind
  bool single_spaces; // spaces are removed in front and behind, and joined
  bool escapes;       // a space becomes a metaspace
};

struct unigram { // scores are logarithms of probabilities
  trie *trie;
  float *score; // by id
  bool *is_user;
  float unknown, most;
};

// charsmap.c: reads SentencePiece's precompiled_charsmap; false: damaged. The bytes must stay.
bool xlm_charsmap_read(xlm_arena *a, span bytes, charsmap *out);
// The text that the longest key at the begin of s becomes; 0: no key, else its length.
size_t xlm_charsmap_find(const charsmap *m, const char *s, size_t n, span *out);
void xlm_sp_normalize(work *w, const char *s, size_t n, buffer *out);

#endif
