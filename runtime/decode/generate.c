// Continues many texts; see generate.h. New texts are read in a put of their own, so that reading prompts and
// writing can be timed apart.
#include "runtime/decode/generate.h"

#include "runtime/base/clock.h"
#include "runtime/base/philox.h"

typedef struct lane { // a slot at work
  xlm_sequence *s;    // NULL: idle
  int64_t first;      // of its tokens: where the slot's text begins
  int64_t put;        // how many of its tokens were put, or precede the slot's text
} lane;

typedef struct generator {
  xlm_arena *arena;
  xlm_decoder *d;
  const xlm_generate_options *o;
  xlm_sequence *waiting;
  int64_t n_waiting;
  lane *lanes;
  xlm_decoder_piece *pieces;
  xlm_decoder_source *sources;
  xlm_sampler sampler;
  xlm_philox key;
  xlm_generate_figures figures;
} generator;

const char *xlm_finish_name(xlm_finish f) {
  static const char *const names[] = {"", "eos", "stop", "length", "context"};
  return names[f];
}

static int64_t half(const xlm_decoder *d) {
  int64_t n = xlm_decoder_context(d) / 2;
  return n > 0 ? n : 1;
}

int64_t xlm_generate_reads(const xlm_decoder *d, const xlm_generate_options *o, int64_t n_prompt) {
  if (n_prompt <= xlm_decoder_context(d)) return n_prompt;
  return o->stops_when_full ? 0 : half(d);
}

// ---- slots ----

static void begin_text(generator *g, int slot, int64_t n) { // its last n tokens
  lane *l = &g->lanes[slot];
  xlm_decoder_reset(g->d, slot);
  l->first = l->put = l->s->n - n;
}

static xlm_status encode(generator *g, int n, xlm_error *err) {
  double from = xlm_clock_seconds();
  if (!n) return XLM_OK;
  XLM_TRY(xlm_decoder_encode(g->d, g->sources, n, err));
  g->figures.encode_sequences += n;
  g->figures.encode_s += xlm_clock_seconds() - from;
  return XLM_OK;
}

static xlm_status fill_idle(generator *g, xlm_error *err) {
  int n = 0;
  for (int i = 0; i < xlm_decoder_slots(g->d) && g->n_waiting; i++) {
    if (g->lanes[i].s) continue;
    xlm_sequence *s = g->lanes[i].s = g->waiting++;
    g->n_waiting--;
    begin_text(g, i, xlm_generate_reads(g->d, g->o, s->n));
    if (s->inputs) g->sources[n++] = (xlm_decoder_source){i, s->inputs};
  }
  return encode(g, n, err);
}

static void finish(generator *g, int slot, xlm_finish why) {
  xlm_sequence *s = g->lanes[slot].s;
  s->finish = why;
  g->lanes[slot].s = NULL;
  if (g->o->finished) g->o->finished(g->o->arg, s);
}

static int32_t choose(generator *g, int slot) {
  const xlm_sequence *s = g->lanes[slot].s;
  uint32_t draw[4];
  xlm_philox_draw(g->key, s->stream, (uint64_t)(s->n - s->n_prompt), draw);
  return xlm_sample(&g->sampler, &g->o->sample, xlm_decoder_logits(g->d, slot), s->tokens, s->n,
                    xlm_philox_unit(draw[0]));
}

// The next token of a slot whose text was put.
static void advance(generator *g, int slot) {
  xlm_sequence *s = g->lanes[slot].s;
  int32_t token = choose(g, slot);
  if (token == g->o->eos) {
    finish(g, slot, XLM_FINISH_EOS);
    return;
  }
  XLM_PUSH(g->arena, s->tokens, s->n, s->cap, token);
  bool full = xlm_decoder_length(g->d, slot) == xlm_decoder_context(g->d);
  if (g->o->token && g->o->token(g->o->arg, s))
    finish(g, slot, XLM_FINISH_STOP);
  else if (s->n - s->n_prompt >= g->o->max_tokens)
    finish(g, slot, XLM_FINISH_LENGTH);
  else if (full && g->o->stops_when_full)
    finish(g, slot, XLM_FINISH_CONTEXT);
  else if (full)
    s->rereads++, begin_text(g, slot, half(g->d));
}

// ---- puts ----

// Puts what is new in the slots whose text begins (or in the others) and chooses their next tokens.
static xlm_status put(generator *g, bool begins, xlm_error *err) {
  int64_t tokens = 0, *n_tokens = begins ? &g->figures.prefill_tokens : &g->figures.decode_tokens;
  double from = xlm_clock_seconds(), *seconds = begins ? &g->figures.prefill_s : &g->figures.decode_s;
  int n = 0;
  for (int i = 0; i < xlm_decoder_slots(g->d); i++) {
    lane *l = &g->lanes[i];
    if (!l->s || (l->put == l->first) != begins) continue;
    g->pieces[n++] = (xlm_decoder_piece){i, l->s->tokens + l->put, l->s->n - l->put};
    tokens += l->s->n - l->put;
    l->put = l->s->n;
  }
  if (!n) return XLM_OK;
  XLM_TRY(xlm_decoder_put(g->d, g->pieces, n, err));
  for (int i = 0; i < n; i++) advance(g, g->pieces[i].slot);
  *n_tokens += tokens;
  *seconds += xlm_clock_seconds() - from;
  return XLM_OK;
}

static bool is_busy(const generator *g) {
  for (int i = 0; i < xlm_decoder_slots(g->d); i++)
    if (g->lanes[i].s) return true;
  return g->n_waiting > 0;
}

xlm_status xlm_generate(xlm_arena *a, xlm_decoder *d, const xlm_generate_options *o, xlm_sequence *sequences,
                        int64_t n, xlm_generate_figures *figures, xlm_error *err) {
  generator g = {.arena = a,
                 .d = d,
                 .o = o,
                 .waiting = sequences,
                 .n_waiting = n,
                 .lanes = XLM_NEW_N(a, lane, xlm_decoder_slots(d)),
                 .pieces = XLM_NEW_N(a, xlm_decoder_piece, xlm_decoder_slots(d)),
                 .sources = XLM_NEW_N(a, xlm_decoder_source, xlm_decoder_slots(d)),
                 .sampler = xlm_sampler_new(a, o->choices),
                 .key = xlm_philox_key(o->seed, xlm_hash_text("generate"))};
  while (is_busy(&g)) {
    XLM_TRY(fill_idle(&g, err));
    XLM_TRY(put(&g, true, err));
    XLM_TRY(put(&g, false, err));
  }
  if (figures) *figures = g.figures;
  return XLM_OK;
}
