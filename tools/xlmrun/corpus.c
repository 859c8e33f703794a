// The data of a run; see corpus.h.
#include "tools/xlmrun/corpus.h"

#include <string.h>

#include "tools/xlmrun/agree.h"

int64_t corpus_vocab(const session *s) {
  int64_t vocab = 0;
  for (uint32_t c = 0; c < s->plan->n_rank_plans; c++)
    for (uint32_t i = 0; i < s->plan->rank_plans[c]->n_inputs; i++) {
      int64_t v = s->plan->rank_plans[c]->inputs[i].vocab;
      if (v && (!vocab || v < vocab)) vocab = v;
    }
  return vocab;
}

bool session_tokens_are_bytes(const session *s) {
  const char *kind = xlm_setting_text(s->settings, XLM_SET_tokenizer);
  int64_t vocab = corpus_vocab(s);
  return !strcmp(kind, "auto") ? vocab > 0 && vocab <= 256 : !strcmp(kind, "bytes");
}

static xlm_status open_train(session *s, corpus *c) {
  const xlm_setting_value *v = &s->settings->value[XLM_SET_data];
  int64_t vocab = corpus_vocab(s), n = xlm_setting_int(s->settings, XLM_SET_num_train_samples);
  if (v->n) return xlm_data_open(v->list, v->n, vocab, &c->data, &s->err);
  // At most 256 different tokens: what follows what can then be learnt from few samples.
  return xlm_data_synthetic(n * s->plan->seq + 1, vocab && vocab < 256 ? vocab : 256, s->options.seed,
                            &c->data, &s->err);
}

// Without held-out data to speak of a run goes on, just without validation, unless it was asked for.
static xlm_status open_valid(session *s, corpus *c, xlm_data_part part, bool asked) {
  if (part.end - part.begin <= s->plan->seq && !asked) return XLM_OK;
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
    XLM_TRY(xlm_data_open(held_out->list, held_out->n, corpus_vocab(s), &c->held_out, &s->err));
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
