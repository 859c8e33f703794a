// Decoding is evaluation: logits of chunks of a text, computed with caches, are those of all of it at once,
// to the bit. Every sequence of the batch is at its own place, and gets as many tokens as
// chance says. What a model reads besides, such as the source of a translation, is given once per sequence,
// whatever the others of the batch have.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/diagnose/diag.h"
#include "runtime/base/philox.h"
#include "tests/here.h"
#include "tests/train/incremental_texts.h"
#include "tests/train/train_util.h"

enum { BATCH = 3, PLACES = 70 };

typedef struct machine { // a plan of outputs, with its states
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_exec *exec;
  xlm_store *store;
} machine;

typedef struct pieces { // places of every sequence that prefill takes; 0: there is no prefill, but evaluation
  int64_t n;
  bool last; // it has its outputs at the last place that counts only
} pieces;

static xlm_compile_options options(xlm_arena *a, const char *model, xlm_dtype dtype, pieces chunk) {
  toy_options o = toy_defaults(model);
  o.dtype = dtype, o.batch = BATCH, o.seq = PLACES, o.with_eval = true;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.programs = chunk.n ? XLM_WITH_PREFILL | XLM_WITH_DECODE : XLM_WITH_EVAL;
  c.settings.training = false, c.outputs_only = true;
  c.chunk = chunk.n, c.every_place = !chunk.last;
  return c;
}

static machine open_machine(const xlm_source *source, const char *model, xlm_dtype dtype, pieces chunk) {
  machine m = {.arena = xlm_arena_new(0)};
  xlm_error err;
  const char *device = dtype == XLM_F64 ? "cpu" : NULL;
  xlm_compile_options c = options(m.arena, model, dtype, chunk);
  m.plan = toy_plan(m.arena, source ? source : toy_source(m.arena, model), &c);
  xlm_backend b = dtype == XLM_F64 ? *xlm_backend_find("ref") : toy_backend(device);
  b.device = toy_backend(device).device;
  if (xlm_exec_open(m.plan, 0, &b, 1, NULL, &m.exec, &err) != XLM_OK ||
      xlm_store_new(m.plan, xlm_exec_states(m.exec), &m.store, &err) != XLM_OK ||
      xlm_store_init(m.store, 7, true, xlm_exec_pool(m.exec), &err) != XLM_OK)
    fail_msg("%s", err.text);
  xlm_exec_poison(m.exec, true);
  return m;
}

static void close_machine(machine *m) {
  xlm_store_free(m->store);
  xlm_exec_close(m->exec);
  xlm_arena_free(m->arena);
}

// The program's input, if it has it.
static void put(machine *m, xlm_program_id program, const char *name, const int32_t *values, size_t n) {
  const xlm_rank_plan *r = xlm_exec_rank_plan(m->exec);
  xlm_error err;
  for (uint32_t i = 0; i < r->n_inputs; i++)
    if (!strcmp(r->inputs[i].name, name) && xlm_exec_has_input(m->exec, i, program) &&
        xlm_exec_put_input(m->exec, i, program, 0, values, n * sizeof *values, &err) != XLM_OK)
      fail_msg("%s", err.text);
}

static bool lies_along(const xlm_rank_plan *r, const xlm_type *t) {
  bool along = false;
  for (int k = 0; k < t->rank; k++)
    along |= !strcmp(r->dims[t->dim[k]].name, "seq") || !strcmp(r->dims[t->dim[k]].name, "chunk");
  return along;
}

// Element i of a source: ids with padding behind them, or numbers in -1 .. 1.
static double element(uint64_t seed, int64_t i, int64_t n, int64_t vocab) {
  uint32_t draw[4];
  xlm_philox_draw(xlm_philox_key(seed, 3), 1, (uint64_t)i, draw);
  if (!vocab) return xlm_philox_unit(draw[0]) * 2 - 1;
  return i < n - (int64_t)(seed % 4) * n / 5 ? 1 + draw[0] % (uint32_t)(vocab - 1) : 0;
}

