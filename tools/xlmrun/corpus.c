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
  if (!is_synthetic(v->list[0])) return sources_open(s, v, &c->data);
  c->data = (sources){XLM_NEW(s->arena, source), 1};
  c->data.at[0].name = v->list[0];
  // at most 256 different tokens, so that transitions can be learnt from few samples
  return corpus_synthetic(s, n, 256, s->options.seed, &c->data.at[0].data);
}

typedef struct parts { // of every source
  xlm_data_part *train, *valid;
} parts;

static xlm_status open_samples(session *s, const sources *from, const xlm_data_part *part, const char *what,
                               xlm_samples *out) {
  xlm_samples *each = XLM_NEW_N(s->arena, xlm_samples, from->n);
  double *weights = XLM_NEW_N(s->arena, double, from->n);
  for (int k = 0; k < from->n; k++) {
    weights[k] = from->at[k].weight;
    XLM_TRY(xlm_samples_open(part[k], s->plan->seq, s->options.seed, what, &each[k], &s->err));
  }
  *out = each[0];
  return sources_mixed(from) ? xlm_samples_mix(s->arena, each, weights, from->n, out, &s->err) : XLM_OK;
}

static bool is_enough(const session *s, const sources *from, const xlm_data_part *part) {
  for (int k = 0; k < from->n; k++)
    if (part[k].end - part[k].begin <= (xlm_data_has_records(part[k].data) ? 0 : s->plan->seq)) return false;
  return true;
}

// Without enough held-out data a run continues without validation, unless it was requested.
static xlm_status open_valid(session *s, corpus *c, const sources *from, const xlm_data_part *part,
                             bool asked) {
  if (!is_enough(s, from, part) && !asked) return XLM_OK;
  XLM_TRY(open_samples(s, from, part, "validation", &c->valid));
  c->has_valid = true;
  return XLM_OK;
}

static parts split(session *s, const sources *from, double fraction) {
  parts p = {XLM_NEW_N(s->arena, xlm_data_part, from->n), XLM_NEW_N(s->arena, xlm_data_part, from->n)};
  for (int k = 0; k < from->n; k++) xlm_data_split(from->at[k].data, fraction, &p.train[k], &p.valid[k]);
  return p;
}

static xlm_status open_all(session *s, bool want_train, corpus *c) {
  const xlm_setting_value *held_out = &s->settings->value[XLM_SET_valid];
  double fraction = held_out->n ? 0 : xlm_setting_float(s->settings, XLM_SET_valid_fraction);
  parts p = {0};
  if (want_train || !held_out->n) {
    XLM_TRY(open_train(s, c));
    p = split(s, &c->data, fraction);
  }
  if (want_train) XLM_TRY(open_samples(s, &c->data, p.train, "training", &c->train));
  if (!held_out->n) return open_valid(s, c, &c->data, p.valid, !want_train);
  XLM_TRY(sources_open(s, held_out, &c->held_out));
  return open_valid(s, c, &c->held_out, split(s, &c->held_out, 0).train, true);
}

xlm_status corpus_open(session *s, bool want_train, corpus *out) {
  *out = (corpus){0};
  xlm_status status = open_all(s, want_train, out);
  if (status == XLM_OK) status = agree_on_data(s, out);
  if (status != XLM_OK) corpus_close(out);
  return status;
}

void corpus_close(corpus *c) {
  sources_close(&c->data);
  sources_close(&c->held_out);
  *c = (corpus){0};
}

const char *corpus_size(session *s, const corpus *c) {
  const sources *x = &c->data;
  double n = 0;
  for (int k = 0; k < x->n; k++) n += (double)xlm_data_tokens(x->at[k].data);
  return xlm_arena_printf(s->arena, "%s %s%s", xlm_text_count(s->arena, n),
                          xlm_data_has_records(x->at[0].data) ? "records" : "tokens",
                          xlm_data_files(x->at[0].data) ? "" : " (synthetic)");
}

void corpus_show_mixture(session *s, const corpus *c, int64_t n) {
  for (int k = 0; k < c->data.n && sources_mixed(&c->data); k++) {
    const source *x = &c->data.at[k];
    int64_t all, drawn = xlm_samples_drawn(&c->train, k, n, &all);
    printf("  %5.1f%% of the samples: %s, %s %s, %.3g epochs\n", 100 * (double)drawn / (double)(n ? n : 1),
           x->name, xlm_text_count(s->arena, (double)xlm_data_tokens(x->data)),
           xlm_data_has_records(x->data) ? "records" : "tokens", (double)drawn / (double)all);
  }
}
