// xlmrun generate: continues prompts with the weights of a checkpoint.
//
// Texts are shown in the order of the prompts, the first that is not finished as it comes; or as JSON lines.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/xlmrun/encoding.h"
#include "tools/xlmrun/inputs.h"
#include "tools/xlmrun/transcript.h"
#include "tools/xlmrun/weights.h"

const char command_generate_usage[] =
    "usage: xlmrun generate [CHECKPOINT] [--prompt TEXT] [flags]\n"
    "       xlmrun generate [CHECKPOINT] --prompts FILE [flags]     a prompt per line, or JSON lines "
    "(.jsonl)\n"
    "       xlmrun generate MODEL.xlm --init-from WEIGHTS [flags]\n"
    "       xlmrun generate PLAN.json --init-from WEIGHTS [flags]   of `xlmc plan --program decode`";

enum { MOST_SLOTS = 8 };

typedef struct answer { // to a prompt
  int64_t prompt, sample;
  int64_t shown; // of its tokens: where its text begins
  xlm_arena *arena;
  transcript *text; // NULL: not begun, or printed
} answer;

typedef struct generator {
  session *s;
  encoding encoding;
  prompts prompts;
  int64_t samples, n; // samples of every prompt; answers
  bool json;
  const char *whole_because; // every token computes the whole window; NULL: it does not, or a plan says so
  xlm_decoder *decoder;
  xlm_generate_options options;
  xlm_generate_figures figures;
  xlm_sequence *sequences; // [n]
  answer *answers;         // [n]
  int64_t printed;
} generator;

// ---- what is printed ----

static void show_heading(const generator *g, const answer *a) {
  if (g->n == 1) return;
  printf("%s==> prompt %" PRId64, g->printed ? "\n" : "", a->prompt + 1);
  if (g->samples > 1) printf(", sample %" PRId64, a->sample + 1);
  printf(" <==\n");
}

static void put_tokens(xlm_json *j, const char *key, const int32_t *tokens, int64_t n) {
  xlm_json_array(j, key, XLM_JSON_DENSE);
  for (int64_t i = 0; i < n; i++) xlm_json_put_int(j, NULL, tokens[i]);
  xlm_json_close(j);
}

static void show_json(const generator *g, const answer *a, const xlm_sequence *s) {
  const prompt *p = &g->prompts.at[a->prompt];
  const transcript *t = a->text;
  xlm_text out = xlm_text_new(a->arena);
  xlm_json j;
  xlm_json_to_text(&j, &out);
  xlm_json_object(&j, NULL, XLM_JSON_ROW);
  xlm_json_put_int(&j, "index", a->prompt);
  xlm_json_put_int(&j, "sample", a->sample);
  xlm_json_put_textn(&j, "prompt", p->text, p->n);
  if (encoding_is_text(&g->encoding))
    xlm_json_put_textn(&j, "text", t->out.text.data + t->continuation, t->out.text.n - t->continuation);
  xlm_json_put_text(&j, "finish", xlm_finish_name(s->finish));
  xlm_json_put_int(&j, "prompt_tokens", s->n_prompt);
  xlm_json_put_int(&j, "rereads", s->rereads);
  put_tokens(&j, "tokens", s->tokens + s->n_prompt, s->n - s->n_prompt);
  xlm_json_close(&j);
  puts(out.data);
}

static double rate(int64_t tokens, double seconds) {
  return seconds > 0 ? (double)tokens / seconds : 0;
}

static void show_json_figures(const generator *g) {
  const xlm_generate_figures *f = &g->figures;
  xlm_text out = xlm_text_new(g->s->arena);
  xlm_json j;
  xlm_json_to_text(&j, &out);
  xlm_json_object(&j, NULL, XLM_JSON_ROW);
  xlm_json_object(&j, "speed", XLM_JSON_ROW);
  xlm_json_put_int(&j, "slots", xlm_decoder_slots(g->decoder));
  if (f->encode_sequences) {
    xlm_json_put_int(&j, "encode_sequences", f->encode_sequences);
    xlm_json_put_rounded(&j, "encode_sequences_per_s", rate(f->encode_sequences, f->encode_s), 6);
  }
  xlm_json_put_int(&j, "prefill_tokens", f->prefill_tokens);
  xlm_json_put_rounded(&j, "prefill_tokens_per_s", rate(f->prefill_tokens, f->prefill_s), 6);
  xlm_json_put_int(&j, "decode_tokens", f->decode_tokens);
  xlm_json_put_rounded(&j, "decode_tokens_per_s", rate(f->decode_tokens, f->decode_s), 6);
  xlm_json_close(&j);
  xlm_json_close(&j);
  puts(out.data);
}

