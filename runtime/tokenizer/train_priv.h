// Internals of training, shared by its files.
#ifndef XLM_TOKENIZER_TRAIN_PRIV_H
#define XLM_TOKENIZER_TRAIN_PRIV_H

#include "runtime/tokenizer/tokenizer_priv.h"
#include "runtime/tokenizer/train.h"

typedef struct counted { // a word
  span text;
  int64_t count;
} counted;

typedef struct word_counts { // in the order of their first occurrence
  counted *at;
  uint32_t n, cap;
  uint32_t *slot; // open addressing: index + 1; 0 = free
  uint32_t slots;
} word_counts;

void xlm_word_count(xlm_arena *a, word_counts *c, const char *s, size_t n, int64_t count); // copies new words

typedef struct training_pattern {
  const char *name;
  const char *regex; // NULL: ByteLevel's own
} training_pattern;

struct xlm_bpe_counter {
  xlm_tokenizer *t; // its pre-tokenizer
  xlm_tokens tokens;
  xlm_arena *arena;
  word_counts words;
  const training_pattern *pattern;
};

struct xlm_bpe_trained {
  xlm_arena *arena;
  const training_pattern *pattern;
  const char *const *specials;
  int n_specials;
  span *token; // by id: bytes; special ones as they are
  int32_t size;
  struct merge {
    int32_t left, right, id;
  } * merges;
  uint32_t n_merges, cap_merges;
  int64_t words;
};

#endif