// Fills the inputs that do not lie along the sequence: those of seed[b] for sequence b.
static void put_sources(machine *m, xlm_program_id program, const uint64_t *seed) {
  const xlm_rank_plan *r = xlm_exec_rank_plan(m->exec);
  xlm_error err;
  for (uint32_t k = 0; k < r->n_inputs; k++) {
    if (!xlm_exec_has_input(m->exec, k, program) || !xlm_input_is_data(r->inputs[k].role)) continue;
    const xlm_type *t = &r->tensors[r->inputs[k].tensor[program]].type;
    int64_t n = xlm_type_elements(t, r->dims), each = n / BATCH;
    double *wide = calloc((size_t)n, sizeof *wide);
    for (int64_t i = 0; i < n; i++) {
      double x = element(seed[i / each], i % each, each, r->inputs[k].vocab);
      if (t->dtype == XLM_I32) ((int32_t *)wide)[i] = (int32_t)x;
      if (t->dtype == XLM_F32) ((float *)wide)[i] = (float)x;
      if (t->dtype == XLM_F64) wide[i] = (float)x;
    }
    if (!lies_along(r, t) &&
        xlm_exec_put_input(m->exec, k, program, 0, wide, xlm_type_bytes(t, r->dims), &err) != XLM_OK)
      fail_msg("%s", err.text);
    free(wide);
  }
}

static const uint64_t sources[BATCH] = {1, 2, 3};

// Sequences are given their sources at different times, over others; what is there for those that do not count is
// not read.
static void encode(machine *m) {
  static const struct {
    uint64_t seed[BATCH];
    int32_t count[BATCH];
  } runs[] = {{{91, 92, 94}, {1, 1, 1}}, {{1, 99, 3}, {1, 0, 1}}, {{98, 2, 97}, {0, 1, 0}}};
  xlm_error err;
  if (!xlm_plan_has(xlm_exec_rank_plan(m->exec), XLM_PROGRAM_ENCODE)) return;
  for (int i = 0; i < 3; i++) {
    put_sources(m, XLM_PROGRAM_ENCODE, runs[i].seed);
    put(m, XLM_PROGRAM_ENCODE, "decode/count", runs[i].count, BATCH);
    if (xlm_exec_run(m->exec, XLM_PROGRAM_ENCODE, (xlm_step_env){.seed = 7}, &err) != XLM_OK)
      fail_msg("%s", err.text);
  }
}

// Runs the program; its output as numbers: [BATCH][n][vocab].
static double *logits_of(machine *m, xlm_program_id program, int64_t *vocab) {
  const xlm_rank_plan *r = xlm_exec_rank_plan(m->exec);
  uint32_t output = 0;
  while (output < r->n_outputs && r->outputs[output].program != program) output++;
  assert_true(output < r->n_outputs);
  const xlm_type *t = &r->tensors[r->outputs[output].tensor].type;
  int64_t n = xlm_type_elements(t, r->dims);
  double *x = calloc((size_t)n, sizeof *x);
  xlm_error err;
  assert_int_equal(t->rank, 3);
  if (xlm_exec_run(m->exec, program, (xlm_step_env){.seed = 7}, &err) != XLM_OK) fail_msg("%s", err.text);
  if (xlm_exec_get_output(m->exec, output, 0, x, xlm_type_bytes(t, r->dims), &err) != XLM_OK)
    fail_msg("%s", err.text);
  for (int64_t i = n - 1; i >= 0; i--) // in place, from the end
    x[i] = t->dtype == XLM_F32    ? (double)((float *)(void *)x)[i]
           : t->dtype == XLM_BF16 ? (double)xlm_bf16_to_f32(((uint16_t *)(void *)x)[i])
                                  : x[i];
  *vocab = r->dims[t->dim[2]].size;
  return x;
}

static int32_t chance(uint64_t *state, int32_t below) {
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  return (int32_t)((*state >> 33) % (uint64_t)below);
}

typedef struct text {
  int32_t token[BATCH][PLACES];
  int32_t length[BATCH];
} text;

static text any_text(uint64_t *random) {
  text t;
  for (int b = 0; b < BATCH; b++) {
    t.length[b] = b == 0 ? PLACES : PLACES - 1 - chance(random, PLACES / 2);
    for (int i = 0; i < PLACES; i++) t.token[b][i] = chance(random, 256);
  }
  return t;
}

// Largest difference over the root of the mean square.
typedef struct difference {
  double most, square;
  int64_t n;
} difference;

static void compare(difference *d, const double *a, const double *b, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    double off = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
    if (!(off <= d->most)) d->most = off; // NaN, too
    d->square += b[i] * b[i];
  }
  d->n += n;
}

