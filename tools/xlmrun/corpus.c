// The data of a run; see corpus.h.
#include "tools/xlmrun/corpus.h"

#include <stdio.h>
#include <string.h>

#include "runtime/train/feed.h"
#include "tools/xlmrun/agree.h"

int64_t corpus_vocab(const session *s) {
  int64_t vocab = 0;
  for (uint32_t c = 0; c < s->plan->n_rank_plans; c++)
    for (uint32_t i = 0; i < s->plan->rank_plans[c]->n_inputs; i++) {
      const xlm_plan_input *in = &s->plan->rank_plans[c]->inputs[i];
      if (in->role == XLM_INPUT_TOKENS && (!vocab || in->vocab < vocab)) vocab = in->vocab;
    }
  return vocab;
}

bool session_tokens_are_bytes(const session *s) {
  const char *kind = xlm_setting_text(s->settings, XLM_SET_tokenizer);
  int64_t vocab = corpus_vocab(s);
  return !strcmp(kind, "auto") ? vocab > 0 && vocab <= 256 : !strcmp(kind, "bytes");
}

static bool is_synthetic(const char *data) {
  return !strcmp(data, "synthetic");
}

xlm_status corpus_named(session *s) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_data];
  for (int i = 0; i < v->n; i++)
    if (is_synthetic(v->list[i]) && v->n > 1)
      return xlm_fail(&s->err, XLM_USER,
                      "%s: synthetic tokens or files, not both (a file of that name is ./synthetic)",
                      v->where);
  if (v->n) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "no data given: --data FILE... trains on text or tokens, --data synthetic on generated "
                  "tokens, for trials");
}

enum { BYTES_AND_SPECIALS = 512 };

// Text has one token per byte. With a vocabulary of thousands that is probably a mistake.
static xlm_status check_text(session *s, const xlm_data *d) {
  bool told = !strcmp(xlm_setting_text(s->settings, XLM_SET_tokenizer), "bytes") ||
              !strcmp(xlm_setting_text(s->settings, XLM_SET_data_format), "bytes");
  int64_t vocab = corpus_vocab(s);
  if (!xlm_data_is_text(d) || vocab <= BYTES_AND_SPECIALS || told) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "'%s' is text, of which every byte is a token, and the model has a vocabulary of %s: give "
                  "files of tokens (docs/data.md), or a model of bytes with a vocabulary of 256, or "
                  "--tokenizer bytes to train on bytes all the same",
                  xlm_data_first(d), xlm_text_thousands(s->arena, vocab));
}

static xlm_status check_fields(session *s, const xlm_data *d) {
  const char *name = xlm_data_lacks(d);
  if (!name) return XLM_OK;
  if (!strcmp(name, "documents") || !strcmp(name, "positions"))
    return xlm_fail(
        &s->err, XLM_USER,
        "the model reads `%s`, and nothing says where documents end in '%s': give the token that ends "
        "them, --document-end ID",
        name, xlm_data_first(d));
  return xlm_fail(
      &s->err, XLM_USER,
      "the model reads `%s`, and '%s' is a stream of tokens, which does not have it: give records "
      "(docs/data.md)",
      name, xlm_data_first(d));
}

static xlm_status open_files(session *s, const xlm_setting_value *v, xlm_data **out) {
  static const struct {
    const char *name;
    xlm_data_format format;
  } formats[] = {
      {"auto", XLM_DATA_AUTO}, {"bytes", XLM_DATA_BYTES}, {"u16", XLM_DATA_U16}, {"u32", XLM_DATA_U32}};
  xlm_data_options o;
  XLM_TRY(xlm_plan_data(s->plan, s->arena, &o, &s->err));
  o.record = xlm_setting_int(s->settings, XLM_SET_record_length);
  o.has_end = xlm_setting_given(s->settings, XLM_SET_document_end);
  if (o.has_end) o.end = xlm_setting_int(s->settings, XLM_SET_document_end);
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (!strcmp(formats[i].name, xlm_setting_text(s->settings, XLM_SET_data_format)))
      o.format = formats[i].format;
  XLM_TRY(xlm_data_open(v->list, v->n, o, out, &s->err));
  XLM_TRY(check_fields(s, *out));
  XLM_TRY(check_text(s, *out));
  if (*xlm_data_left_out(*out) && !s->silent) printf("%s\n", xlm_data_left_out(*out));
  return XLM_OK;
}

xlm_status corpus_synthetic(session *s, int64_t samples, int64_t most, uint64_t seed, xlm_data **out) {
  xlm_data_options o;
  XLM_TRY(xlm_plan_data(s->plan, s->arena, &o, &s->err));
  if (!o.vocab || (most && o.vocab > most)) o.vocab = 256;
  return xlm_data_synthetic(samples * s->plan->seq + (o.ahead ? o.ahead : 1), o, seed, out, &s->err);
}

static xlm_status open_train(session *s, corpus *c) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_data];
  int64_t n = xlm_setting_int(s->settings, XLM_SET_num_train_samples);
  XLM_TRY(corpus_named(s));
  if (!is_synthetic(v->list[0])) return open_files(s, v, &c->data);
  // at most 256 different tokens, so that transitions can be learnt from few samples
  return corpus_synthetic(s, n, 256, s->options.seed, &c->data);
}

// Without enough held-out data a run continues without validation, unless it was requested.
static xlm_status open_valid(session *s, corpus *c, xlm_data_part part, bool asked) {
  bool records = xlm_data_has_records(part.data);
  if (part.end - part.begin <= (records ? 0 : s->plan->seq) && !asked) return XLM_OK;
  XLM_TRY(xlm_samples_open(part, s->plan->seq, s->options.seed, "validation", &c->valid, &s->err));
  c->has_valid = true;
  return XLM_OK;
}

static xlm_status open_all(session *s, bool want_train, corpus *c) {
  const xlm_setting_value *held_out = &s->settings->value[XLM_SET_valid];
  double fraction = held_out->n ? 0 : xlm_setting_float(s->settings, XLM_SET_valid_fraction);
  xlm_data_part train, valid;
  if (want_train || !held_out->n) {
    XLM_TRY(open_train(s, c));
    xlm_data_split(c->data, fraction, &train, &valid);
  }
  if (held_out->n) {
    XLM_TRY(open_files(s, held_out, &c->held_out));
    valid = (xlm_data_part){c->held_out, 0, xlm_data_tokens(c->held_out)};
  }
  if (want_train)
    XLM_TRY(xlm_samples_open(train, s->plan->seq, s->options.seed, "training", &c->train, &s->err));
  return open_valid(s, c, valid, held_out->n > 0 || !want_train);
}

xlm_status corpus_open(session *s, bool want_train, corpus *out) {
  *out = (corpus){0};
  xlm_status status = open_all(s, want_train, out);
  if (status == XLM_OK) status = agree_on_data(s, out);
  if (status != XLM_OK) corpus_close(out);
  return status;
}

void corpus_close(corpus *c) {
  xlm_data_close(c->data);
  xlm_data_close(c->held_out);
  *c = (corpus){0};
}
