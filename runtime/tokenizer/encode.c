// Encoding: the memory of a thread, and the first stages of the chain.
#include <stdlib.h>

#include "runtime/tokenizer/tokenizer_priv.h"

#define WORK_LIMIT ((size_t)1 << 46) // memory is what the machine has

void xlm_token_put(work *w, int32_t id) {
  xlm_tokens *o = w->out;
  if (o->n == o->cap) {
    int64_t cap = o->cap ? 2 * o->cap : 1024;
    int32_t *at = realloc(o->at, (size_t)cap * sizeof *at);
    if (!at) xlm_arena_exhausted(w->arena, (size_t)cap * sizeof *at);
    o->at = at, o->cap = cap;
  }
  o->at[o->n++] = id;
}

void xlm_buffer_add(work *w, buffer *b, const char *s, size_t n) {
  if (!n) return;
  if (b->n + n > b->cap) {
    size_t cap = 2 * b->cap > b->n + n ? 2 * b->cap : b->n + n + 256;
    b->at = xlm_arena_grow(w->arena, b->at, b->n, cap, 1);
    b->cap = cap;
  }
  memcpy(b->at + b->n, s, n);
  b->n += n;
}

static void split_words(work *w, const char *s, size_t n, bool first) {
  xlm_split_from(w, 0, s, n, first);
}

static void normalize(work *w, const char *s, size_t n, bool first) {
  span text = xlm_normalize(w, s, n);
  xlm_added_split(w, &w->t->added_normalized, text.at, text.n, first, split_words);
}

static void encode(work *w, const char *s, size_t n) {
  if (!w->t->rules && !xlm_utf8_is_valid(s, n)) {
    xlm_utf8_repair(w, s, n, false, &w->repaired);
    s = w->repaired.at, n = w->repaired.n;
  }
  xlm_added_split(w, &w->t->added, s, n, true, normalize);
}

static void free_work(xlm_tokens *tokens) {
  if (tokens->work) xlm_arena_free(tokens->work->arena);
  tokens->work = NULL;
}

void xlm_tokens_free(xlm_tokens *tokens) {
  free_work(tokens);
  free(tokens->at);
  *tokens = (xlm_tokens){0};
}

static xlm_status new_work(const xlm_tokenizer *t, xlm_tokens *tokens, xlm_error *err) {
  if (tokens->work && tokens->work->serial == t->serial) return XLM_OK;
  free_work(tokens);
  xlm_arena *a = xlm_arena_new(WORK_LIMIT);
  if (!a || !XLM_ARENA_TRY(a)) {
    xlm_arena_free(a);
    return xlm_fail(err, XLM_ENV, "no memory to encode a text");
  }
  work *w = XLM_NEW(a, work);
  *w = (work){.serial = t->serial, .arena = a};
  xlm_matcher_new(a, &w->matcher);
  tokens->work = w;
  return XLM_OK;
}

xlm_status xlm_tokenizer_encode(const xlm_tokenizer *t, const char *text, size_t n, xlm_tokens *out,
                                xlm_error *err) {
  int64_t before = out->n;
  if (n > INT32_MAX)
    return xlm_fail(err, XLM_USER, "a document of %zu bytes: a tokenizer takes at most 2 GiB at once", n);
  XLM_TRY(new_work(t, out, err));
  work *w = out->work;
  w->t = t, w->out = out, w->err = err, w->status = XLM_OK;
  if (XLM_ARENA_TRY(w->arena)) {
    encode(w, text, n);
  } else {
    free_work(out); // its parts are not whole
    out->n = before;
    return xlm_fail(err, XLM_ENV, "no memory to encode a text of %zu bytes", n);
  }
  if (w->status != XLM_OK) out->n = before;
  return w->status;
}