typedef struct piece {
  int row;
  int32_t start, count;
} piece;

// `rows` of every sequence: of all places, or of the last that counts alone.
static void compare_piece(difference *d, const double *logits, int64_t rows, const double *whole, const piece *p,
                          int64_t vocab) {
  int64_t skipped = rows == 1 ? p->count - 1 : 0;
  compare(d, logits + p->row * rows * vocab, whole + (p->row * PLACES + p->start + skipped) * vocab,
          (p->count - skipped) * vocab);
}

// The places of what is before the text come first, from below 0 on, and no piece has places of both.
// Runs the plan's programs on pieces of the text, prefill for chunks and decode for single tokens.
static void decode(machine *m, const text *t, pieces chunk, bool late, const double *whole, uint64_t *random,
                   difference *d) {
  int32_t start[BATCH], count[BATCH], *tokens = calloc((size_t)(BATCH * chunk.n), sizeof *tokens);
  for (int b = 0; b < BATCH; b++) start[b] = -(int32_t)m->plan->prefix;
  for (bool left = true; left;) {
    xlm_program_id program = chance(random, 3) ? XLM_PROGRAM_PREFILL : XLM_PROGRAM_DECODE;
    int64_t vocab, n = program == XLM_PROGRAM_DECODE ? 1 : chunk.n;
    for (int b = 0; b < BATCH; b++) {
      int32_t rest = (start[b] < 0 ? 0 : t->length[b]) - start[b], most = rest < n ? rest : (int32_t)n;
      count[b] = chance(random, 4) ? most : chance(random, most + 1);
      for (int64_t i = 0; i < n; i++) // behind the valid ones: anything
        tokens[b * n + i] = i < count[b] && start[b] >= 0 && start[b] + i >= late ? t->token[b][start[b] + i - late]
                                                                 : chance(random, 256);
    }
    put(m, program, "tokens", tokens, (size_t)(BATCH * n));
    put(m, program, "decode/tokens", tokens, (size_t)(BATCH * n));
    put(m, program, "decode/start", start, BATCH);
    put(m, program, "decode/count", count, BATCH);
    double *logits = logits_of(m, program, &vocab);
    left = false;
    for (int b = 0; b < BATCH; b++) {
      if (start[b] >= 0 && count[b])
        compare_piece(d, logits, chunk.last ? 1 : n, whole, &(piece){b, start[b], count[b]}, vocab);
      start[b] += count[b];
      left |= start[b] < t->length[b];
    }
    free(logits);
  }
  free(tokens);
}

static void check_chunk(const xlm_source *source, const char *model, xlm_dtype dtype, pieces chunk, const text *t,
                        const double *whole, double tolerance, bool late) {
  uint64_t random = (uint64_t)chunk.n;
  machine m = open_machine(source, model, dtype, chunk);
  difference d = {0};
  encode(&m);
  decode(&m, t, chunk, late, whole, &random, &d);
  decode(&m, t, chunk, late, whole, &random, &d); // others begin where these end
  double relative = d.most / (sqrt(d.square / (double)d.n) + 1e-30);
  if (!(relative <= tolerance))
    fail_msg("%s in %s, chunks of %d%s: %g", model, xlm_dtype_name(dtype), (int)chunk.n, chunk.last ? ", last places" : "",
             relative);
  close_machine(&m);
}

// late: the model shifts its tokens, so that place p is given that of place p - 1.
static void check(const xlm_source *source, const char *model, xlm_dtype dtype, double tolerance, bool late) {
  static const pieces chunks[] = {{1, false}, {7, false}, {7, true}, {64, false}};
  static const char *const tokens[] = {"tokens", "targets", "given"};
  uint64_t random = 11;
  int64_t vocab;
  text t = any_text(&random);
  int32_t zeros[BATCH * PLACES] = {0}, places[BATCH * PLACES];
  for (int i = 0; i < BATCH * PLACES; i++) places[i] = i % PLACES;
  machine all = open_machine(source, model, dtype, (pieces){0, false});
  put_sources(&all, XLM_PROGRAM_EVAL, sources);
  for (int i = 0; i < 3; i++)
    put(&all, XLM_PROGRAM_EVAL, tokens[i], &t.token[0][0], BATCH * PLACES);
  put(&all, XLM_PROGRAM_EVAL, "ids", zeros, BATCH * PLACES);
  put(&all, XLM_PROGRAM_EVAL, "place", places, BATCH * PLACES);
  double *whole = logits_of(&all, XLM_PROGRAM_EVAL, &vocab);
  for (int i = 0; i < 4; i++)
    if (dtype != XLM_F64 || chunks[i].n == 7)
      check_chunk(source, model, dtype, chunks[i], &t, whole, tolerance, late);
  free(whole);
  close_machine(&all);
}

