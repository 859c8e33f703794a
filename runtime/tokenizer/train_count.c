// Counting the words of a text; see train.h.
#include <string.h>

#include "runtime/base/hash.h"
#include "runtime/tokenizer/train_priv.h"

#define COUNTER_LIMIT ((size_t)1 << 46)

static const training_pattern patterns[] = {
    {"llama3",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
     "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"gpt2", NULL},
    {"qwen",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
     "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};

static uint32_t find_slot(const word_counts *c, const char *s, size_t n) {
  uint32_t i = (uint32_t)XXH3_64bits(s, n) & (c->slots - 1);
  while (c->slot[i] && !span_is(c->at[c->slot[i] - 1].text, (span){s, n})) i = (i + 1) & (c->slots - 1);
  return i;
}

static void grow(xlm_arena *a, word_counts *c) {
  c->slots = c->slots ? 2 * c->slots : 1024;
  c->slot = XLM_NEW_N(a, uint32_t, c->slots);
  for (uint32_t k = 0; k < c->n; k++) c->slot[find_slot(c, c->at[k].text.at, c->at[k].text.n)] = k + 1;
}

void xlm_word_count(xlm_arena *a, word_counts *c, const char *s, size_t n, int64_t count) {
  if (2 * (uint64_t)c->n >= c->slots) grow(a, c);
  uint32_t i = find_slot(c, s, n);
  if (!c->slot[i]) {
    XLM_PUSH(a, c->at, c->n, c->cap, ((counted){{xlm_arena_strndup(a, s, n), n}, 0}));
    c->slot[i] = c->n;
  }
  c->at[c->slot[i] - 1].count += count;
}

static void count_word(work *w, const char *s, size_t n) {
  xlm_bpe_counter *c = w->t->model_arg;
  xlm_word_count(c->arena, &c->words, s, n, 1);
}

static const training_pattern *find_pattern(const char *name) {
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
    if (!strcmp(patterns[i].name, name)) return &patterns[i];
  return NULL;
}

static xlm_status make(xlm_bpe_counter *c, xlm_error *err) {
  const char *regex = c->pattern->regex ? c->pattern->regex : xlm_gpt2_pattern;
  xlm_tokenizer *t = c->t = XLM_NEW(c->arena, xlm_tokenizer);
  *t = (xlm_tokenizer){.arena = c->arena, .byte_level = true, .model = count_word};
  split_step *s = &t->split[t->n_split++];
  *s = (split_step){.kind = SPLIT_PATTERN, .behavior = SPLIT_ISOLATED};
  return xlm_pattern_new(c->arena, regex, strlen(regex), PATTERN_RUST, &s->pattern, err);
}

xlm_status xlm_bpe_counter_new(const char *name, xlm_bpe_counter **out, xlm_error *err) {
  *out = NULL;
  const training_pattern *p = find_pattern(name);
  if (!p) return xlm_fail(err, XLM_USER, "'%s' is no pattern for words: llama3, gpt2 or qwen is", name);
  xlm_arena *a = xlm_arena_new(COUNTER_LIMIT);
  if (!a || !XLM_ARENA_TRY(a)) {
    xlm_arena_free(a);
    return xlm_fail(err, XLM_ENV, "no memory to count words");
  }
  xlm_bpe_counter *c = XLM_NEW(a, xlm_bpe_counter);
  *c = (xlm_bpe_counter){.arena = a, .pattern = p};
  xlm_status status = make(c, err);
  if (status == XLM_OK)
    *out = c;
  else
    xlm_arena_free(a);
  return status;
}

void xlm_bpe_counter_free(xlm_bpe_counter *c) {
  if (!c) return;
  xlm_tokens_free(&c->tokens);
  xlm_arena_free(c->arena);
}

xlm_status xlm_bpe_count(xlm_bpe_counter *c, const char *text, size_t n, xlm_error *err) {
  if (!XLM_ARENA_TRY(c->arena)) return xlm_fail(err, XLM_ENV, "no memory to count more words");
  c->t->model_arg = c;
  return xlm_tokenizer_encode(c->t, text, n, &c->tokens, err);
}
