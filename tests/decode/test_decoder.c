// The decoder: what a slot computes depends neither on how its text was put, nor on what the other slots hold
// or held, nor on the layout; sequences that share slots are those of one slot alone; models that do not
// continue texts are refused.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "runtime/decode/decoder_priv.h"
#include "runtime/decode/generate.h"
#include "tests/train/train_util.h"

enum { SEQ = 24, VOCAB = 256, TEXTS = 3, CHUNK = 7 };
typedef enum way {
  WINDOW,
  STEPS,
  CHUNKS,
  TOKENS,
  WAYS
} way; // the programs prefill and decode as they choose; as much
// of one as possible, or of the other

typedef struct world {
  xlm_arena *arena;
  xlm_team *team;
  xlm_store *store;
  xlm_decoder *decoder;
  xlm_error err;
  xlm_status status; // of the decoder
} world;

static void open_world(world *w, way by, const char *model, int64_t slots, const char *axis) {
  *w = (world){.arena = xlm_arena_new(0)};
  toy_options small = toy_defaults(model);
  small.batch = slots, small.seq = SEQ;
  bool threads = axis && !strcmp(axis, "threads"); // two, of one rank
  if (threads) small.threads = 2;
  xlm_compile_options o = toy_compile_options(w->arena, &small);
  o.programs = by == WINDOW ? XLM_WITH_EVAL : XLM_WITH_PREFILL | XLM_WITH_DECODE;
  o.outputs_only = true, o.chunk = CHUNK;
  if (axis && !threads) o.mesh = (xlm_mesh){.n = 1, .axis = {axis}, .size = {2}};
  const xlm_plan *plan = toy_plan(w->arena, toy_source(w->arena, model), &o);
  xlm_backend backend = toy_backend(NULL);
  w->status = xlm_team_open(plan, &backend, plan->target.threads, XLM_LAUNCH_LOCAL, 20, &w->team, &w->err);
  if (w->status != XLM_OK || xlm_store_new(plan, xlm_team_states(w->team), &w->store, &w->err) != XLM_OK ||
      xlm_store_init(w->store, 7, true, NULL, &w->err) != XLM_OK)
    fail_msg("%s: %s", model, w->err.text);
  w->status = xlm_decoder_open(w->arena, w->team, 1, &w->decoder, &w->err);
  if (w->status == XLM_OK && by == CHUNKS) w->decoder->prefill_from = 2;
  if (w->status == XLM_OK && by == TOKENS) w->decoder->prefill_from = SEQ + 1;
}

static void close_world(world *w) {
  xlm_store_free(w->store);
  xlm_team_close(w->team);
  xlm_arena_free(w->arena);
}

static void fill(int32_t *text, int which) {
  for (int i = 0; i < SEQ; i++) text[i] = (i * (37 + 11 * which) + 91 * which + i * i) % VOCAB;
}

static void put(world *w, const xlm_decoder_piece *pieces, int n) {
  if (xlm_decoder_put(w->decoder, pieces, n, &w->err) != XLM_OK) fail_msg("%s", w->err.text);
}

// The logits behind the first `length` tokens of every text, each put alone.
static void reference(const char *model, const int64_t *length, float out[TEXTS][VOCAB]) {
  world w;
  int32_t text[SEQ];
  open_world(&w, WINDOW, model, 1, NULL);
  if (w.status != XLM_OK) fail_msg("%s: %s", model, w.err.text);
  assert_int_equal(xlm_decoder_slots(w.decoder), 1);
  assert_int_equal(xlm_decoder_context(w.decoder), SEQ);
  assert_int_equal(xlm_decoder_vocab(w.decoder), VOCAB);
  for (int i = 0; i < TEXTS; i++) {
    fill(text, i);
    xlm_decoder_reset(w.decoder, 0);
    put(&w, &(xlm_decoder_piece){0, text, length[i]}, 1);
    memcpy(out[i], xlm_decoder_logits(w.decoder, 0), sizeof out[i]);
  }
  close_world(&w);
}

static void expect(const world *w, int slot, const float *want, double tolerance, const char *model,
                   const char *what) {
  const float *got = xlm_decoder_logits(w->decoder, slot);
  double most = 0, worst = 0;
  for (int v = 0; v < VOCAB; v++) most = fmax(most, fabs(want[v]));
  for (int v = 0; v < VOCAB; v++) worst = fmax(worst, isnan(got[v]) ? INFINITY : fabs(got[v] - want[v]));
  if (!(worst <= tolerance * most))
    fail_msg("%s, %s, slot %d: off by %g of %g", model, what, slot, worst, most);
}

