// The tokens of a batch of documents.
#include <stdlib.h>

#include "runtime/tokenize/tokenize_priv.h"

static xlm_status reserve(xlm_tokens *t, size_t n, xlm_error *err) {
  if (t->cap - t->n >= (int64_t)n) return XLM_OK;
  int64_t cap = 2 * t->cap + (int64_t)n + 64;
  int32_t *more = realloc(t->at, sizeof *more * (size_t)cap);
  if (!more) return xlm_fail(err, XLM_ENV, "no memory for tokens");
  t->at = more, t->cap = cap;
  return XLM_OK;
}

static xlm_status put_bytes(const xlm_document *x, xlm_tokens *t, xlm_error *err) {
  XLM_TRY(reserve(t, x->n, err));
  for (size_t i = 0; i < x->n; i++) t->at[t->n++] = (unsigned char)x->text[i];
  return XLM_OK;
}

static xlm_status put_id(xlm_tokens *t, int32_t id, xlm_error *err) {
  XLM_TRY(reserve(t, 1, err));
  t->at[t->n++] = id;
  return XLM_OK;
}

static xlm_status encode_document(const xlm_tokenize_options *o, const xlm_document *x, xlm_tokens *t,
                                  xlm_error *err) {
  const int32_t *before = NULL;
  int n = o->tokenizer ? xlm_tokenizer_before(o->tokenizer, &before) : 0;
  if (!x->n) return XLM_OK;
  for (int i = 0; i < n; i++) XLM_TRY(put_id(t, before[i], err));
  if (o->tokenizer)
    XLM_TRY(xlm_tokenizer_encode(o->tokenizer, x->text, x->n, t, err));
  else
    XLM_TRY(put_bytes(x, t, err));
  return o->end < 0 ? XLM_OK : put_id(t, (int32_t)o->end, err);
}

xlm_status xlm_batch_encode(const xlm_tokenize_options *o, batch *w, xlm_error *err) {
  XLM_TRY(xlm_documents_decode(&w->raw, err));
  if (w->raw.n > w->cap_ends) {
    int64_t *more = realloc(w->ends, sizeof *more * w->raw.n);
    if (!more) return xlm_fail(err, XLM_ENV, "no memory for tokens");
    w->ends = more, w->cap_ends = w->raw.n;
  }
  w->tokens.n = 0;
  for (size_t i = 0; i < w->raw.n; i++) {
    XLM_TRY(encode_document(o, &w->raw.documents[i], &w->tokens, err));
    w->ends[i] = w->tokens.n;
  }
  return XLM_OK;
}

void xlm_batch_free(batch *b) {
  xlm_document_batch_free(&b->raw);
  xlm_tokens_free(&b->tokens);
  free(b->ends);
}
