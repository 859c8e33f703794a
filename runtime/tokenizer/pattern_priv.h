// Regular expressions of tokenizers, by PCRE2, compiled to machine code where it can.
//
// Tokenizer files are written for other libraries: Oniguruma (tokenizer.json) and Rust's (tiktoken). Where
// the same text means something else to PCRE2 it is rewritten (\s, \w, \d, names of scripts), and what cannot
// be rewritten is an error.
#ifndef XLM_TOKENIZER_PATTERN_PRIV_H
#define XLM_TOKENIZER_PATTERN_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/arena.h"

typedef struct pattern pattern;

typedef enum pattern_dialect {
  PATTERN_LITERAL,
  PATTERN_ONIGURUMA, // ^ and $ match at lines
  PATTERN_RUST,
} pattern_dialect;

// Owned by the arena. XLM_USER: not a pattern, or one that has another meaning here; the text names it.
xlm_status xlm_pattern_new(xlm_arena *a, const char *text, size_t n, pattern_dialect dialect,
                           const pattern **out, xlm_error *err) XLM_MUST_CHECK;

bool xlm_pattern_is(const pattern *p, const char *literal); // does it match this text and no other?

typedef struct matcher { // of one thread
  void *data, *stack, *context;
} matcher;
void xlm_matcher_new(xlm_arena *a, matcher *m); // owned by the arena

// The first match of p in s[from, n), which is UTF-8. 1: found, 0: none, -1: the search needs too much
// memory.
int xlm_pattern_find(const pattern *p, matcher *m, const char *s, size_t n, size_t from, size_t *begin,
                     size_t *end);

#endif