// ---- what the shipped models do not have

static int caches_of(const machine *m) {
  const xlm_rank_plan *r = xlm_exec_rank_plan(m->exec);
  int n = 0;
  for (uint32_t i = 0; i < r->n_states; i++) n += r->states[i].role == XLM_ROLE_CACHE;
  return n;
}

static void other_models(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    xlm_arena *a = xlm_arena_new(0);
    const char *model = xlm_arena_printf(a, "%s%s%s", head, texts[i].text, tail);
    const xlm_source *source = xlm_source_new(a, "model.xlm", model, strlen(model));
    machine m = open_machine(source, texts[i].name, XLM_F32, (pieces){2, false});
    if (caches_of(&m) != texts[i].caches) fail_msg("%s: %d caches", texts[i].name, caches_of(&m));
    close_machine(&m);
    check(source, texts[i].name, XLM_F64, 1e-12, false);
    check(source, texts[i].name, XLM_F32, 0, false);
    xlm_arena_free(a);
  }
}

// Targets that the model shifts by itself, by one place and by more: a chunk is given the tokens before.
static void shifted_targets(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_source *source = xlm_source_new(a, "model.xlm", shifted, sizeof shifted - 1);
  check(source, "shifted targets", XLM_F64, 1e-12, true);
  check(source, "shifted targets", XLM_F32, 0, true);
  xlm_arena_free(a);
}

// Sequences before the first and behind the last that counts are not computed, nor places behind the last that
// counts in any: they have what the first row has.
static void rows_that_do_not_count(void **state) {
  static const int32_t counts[][BATCH] = {{0, 3, 0}, {0, 1, 5}, {7, 7, 7}, {0, 0, 4}};
  (void)state;
  if (getenv("XLM_TEST_DEVICE")) return; // a card computes all
  machine m = open_machine(NULL, "llama", XLM_F32, (pieces){7, false});
  int32_t tokens[BATCH * 7], start[BATCH] = {0};
  for (int i = 0; i < BATCH * 7; i++) tokens[i] = 11 * i;
  for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
    int64_t vocab, first = -1, last = 0, most = 0;
    put(&m, XLM_PROGRAM_PREFILL, "tokens", tokens, BATCH * 7);
    put(&m, XLM_PROGRAM_PREFILL, "decode/start", start, BATCH);
    put(&m, XLM_PROGRAM_PREFILL, "decode/count", counts[k], BATCH);
    double *x = logits_of(&m, XLM_PROGRAM_PREFILL, &vocab);
    for (int b = 0; b < BATCH; b++)
      if (counts[k][b]) first = first < 0 ? b : first, last = b, most = counts[k][b] > most ? counts[k][b] : most;
    for (int i = 0; i < BATCH * 7; i++) {
      bool same = !memcmp(x + i * vocab, x + 7 * first * vocab, (size_t)vocab * sizeof *x);
      bool computed = i / 7 >= first && i / 7 <= last && i % 7 < most;
      assert_int_equal(same, !computed || i == 7 * first);
    }
    free(x);
  }
  close_machine(&m);
}

static bool is_causal(const char *model) {
  return strcmp(model, "vit") != 0;
}

static void shipped_models(void **state) {
  (void)state;
  for (int i = 0; i < TOY_MODELS; i++) {
    if (!is_causal(toy_models[i])) continue;
    bool late = !strcmp(toy_models[i], "t5");
    check(NULL, toy_models[i], XLM_F32, 0, late);
    check(NULL, toy_models[i], XLM_BF16, 0, late);
  }
  check(NULL, "translate", XLM_F32, 0, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(other_models),
      cmocka_unit_test(shifted_targets),
      cmocka_unit_test(rows_that_do_not_count),
      cmocka_unit_test(shipped_models),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