// Text i in slot slots[i], in pieces that come at different times; at the end all are whole.
static void test_slots_by(way by, const char *model, const char *axis, double tolerance) {
  static const int64_t length[TEXTS] = {17, SEQ, 5};
  static const int slots[TEXTS] = {2, 0, 3};
  float want[TEXTS][VOCAB];
  int32_t text[TEXTS][SEQ];
  world w;
  for (int i = 0; i < TEXTS; i++) fill(text[i], i);
  reference(model, length, want);
  open_world(&w, by, model, 4, axis);
  if (w.status != XLM_OK) fail_msg("%s: %s", model, w.err.text);
  assert_int_equal(xlm_decoder_slots(w.decoder), 4);
  for (int round = 0; round < 2; round++) { // the second in slots that held something else
    put(&w, (xlm_decoder_piece[]){{slots[0], text[0], 16}, {slots[1], text[1], 3}}, 2);
    put(&w, (xlm_decoder_piece[]){{slots[1], text[1] + 3, 1}, {slots[2], text[2], 4}}, 2);
    assert_null(xlm_decoder_logits(w.decoder, slots[0]));
    put(&w,
        (xlm_decoder_piece[]){
            {slots[2], text[2] + 4, 1}, {slots[0], text[0] + 16, 1}, {slots[1], text[1] + 4, SEQ - 4}},
        3);
    for (int i = 0; i < TEXTS; i++) expect(&w, slots[i], want[i], tolerance, model, axis ? axis : "one rank");
    assert_int_equal(xlm_decoder_length(w.decoder, slots[1]), SEQ);
    for (int i = 0; i < TEXTS; i++) xlm_decoder_reset(w.decoder, slots[i]);
    put(&w, &(xlm_decoder_piece){slots[0], text[1], 9}, 1);
    xlm_decoder_reset(w.decoder, slots[0]);
  }
  close_world(&w);
}

// To the bit, where sums are taken in the same order: not over tp, nor in recurrences, which are computed in
// pieces.
static void test_slots(void **state) {
  static const struct {
    const char *model, *axis;
    double tolerance;
  } cases[] = {{"llama", NULL, 0},     {"gpt2", NULL, 0},    {"gemma3", NULL, 0},      {"mixtral", NULL, 0},
               {"freestyle", NULL, 0}, {"llama", "pp", 0},   {"gemma3", "threads", 0}, {"llama", "dp", 0},
               {"llama", "cp", 0},     {"mixtral", "ep", 0}, {"llama", "tp", 1e-5},    {"mamba2", NULL, 1e-5},
               {"retnet", NULL, 1e-5}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int by = 0; by < WAYS; by++)
      test_slots_by((way)by, cases[i].model, cases[i].axis, cases[i].tolerance);
}

// From how many tokens on a run of prefill pays, if it computes a share of its rows, 0: those of the tokens.
static int64_t pays_from(const xlm_plan *p, double flops_per_byte, double share) {
  int64_t n = 1;
  while (n <= CHUNK && !prefill_pays(p, flops_per_byte, n, share > 0 ? share : (double)n / CHUNK)) n++;
  return n;
}

// Where memory costs nothing, from most of a chunk on, whose head is computed at one place, and from two
// tokens on if their rows alone are computed; where only memory costs something, from few on, since
// parameters are read once.
static void test_prefill_pays(void **state) {
  (void)state;
  world w;
  open_world(&w, STEPS, "llama", 1, NULL);
  const xlm_plan *p = xlm_team_plan(w.team);
  const int64_t computed = pays_from(p, 1e-12, 1), read = pays_from(p, 1e12, 1);
  assert_in_range(computed, CHUNK / 2 + 1, CHUNK);
  assert_in_range(read, 2, CHUNK / 2);
  assert_in_range(pays_from(p, 5, 1), read, computed);
  assert_int_equal(pays_from(p, 1e-12, 0), 2);
  assert_int_equal(pays_from(p, 0, 1), 2);
  assert_true(w.decoder->leaves_rows);
  close_world(&w);
}

// ---- sequences ----

enum { SEQUENCES = 7, NEW = 30 };

typedef struct count {
  int64_t tokens, finished;
} count;

static bool on_token(void *arg, xlm_sequence *s) {
  ((count *)arg)->tokens++;
  return s->stream == 2 && s->n == s->n_prompt + 4; // the caller's reason to stop
}

static void on_end(void *arg, xlm_sequence *s) {
  assert_true(s->finish != XLM_FINISH_NONE);
  ((count *)arg)->finished++;
}

static void make_sequences(xlm_arena *a, xlm_sequence *s) {
  for (int i = 0; i < SEQUENCES; i++) {
    int64_t n = i == 5 ? SEQ + 3 : 1 + 3 * i; // one is longer than the context
    s[i] = (xlm_sequence){
        .n_prompt = n, .n = n, .cap = n, .stream = (uint64_t)i, .tokens = XLM_NEW_N(a, int32_t, n)};
    for (int64_t k = 0; k < n; k++) s[i].tokens[k] = (int32_t)((k * 29 + i * 83) % VOCAB);
  }
}

static xlm_generate_options plain_options(count *h) {
  return (xlm_generate_options){.sample = {.temperature = 0.9, .top_p = 1, .repetition_penalty = 1},
                                .seed = 3,
                                .max_tokens = NEW,
                                .choices = VOCAB - 6,
                                .eos = -1,
                                .token = on_token,
                                .finished = on_end,
                                .arg = h};
}

