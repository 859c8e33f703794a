// Training of a byte-level BPE vocabulary: the pair of tokens that is most frequent in the words of a text is
// merged, until there are as many tokens as asked for. The result is that of BpeTrainer of Hugging Face's
// `tokenizers` for the same words: of pairs that are as frequent the one of lower ids is first.
//
// Counting is done by threads, each with a counter of its own; the result does not depend on who counted
// what.
#ifndef XLM_TOKENIZER_TRAIN_H
#define XLM_TOKENIZER_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_bpe_counter xlm_bpe_counter;
typedef struct xlm_bpe_trained xlm_bpe_trained;

// How a text is cut into words: "gpt2", "llama3" (numbers of up to 3 digits, words in any case), "qwen"
// (single digits). XLM_USER: another name.
xlm_status xlm_bpe_counter_new(const char *name, xlm_bpe_counter **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_bpe_counter_free(xlm_bpe_counter *c); // NULL: nothing
// Counts the words of a document. Bytes that are not UTF-8 count as U+FFFD.
xlm_status xlm_bpe_count(xlm_bpe_counter *c, const char *text, size_t n, xlm_error *err) XLM_MUST_CHECK;

typedef struct xlm_bpe_options {
  int32_t size;                // tokens, with special ones and the 256 bytes
  const char *const *specials; // get the first ids
  int n_specials;
  void (*progress)(void *arg, int32_t tokens); // may be NULL
  void *arg;
} xlm_bpe_options;

// Trains on the words of all counters, which stay as they are. XLM_USER: the size has no room for bytes and
// special tokens. A text that has too few pairs gives fewer tokens.
xlm_status xlm_bpe_train(const xlm_bpe_counter *const *counters, int n, const xlm_bpe_options *o,
                         xlm_bpe_trained **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_bpe_trained_free(xlm_bpe_trained *t); // NULL: nothing
int32_t xlm_bpe_trained_size(const xlm_bpe_trained *t);
int64_t xlm_bpe_trained_words(const xlm_bpe_trained *t); // that are different
// Writes tokenizer.json and, beside it, tokenizer_config.json and special_tokens_map.json, which name the
// first special token as begin and end of texts. Each is replaced as a whole.
xlm_status xlm_bpe_write(const xlm_bpe_trained *t, const char *path, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