static void show_figures(const generator *g) {
  const xlm_generate_figures *f = &g->figures;
  if (g->json) show_json_figures(g);
  fflush(stdout);
  if (g->s->silent) return;
  if (f->encode_sequences)
    fprintf(stderr, "encode %s, %.4g/s   ", xlm_text_plural(g->s->arena, f->encode_sequences, "sequence"),
            rate(f->encode_sequences, f->encode_s));
  fprintf(stderr, "prefill %s, %.4g tokens/s", xlm_text_plural(g->s->arena, f->prefill_tokens, "token"),
          rate(f->prefill_tokens, f->prefill_s));
  if (f->decode_tokens)
    fprintf(stderr, "   decode %s, %.4g tokens/s", xlm_text_plural(g->s->arena, f->decode_tokens, "token"),
            rate(f->decode_tokens, f->decode_s));
  fprintf(stderr, "\n");
}

// Says what became of texts that did not fit the context.
static void show_context(const generator *g) {
  int64_t ended = 0, rereads = 0, context = xlm_decoder_context(g->decoder);
  for (int64_t i = 0; i < g->n; i++)
    ended += g->sequences[i].finish == XLM_FINISH_CONTEXT, rereads += g->sequences[i].rereads;
  if (ended && !g->s->silent)
    fprintf(stderr, "note: %s where the context of %" PRId64 " tokens is full\n",
            ended == 1 ? "1 text ends" : xlm_arena_printf(g->s->arena, "%" PRId64 " texts end", ended),
            context);
  if (rereads && !g->s->silent)
    fprintf(stderr,
            "note: the context of %" PRId64 " tokens was full %s: its last half was read again and "
            "continued; --when-full stop ends texts there\n",
            context, xlm_text_plural(g->s->arena, rereads, "time"));
}

// ---- answers ----

static void begin_answer(generator *g, answer *a, const xlm_sequence *s) {
  const xlm_setting_value *stops = &g->s->settings->value[XLM_SET_stop];
  if (a->text) return;
  a->arena = xlm_arena_child(g->s->arena);
  a->text = XLM_NEW(a->arena, transcript);
  transcript_open(a->text, a->arena, &g->encoding, s, a->shown);
  transcript_stop_at(a->text, stops->list, stops->n); // not in the prompt
}

static void print_answer(generator *g, answer *a, const xlm_sequence *s) {
  if (g->json) {
    show_json(g, a, s);
  } else {
    if (!a->text->out.live) show_heading(g, a);
    writer_close(&a->text->out);
  }
  fflush(stdout);
  xlm_arena_free(a->arena);
  a->text = NULL;
}

// The first text that is not finished.
static void go_live(generator *g) {
  if (g->json || g->printed == g->n) return;
  answer *a = &g->answers[g->printed];
  begin_answer(g, a, &g->sequences[g->printed]);
  if (!a->text->out.live) show_heading(g, a);
  writer_go_live(&a->text->out);
}

static bool add_token(void *arg, xlm_sequence *s) {
  answer *a = s->own;
  begin_answer(arg, a, s);
  return transcript_add(a->text, s);
}

static void end_answer(void *arg, xlm_sequence *s) {
  generator *g = arg;
  answer *a = s->own;
  begin_answer(g, a, s);
  if (s->finish != XLM_FINISH_STOP) transcript_end(a->text, s);
  for (; g->printed < g->n && g->sequences[g->printed].finish; g->printed++)
    print_answer(g, &g->answers[g->printed], &g->sequences[g->printed]);
  go_live(g);
}

// ---- what is generated ----

static xlm_status check_prompt(generator *g, const prompt *p, int64_t n) {
  int64_t context = xlm_decoder_context(g->decoder), reads = xlm_generate_reads(g->decoder, &g->options, n);
  if (!reads)
    return xlm_fail(&g->s->err, XLM_USER,
                    "%s: the prompt has %" PRId64 " tokens, and the context %" PRId64
                    ": shorten it, or let --when-full half read its last %" PRId64,
                    p->where, n, context, context / 2);
  if (reads < n && !g->s->silent)
    fprintf(stderr,
            "note: %s: the prompt has %" PRId64 " tokens, and the context %" PRId64 ": only its last %" PRId64
            " are read\n",
            p->where, n, context, reads);
  return XLM_OK;
}

static xlm_status open_answers(generator *g) {
  g->sequences = XLM_NEW_N(g->s->arena, xlm_sequence, g->n);
  g->answers = XLM_NEW_N(g->s->arena, answer, g->n);
  for (int64_t i = 0; i < g->n; i++) {
    answer *a = &g->answers[i];
    xlm_sequence *s = &g->sequences[i];
    const prompt *p = &g->prompts.at[i / g->samples];
    *a = (answer){.prompt = i / g->samples, .sample = i % g->samples};
    *s = (xlm_sequence){.own = a, .stream = (uint64_t)a->prompt << 32 | (uint64_t)a->sample};
    XLM_TRY(encoding_prompt(g->s, &g->encoding, p, s, &a->shown));
    s->inputs = i ? s[-1].inputs : NULL;
    if (a->sample) continue;
    XLM_TRY(inputs_read(g->s, &g->encoding, g->decoder, p, &s->inputs));
    XLM_TRY(check_prompt(g, p, s->n_prompt));
  }
  return XLM_OK;
}

