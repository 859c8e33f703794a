// See encoding.h.
#include "tools/xlmrun/encoding.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int32_t encoding_config_id(const session *s, const char *name) {
  for (uint32_t i = 0; i < s->plan->n_config; i++)
    for (int k = 0; k < s->plan->config[i].n_aliases; k++)
      if (!strcmp(s->plan->config[i].alias[k], name)) return (int32_t)s->plan->config[i].value;
  return -1;
}

static xlm_status find_start(session *s, encoding *e) {
  int64_t given = xlm_setting_int(s->settings, XLM_SET_start_token);
  e->start = given >= 0 ? (int32_t)given : encoding_config_id(s, "decoder_start_token_id");
  if (e->start < e->vocab) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER, "--start-token %d is outside the vocabulary of %lld", (int)e->start,
                  (long long)e->vocab);
}

xlm_status encoding_open(session *s, const corpus *c, encoding *out) {
  *out = (encoding){.vocab = corpus_vocab(s), .eos = -1, .start = -1};
  XLM_TRY(run_tokenizer_open(s, c, &out->tokenizer));
  out->bytes = !out->tokenizer && session_tokens_are_bytes(s);
  out->choices = out->tokenizer ? xlm_tokenizer_size(out->tokenizer) : out->vocab;
  out->eos = out->tokenizer ? xlm_tokenizer_special(out->tokenizer, XLM_TOKEN_EOS) : out->bytes ? 0 : -1;
  return find_start(s, out);
}

void encoding_close(encoding *e) {
  xlm_tokenizer_close(e->tokenizer);
  e->tokenizer = NULL;
}

static void put_token(session *s, xlm_sequence *to, int32_t id) {
  XLM_PUSH(s->arena, to->tokens, to->n, to->cap, id);
}

static xlm_status put_id(session *s, const encoding *e, const prompt *p, long long id, xlm_sequence *out) {
  if (id < 0 || id >= e->vocab)
    return xlm_fail(&s->err, XLM_USER, "%s: token %lld is outside the vocabulary of %lld", p->where, id,
                    (long long)e->vocab);
  put_token(s, out, (int32_t)id);
  return XLM_OK;
}

static xlm_status read_bytes(session *s, const encoding *e, const prompt *p, xlm_sequence *out) {
  for (size_t i = 0; i < p->n; i++) XLM_TRY(put_id(s, e, p, (unsigned char)p->text[i], out));
  return XLM_OK;
}

static xlm_status read_ids(session *s, const encoding *e, const prompt *p, xlm_sequence *out) {
  const char *c = p->text;
  while (isspace((unsigned char)*c)) c++;
  while (*c) {
    char *end;
    long long id = strtoll(c, &end, 10);
    if (end == c)
      return xlm_fail(&s->err, XLM_USER,
                      "%s: '%s' is not a list of token ids; this model's tokens are numbers, unless "
                      "--tokenizer FILE names its tokenizer",
                      p->where, c);
    XLM_TRY(put_id(s, e, p, id, out));
    for (c = end; isspace((unsigned char)*c) || *c == ',';) c++;
  }
  return XLM_OK;
}

static void put_before(session *s, const encoding *e, xlm_sequence *out) {
  const int32_t *before;
  int n = xlm_tokenizer_before(e->tokenizer, &before);
  for (int i = 0; i < n; i++) put_token(s, out, before[i]);
}

static xlm_status encode(session *s, const encoding *e, const prompt *p, xlm_sequence *out) {
  xlm_tokens ids = {0};
  xlm_status status = xlm_tokenizer_encode(e->tokenizer, p->text, p->n, &ids, &s->err);
  for (int64_t i = 0; i < ids.n; i++) put_token(s, out, ids.at[i]);
  xlm_tokens_free(&ids);
  return status;
}

// A token to start from, where there is no prompt.
static int32_t first_token(const encoding *e) {
  if (!e->tokenizer) return e->bytes && e->vocab > '\n' ? '\n' : 0;
  int32_t bos = xlm_tokenizer_special(e->tokenizer, XLM_TOKEN_BOS),
          eos = xlm_tokenizer_special(e->tokenizer, XLM_TOKEN_EOS);
  return bos >= 0 ? bos : eos >= 0 ? eos : 0;
}

static xlm_status read_text(session *s, const encoding *e, const prompt *p, xlm_sequence *out) {
  if (e->tokenizer) return encode(s, e, p, out);
  return (e->bytes ? read_bytes : read_ids)(s, e, p, out);
}

xlm_status encoding_source(session *s, const encoding *e, const prompt *p, int64_t vocab, xlm_sequence *out) {
  encoding own = *e;
  const int32_t *behind;
  own.vocab = vocab;
  if (e->tokenizer) put_before(s, e, out);
  XLM_TRY(read_text(s, &own, p, out));
  int n = e->tokenizer ? xlm_tokenizer_behind(e->tokenizer, &behind) : 0;
  for (int i = 0; i < n; i++) put_token(s, out, behind[i]);
  for (int64_t i = 0; i < out->n; i++)
    if (out->tokens[i] >= vocab)
      return xlm_fail(&s->err, XLM_USER, "%s: token %d is outside the vocabulary of %lld", p->where,
                      (int)out->tokens[i], (long long)vocab);
  return XLM_OK;
}

xlm_status encoding_prompt(session *s, const encoding *e, const prompt *p, xlm_sequence *out,
                           int64_t *shown) {
  if (e->start >= 0)
    put_token(s, out, e->start);
  else if (e->tokenizer)
    put_before(s, e, out);
  *shown = out->n;
  XLM_TRY(read_text(s, e, p, out));
  if (!out->n) put_token(s, out, first_token(e));
  if (!p->n) *shown = out->n;
  out->n_prompt = out->n;
  return XLM_OK;
}
