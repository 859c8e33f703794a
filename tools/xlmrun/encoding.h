// What a run's tokens are: of a tokenizer, bytes, or plain numbers; prompts as tokens.
#ifndef XLM_XLMRUN_ENCODING_H
#define XLM_XLMRUN_ENCODING_H

#include "runtime/decode/generate.h"
#include "tools/xlmrun/prompts.h"
#include "tools/xlmrun/run_tokenizer.h"

typedef struct encoding {
  xlm_tokenizer *tokenizer; // NULL: none
  bool bytes;               // a token is a byte
  int64_t vocab;            // of the model
  int64_t choices;          // ids below it have a meaning; a vocabulary may be padded
  int32_t eos;              // the token that ends a text; -1: none
  int32_t start;            // the token that begins every text in place of the tokenizer's; -1: none
} encoding;

// c: see run_tokenizer_open.
xlm_status encoding_open(session *s, const corpus *c, encoding *out);
void encoding_close(encoding *e);
static inline bool encoding_is_text(const encoding *e) { // tokens have a text
  return e->tokenizer || e->bytes;
}

// The model's token of this public name, as "pad_token_id"; -1: it says none.
int32_t encoding_config_id(const session *s, const char *name);

// The tokens of a text that the model reads besides, as the source of a translation: all that the tokenizer gives,
// with what it puts around a text. ids are below vocab.
xlm_status encoding_source(session *s, const encoding *e, const prompt *p, int64_t vocab, xlm_sequence *out);

// The tokens of a prompt, as the begin of a sequence (in the session's arena); *shown: where its text begins,
// behind tokens that the tokenizer puts before every text, such as <s>, or the one that stands for an empty
// prompt. XLM_USER with p->where: no ids, or ids outside the vocabulary.
xlm_status encoding_prompt(session *s, const encoding *e, const prompt *p, xlm_sequence *out, int64_t *shown);

#endif