static void generate(world *w, const xlm_generate_options *o, xlm_sequence *s, int64_t n,
                     xlm_generate_figures *f) {
  if (xlm_generate(w->arena, w->decoder, o, s, n, f, &w->err) != XLM_OK) fail_msg("%s", w->err.text);
}

static void test_sequences_by(way by) {
  world one, many;
  count h = {0};
  xlm_sequence alone[SEQUENCES], together[SEQUENCES];
  xlm_generate_figures f;
  xlm_generate_options o = plain_options(&h);
  open_world(&one, WINDOW, "llama", 1, NULL);
  open_world(&many, by, "llama", 3, NULL);
  make_sequences(one.arena, alone);
  make_sequences(many.arena, together);
  for (int i = SEQUENCES - 1; i >= 0; i--) generate(&one, &o, &alone[i], 1, NULL);
  h = (count){0};
  generate(&many, &o, together, SEQUENCES, &f);
  assert_int_equal(h.finished, SEQUENCES);
  assert_int_equal(h.tokens, (SEQUENCES - 1) * NEW + 4);
  for (int i = 0; i < SEQUENCES; i++) {
    assert_int_equal(together[i].n, together[i].n_prompt + (i == 2 ? 4 : NEW));
    assert_int_equal(together[i].finish, i == 2 ? XLM_FINISH_STOP : XLM_FINISH_LENGTH);
    assert_int_equal(together[i].rereads, alone[i].rereads);
    assert_memory_equal(together[i].tokens, alone[i].tokens, sizeof(int32_t) * (size_t)together[i].n);
    for (int64_t k = together[i].n_prompt; k < together[i].n; k++)
      assert_in_range(together[i].tokens[k], 0, o.choices - 1);
  }
  assert_true(together[4].rereads >= 2);
  assert_true(memcmp(together[0].tokens + 1, together[1].tokens + 4, sizeof(int32_t) * NEW) != 0);
  assert_true(f.prefill_tokens > 0 && f.decode_tokens > 0 && f.decode_s > 0);
  close_world(&one);
  close_world(&many);
}

static void test_sequences(void **state) {
  (void)state;
  for (int by = 0; by < WAYS; by++) test_sequences_by((way)by);
}

// The context fills: what follows is that of its last half alone. And the ends that are not the caller's.
static void test_ends_by(way by) {
  world w;
  count h = {0};
  xlm_sequence s[SEQUENCES], again;
  xlm_generate_options o = plain_options(&h);
  o.sample.temperature = 0;
  open_world(&w, by, "llama", 1, NULL);
  make_sequences(w.arena, s);
  generate(&w, &o, &s[0], 1, NULL); // 1 + 30 tokens: full after 24
  int64_t from = SEQ + 1 - SEQ / 2, room = SEQ / 2;
  again =
      (xlm_sequence){.n_prompt = room, .n = room, .cap = room, .tokens = XLM_NEW_N(w.arena, int32_t, room)};
  memcpy(again.tokens, s[0].tokens + from, sizeof(int32_t) * (size_t)room);
  o.max_tokens = s[0].n - from - room;
  generate(&w, &o, &again, 1, NULL);
  assert_memory_equal(again.tokens, s[0].tokens + from, sizeof(int32_t) * (size_t)again.n);
  o = plain_options(&h), o.sample.temperature = 0, o.stops_when_full = true;
  assert_int_equal(xlm_generate_reads(w.decoder, &o, SEQ), SEQ);
  assert_int_equal(xlm_generate_reads(w.decoder, &o, SEQ + 1), 0);
  generate(&w, &o, &s[3], 1, NULL);
  assert_int_equal(s[3].finish, XLM_FINISH_CONTEXT);
  assert_int_equal(s[3].n, SEQ + 1);
  o.eos = s[3].tokens[s[3].n_prompt];
  make_sequences(w.arena, &s[0]);
  generate(&w, &o, &s[3], 1, NULL);
  assert_int_equal(s[3].finish, XLM_FINISH_EOS);
  assert_int_equal(s[3].n, s[3].n_prompt);
  close_world(&w);
}

static void test_ends(void **state) {
  (void)state;
  for (int by = 0; by < WAYS; by++) test_ends_by((way)by);
}

static void refused(const char *model, const char *text) {
  world w;
  open_world(&w, WINDOW, model, 1, NULL);
  if (w.status != XLM_USER || !strstr(w.err.text, text)) fail_msg("%s: %s", model, w.err.text);
  close_world(&w);
}

static void test_refused(void **state) {
  (void)state;
  refused("vit", "generates no text: its output `logits` is [");
  refused("t5", "no input of the model is one");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_slots), cmocka_unit_test(test_prefill_pays),
                                     cmocka_unit_test(test_sequences), cmocka_unit_test(test_ends),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