static void set_options(generator *g) {
  const xlm_run_settings *r = g->s->settings;
  g->options = (xlm_generate_options){
      .sample = {.temperature = xlm_setting_float(r, XLM_SET_temperature),
                 .top_k = xlm_setting_int(r, XLM_SET_top_k),
                 .top_p = xlm_setting_float(r, XLM_SET_top_p),
                 .min_p = xlm_setting_float(r, XLM_SET_min_p),
                 .repetition_penalty = xlm_setting_float(r, XLM_SET_repetition_penalty)},
      .seed = g->s->options.seed,
      .max_tokens = xlm_setting_int(r, XLM_SET_max_tokens),
      .choices = g->encoding.choices,
      .eos = g->encoding.eos,
      .stops_when_full = !strcmp(xlm_setting_text(r, XLM_SET_when_full), "stop"),
      .token = add_token,
      .finished = end_answer,
      .arg = g};
}

static xlm_status check_stops(generator *g) {
  const xlm_setting_value *stops = &g->s->settings->value[XLM_SET_stop];
  if (!stops->n || encoding_is_text(&g->encoding)) return XLM_OK;
  return xlm_fail(&g->s->err, XLM_USER,
                  "%s: a text to stop at, and this model's tokens are numbers, unless --tokenizer FILE names "
                  "its tokenizer",
                  stops->where);
}

// A plan of training evaluates losses and metrics, and has logits only if it is to write samples.
static xlm_status check_saved(session *s) {
  const xlm_plan *p = s->plan;
  for (uint32_t c = 0; s->saved && c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_outputs; i++)
      if (p->rank_plans[c]->outputs[i].role == XLM_OUTPUT_OUTPUT) return XLM_OK;
  if (!s->saved) return XLM_OK;
  return xlm_fail(
      &s->err, XLM_USER,
      "'%s' is a plan for training, without logits: make one with `xlmc plan --program decode`, or give a "
      "checkpoint, or the model with --init-from WEIGHTS",
      s->saved);
}

static void show_way(const generator *g) {
  if (g->whole_because && !g->s->silent)
    fprintf(stderr, "note: every token computes the whole context of %" PRId64 " tokens: %s\n",
            xlm_decoder_context(g->decoder), g->whole_because);
}

static xlm_status run(generator *g) {
  session *s = g->s;
  XLM_TRY(xlm_decoder_open(s->arena, s->team, s->options.seed, &g->decoder, &s->err));
  XLM_TRY(encoding_open(s, NULL, &g->encoding));
  XLM_TRY(check_stops(g));
  XLM_TRY(inputs_check(g->s, g->decoder, &g->prompts));
  set_options(g);
  XLM_TRY(open_answers(g));
  show_way(g);
  XLM_TRY(session_fill(s, true));
  go_live(g);
  XLM_TRY(xlm_generate(s->arena, g->decoder, &g->options, g->sequences, g->n, &g->figures, &s->err));
  show_figures(g);
  show_context(g);
  return XLM_OK;
}

// Rows of the plan's batch, on every data-parallel rank.
static int64_t count_slots(const generator *g) {
  const xlm_run_settings *r = g->s->settings;
  int64_t given = xlm_setting_int(r, XLM_SET_slots), ranks = xlm_setting_int(r, XLM_SET_dp),
          most = given > 0 ? given : MOST_SLOTS;
  return ((g->n < most ? g->n : most) + ranks - 1) / ranks;
}

static xlm_status generate(session *s) {
  const xlm_run_settings *r = s->settings;
  generator g = {.s = s};
  XLM_TRY(weights_open(s));
  XLM_TRY(prompts_read(s, &g.prompts));
  g.samples = xlm_setting_int(r, XLM_SET_samples);
  g.n = g.prompts.n * g.samples;
  g.json = !strcmp(xlm_setting_text(r, XLM_SET_generate_format), "json");
  XLM_TRY(session_compile_decoding(s, count_slots(&g), &g.whole_because));
  XLM_TRY(check_saved(s));
  XLM_TRY(session_open(s));
  xlm_status status = run(&g);
  encoding_close(&g.encoding);
  return status;
}

int command_generate(int argc, char *const *argv) {
  return session_run('g', command_generate_usage, argc, argv, generate);
}
