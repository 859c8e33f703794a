// See samples.h. The samples of a run are alike in all but its weights: every time the same prompts with the
// same random numbers.
#include "tools/xlmrun/samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/xlmrun/live.h"
#include "tools/xlmrun/transcript.h"
#include "tools/xlmrun/visible.h"

static const char *text_of(const samples *w, xlm_sequence *s, int i) {
  transcript t;
  transcript_open(&t, w->last, &w->encoding, s, w->shown[i]);
  transcript_end(&t, s);
  return t.out.text.data + t.continuation;
}

static xlm_status write_samples(void *arg, const xlm_metrics_sample **list, int *n, xlm_error *err) {
  samples *w = arg;
  xlm_arena_free(w->last);
  w->last = xlm_arena_child(w->s->arena);
  xlm_sequence *s = XLM_NEW_N(w->last, xlm_sequence, w->n);
  for (int i = 0; i < w->n; i++) {
    s[i] = w->prompts[i];
    s[i].tokens =
        xlm_arena_grow(w->last, w->prompts[i].tokens, (size_t)s[i].n, (size_t)s[i].cap, sizeof *s[i].tokens);
  }
  XLM_TRY(xlm_generate(w->last, w->decoder, &w->options, s, w->n, NULL, err));
  for (int i = 0; i < w->n; i++) w->list[i].text = text_of(w, &s[i], i);
  *list = w->list, *n = w->n;
  return XLM_OK;
}

static xlm_status check_prompt(samples *w, int64_t n) {
  if (xlm_generate_reads(w->decoder, &w->options, n)) return XLM_OK;
  return xlm_fail(&w->s->err, XLM_USER,
                  "--sample-prompt: the prompt has %" PRId64 " tokens, and the context of the run %" PRId64
                  ": shorten it",
                  n, xlm_decoder_context(w->decoder));
}

static xlm_status read_prompts(samples *w) {
  static const char *const none[] = {""};
  const xlm_setting_value *v = &w->s->settings->value[XLM_SET_sample_prompt];
  const char *const *texts = v->n ? v->list : none;
  w->n = v->n ? v->n : 1;
  w->prompts = XLM_NEW_N(w->s->arena, xlm_sequence, w->n);
  w->shown = XLM_NEW_N(w->s->arena, int64_t, w->n);
  w->list = XLM_NEW_N(w->s->arena, xlm_metrics_sample, w->n);
  for (int i = 0; i < w->n; i++) {
    prompt p = {texts[i], strlen(texts[i]), "--sample-prompt"};
    XLM_TRY(encoding_prompt(w->s, &w->encoding, &p, &w->prompts[i], &w->shown[i]));
    XLM_TRY(check_prompt(w, w->prompts[i].n));
    w->prompts[i].stream = (uint64_t)i << 32; // as generate's
    w->list[i].prompt = texts[i];
  }
  return XLM_OK;
}

static void set_options(samples *w) {
  const xlm_run_settings *r = w->s->settings;
  w->options =
      (xlm_generate_options){.sample = {.temperature = xlm_setting_float(r, XLM_SET_sample_temperature),
                                        .top_p = 1,
                                        .repetition_penalty = 1},
                             .seed = w->s->options.seed,
                             .max_tokens = xlm_setting_int(r, XLM_SET_sample_tokens),
                             .choices = w->encoding.choices,
                             .eos = w->encoding.eos,
                             .stops_when_full = true};
}

// A saved plan has logits only if it was made to write samples.
static xlm_status open_decoder(samples *w) {
  session *s = w->s;
  const xlm_decoder_input *in;
  if (xlm_decoder_open(s->arena, s->team, s->options.seed, &w->decoder, &s->err) != XLM_OK)
    return xlm_fail_in(&s->err, "--sample-interval");
  if (!xlm_decoder_inputs(w->decoder, &in)) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "--sample-interval: the model reads `%s` of every text besides its tokens, and samples have "
                  "prompts alone: leave it out, and use `xlmrun generate` with a checkpoint",
                  in->name);
}

xlm_status samples_open(session *s, const corpus *c, samples *out, xlm_loop_options *o) {
  *out = (samples){.s = s};
  int64_t interval = xlm_setting_int(s->settings, XLM_SET_sample_interval);
  if (!interval) return XLM_OK;
  XLM_TRY(open_decoder(out));
  XLM_TRY(encoding_open(s, c, &out->encoding));
  set_options(out);
  XLM_TRY(read_prompts(out));
  o->sample_interval = interval;
  o->sample = write_samples;
  o->sample_arg = out;
  return XLM_OK;
}

void samples_close(samples *w) {
  encoding_close(&w->encoding);
}

void samples_introduce(const samples *w) {
  if (!w->decoder) return;
  printf("samples every %s: caches and logits take %s of the plan\n",
         xlm_text_plural(w->s->arena, xlm_setting_int(w->s->settings, XLM_SET_sample_interval), "step"),
         xlm_text_bytes(w->s->arena, xlm_decoder_bytes(w->decoder)));
}

void samples_show(const xlm_progress *p) {
  xlm_arena *a = xlm_arena_new(0);
  bool room = a && XLM_ARENA_TRY(a); // else they are in the metrics only
  for (int i = 0; room && i < p->m.n_samples; i++) {
    const xlm_metrics_sample *s = &p->m.samples[i];
    xlm_text line = xlm_text_new(a);
    visible_line(&line, s->prompt, strlen(s->prompt));
    xlm_text_add(&line, " | ");
    visible_line(&line, s->text, strlen(s->text));
    live_print("step %" PRId64 "/%" PRId64 "  sample %d: %s", p->m.step, p->max_steps, i + 1, line.data);
  }
  xlm_arena_free(a);
}
