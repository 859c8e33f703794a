// See rows.h.
#include "runtime/evaluate/rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/evaluate/task_priv.h"

typedef struct adding {
  xlm_arena *arena;
  const xlm_encoder *e;
  const char *prefix_text; // a text that begins with it gets no tokens before it
  int64_t window;
  xlm_tokens whole, prompt; // memory that is used again
  xlm_rows *out;
  xlm_error *err;
} adding;

xlm_status xlm_encoder_of(const xlm_tokenizer *t, xlm_encoder *out, xlm_error *err) {
  *out = (xlm_encoder){t, '\n'};
  if (!t) return XLM_OK;
  out->prefix = xlm_tokenizer_special(t, XLM_TOKEN_BOS);
  if (out->prefix < 0) out->prefix = xlm_tokenizer_special(t, XLM_TOKEN_EOS);
  if (out->prefix >= 0) return XLM_OK;
  return xlm_fail(
      err, XLM_USER,
      "the tokenizer '%s' has no token that begins or ends a text: name bos_token or eos_token in "
      "a tokenizer_config.json beside it",
      xlm_tokenizer_path(t));
}

// ---- tokens

static xlm_status push(adding *x, xlm_tokens *out, const int32_t *ids, int64_t n) {
  if (out->n + n > out->cap) {
    int64_t cap = 2 * (out->n + n) + 64;
    int32_t *more = realloc(out->at, (size_t)cap * sizeof *more);
    if (!more) return xlm_fail(x->err, XLM_ENV, "no memory for the tokens of a text");
    out->at = more, out->cap = cap;
  }
  if (n) memcpy(out->at + out->n, ids, (size_t)n * sizeof *ids);
  out->n += n;
  return XLM_OK;
}

static xlm_status encode(adding *x, const char *text, bool with_special, xlm_tokens *out) {
  const xlm_tokenizer *t = x->e->tokenizer;
  const int32_t *ids;
  size_t n = strlen(text);
  out->n = 0;
  for (size_t i = 0; !t && i < n; i++) XLM_TRY(push(x, out, &(int32_t){(unsigned char)text[i]}, 1));
  if (!t) return XLM_OK;
  bool special = with_special && strncmp(text, x->prefix_text, strlen(x->prefix_text)) != 0;
  if (special) {
    int k = xlm_tokenizer_before(t, &ids);
    XLM_TRY(push(x, out, ids, k));
  }
  XLM_TRY(xlm_tokenizer_encode(t, text, n, out, x->err));
  int k = special ? xlm_tokenizer_behind(t, &ids) : 0;
  return push(x, out, ids, k);
}

// ---- rows

static void add(adding *x, const int32_t *tokens, int64_t n, int64_t scored, int64_t item, int text) {
  if (n > x->window + 1) tokens += n - (x->window + 1), n = x->window + 1, x->out->cut++;
  int32_t *copy = XLM_NEW_N(x->arena, int32_t, n);
  memcpy(copy, tokens, (size_t)n * sizeof *copy);
  if (n - 1 > x->out->longest) x->out->longest = n - 1;
  XLM_PUSH(x->arena, x->out->at, x->out->n, x->out->cap,
           ((xlm_row){.tokens = copy, .n = n, .scored = scored, .item = item, .text = text}));
}

// White space at the end of the prompt belongs to the continuation, where tokenizers have it.
static const char *without_last_spaces(xlm_arena *a, const char *prompt, const char **continuation) {
  size_t n = 0;
  for (const char *p = prompt; *p;) {
    size_t space = space_at(p);
    p += space ? space : 1;
    if (!space) n = (size_t)(p - prompt);
  }
  *continuation = xlm_arena_printf(a, "%s%s", prompt + n, *continuation);
  return xlm_arena_strndup(a, prompt, n);
}

static xlm_status add_pair(adding *x, const char *prompt, const char *continuation, int64_t item, int text) {
  int64_t before = 1;
  if (*prompt) {
    prompt = without_last_spaces(x->arena, prompt, &continuation);
    XLM_TRY(encode(x, prompt, true, &x->prompt));
    XLM_TRY(encode(x, xlm_arena_printf(x->arena, "%s%s", prompt, continuation), true, &x->whole));
    before = x->prompt.n < x->whole.n ? x->prompt.n : x->whole.n;
    if (!before) return xlm_fail(x->err, XLM_USER, "the prompt has no tokens");
  } else {
    XLM_TRY(encode(x, continuation, false, &x->prompt));
    x->whole.n = 0;
    if (!x->prompt.n || x->prompt.at[0] != x->e->prefix) XLM_TRY(push(x, &x->whole, &x->e->prefix, 1));
    XLM_TRY(push(x, &x->whole, x->prompt.at, x->prompt.n));
  }
  int64_t scored = x->whole.n - before;
  if (!scored)
    return xlm_fail(x->err, XLM_USER, "what follows the prompt, '%.60s', has no tokens", continuation);
  if (scored > x->window)
    return xlm_fail(x->err, XLM_USER,
                    "what follows the prompt has %" PRId64 " tokens, and the model's window has %" PRId64,
                    scored, x->window);
  add(x, x->whole.at, x->whole.n, scored, item, text);
  return XLM_OK;
}

static xlm_status add_rolling(adding *x, const char *text, int64_t item) {
  x->whole.n = 0;
  XLM_TRY(encode(x, text, true, &x->prompt));
  XLM_TRY(push(x, &x->whole, &x->e->prefix, 1));
  XLM_TRY(push(x, &x->whole, x->prompt.at, x->prompt.n));
  const int32_t *tokens = x->whole.at + 1;
  int64_t n = x->whole.n - 1, done = n < x->window ? n : x->window;
  if (n) add(x, x->whole.at, done + 1, done, item, 0);
  while (done < n) {
    int64_t scored = n - done < x->window ? n - done : x->window;
    done += scored;
    add(x, tokens + done - x->window - 1, x->window + 1, scored, item, 0);
  }
  return XLM_OK;
}

static xlm_status add_item(adding *x, const xlm_item *item, int64_t index) {
  if (!item->prompts) return add_rolling(x, item->texts[0], index);
  for (int i = 0; i < item->n; i++) XLM_TRY(add_pair(x, item->prompts[i], item->texts[i], index, i));
  return XLM_OK;
}

xlm_status xlm_rows_add(xlm_arena *a, const char *path, const xlm_items *items, const xlm_encoder *e,
                        int64_t window, xlm_rows *out, xlm_error *err) {
  xlm_text prefix = xlm_text_new(a);
  adding x = {.arena = a, .e = e, .window = window, .out = out, .err = err};
  if (e->tokenizer) xlm_tokenizer_decode(e->tokenizer, &e->prefix, 1, &prefix);
  x.prefix_text = prefix.data;
  xlm_status s = XLM_OK;
  for (int64_t i = 0; i < items->n && s == XLM_OK; i++) {
    s = add_item(&x, &items->at[i], i);
    if (s != XLM_OK) s = xlm_fail_in(err, "'%s', record %" PRId64, path, items->at[i].record);
  }
  xlm_tokens_free(&x.whole);
  xlm_tokens_free(&x.prompt);
  return s;
}
