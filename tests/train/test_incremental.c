// Decoding is evaluation: logits of chunks of a text, computed with caches, are those of all of it at once,
// to the bit but for recurrences. Every sequence of the batch is at its own place, and gets as many tokens as
// chance says.
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
#include "tests/train/train_util.h"

enum { BATCH = 3, PLACES = 70 };

typedef struct machine { // a plan of outputs, with its states
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_exec *exec;
  xlm_store *store;
} machine;

static xlm_compile_options options(xlm_arena *a, const char *model, xlm_dtype dtype, int64_t chunk) {
  toy_options o = toy_defaults(model);
  o.dtype = dtype, o.batch = BATCH, o.seq = PLACES, o.with_eval = true;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.programs = chunk ? XLM_WITH_PREFILL | XLM_WITH_DECODE : XLM_WITH_EVAL;
  c.settings.training = false, c.outputs_only = true;
  c.chunk = chunk;
  return c;
}

static machine open_machine(const xlm_source *source, const char *model, xlm_dtype dtype, int64_t chunk) {
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

// Runs the plan's programs on pieces of the text, prefill for chunks and decode for single tokens.
static void decode(machine *m, const text *t, int64_t chunk, const double *whole, uint64_t *random,
                   difference *d) {
  int32_t start[BATCH] = {0}, count[BATCH], *tokens = calloc((size_t)(BATCH * chunk), sizeof *tokens);
  for (bool left = true; left;) {
    xlm_program_id program = chance(random, 3) ? XLM_PROGRAM_PREFILL : XLM_PROGRAM_DECODE;
    int64_t vocab, n = program == XLM_PROGRAM_DECODE ? 1 : chunk;
    for (int b = 0; b < BATCH; b++) {
      int32_t most = t->length[b] - start[b] < n ? t->length[b] - start[b] : (int32_t)n;
      count[b] = chance(random, 4) ? most : chance(random, most + 1);
      for (int64_t i = 0; i < n; i++) // behind the valid ones: anything
        tokens[b * n + i] = i < count[b] ? t->token[b][start[b] + i] : chance(random, 256);
    }
    put(m, program, "tokens", tokens, (size_t)(BATCH * n)), put(m, program, "decode/start", start, BATCH);
    put(m, program, "decode/count", count, BATCH);
    double *logits = logits_of(m, program, &vocab);
    left = false;
    for (int b = 0; b < BATCH; b++) {
      compare(d, logits + b * n * vocab, whole + (b * PLACES + start[b]) * vocab, count[b] * vocab);
      start[b] += count[b];
      left |= start[b] < t->length[b];
    }
    free(logits);
  }
  free(tokens);
}

static void check_chunk(const xlm_source *source, const char *model, xlm_dtype dtype, int64_t chunk,
                        const text *t, const double *whole, double tolerance) {
  uint64_t random = (uint64_t)chunk;
  machine m = open_machine(source, model, dtype, chunk);
  difference d = {0};
  decode(&m, t, chunk, whole, &random, &d);
  decode(&m, t, chunk, whole, &random, &d); // others begin where these end
  double relative = d.most / (sqrt(d.square / (double)d.n) + 1e-30);
  if (!(relative <= tolerance))
    fail_msg("%s in %s, chunks of %d: %g", model, xlm_dtype_name(dtype), (int)chunk, relative);
  close_machine(&m);
}

static void check(const xlm_source *source, const char *model, xlm_dtype dtype, double tolerance) {
  static const int64_t chunks[] = {1, 7, 64};
  uint64_t random = 11;
  int64_t vocab;
  text t = any_text(&random);
  int32_t zeros[BATCH * PLACES] = {0}, places[BATCH * PLACES];
  for (int i = 0; i < BATCH * PLACES; i++) places[i] = i % PLACES;
  machine all = open_machine(source, model, dtype, 0);
  put(&all, XLM_PROGRAM_EVAL, "tokens", &t.token[0][0], BATCH * PLACES);
  put(&all, XLM_PROGRAM_EVAL, "ids", zeros, BATCH * PLACES);
  put(&all, XLM_PROGRAM_EVAL, "place", places, BATCH * PLACES);
  double *whole = logits_of(&all, XLM_PROGRAM_EVAL, &vocab);
  for (int i = 0; i < 3; i++)
    if (dtype != XLM_F64 || chunks[i] == 7)
      check_chunk(source, model, dtype, chunks[i], &t, whole, tolerance);
  free(whole);
  close_machine(&all);
}

// ---- what the shipped models do not have

static const char head[] = "model m\n"
                           "dim vocab = 256\n"
                           "dim seq = 32\n"
                           "dim past = seq\n"
                           "dim hidden = 24\n"
                           "dim layers = 2\n"
                           "dim heads = 4\n"
                           "dim key = 6\n"
                           "dim rows = batch * seq\n"
                           "preset nano { hidden = 24 }\n"
                           "input tokens[batch, seq] of vocab from tokens\n"
                           "input next[batch, seq] of vocab from tokens shifted 1\n"
                           "input ids[batch, seq] of seq from documents\n"
                           "input place[batch, seq] of seq from positions\n"
                           "param embed[vocab, hidden] ~ normal(1)\n"
                           "param wq[hidden, heads, key] ~ normal(0.3)\n"
                           "param wk[hidden, heads, key] ~ normal(0.3)\n"
                           "param wv[hidden, heads, key] ~ normal(0.3)\n"
                           "param wo[heads, key, hidden] ~ normal(0.3)\n"
                           "h = rmsnorm(lookup(embed, tokens))\n"
                           "q = h @ wq\n"
                           "k = h @ wk\n"
                           "v = h @ wv\n";
static const char tail[] = "\nlogits = h @ embed\n"
                           "loss cross_entropy(logits, next)\n"
                           "output logits\n";

static const struct {
  const char *name, *text;
  int caches;
  bool recurs;
} texts[] = {
    // Distances from the beginning; keys under another name.
    {"bias",
     "dim reach = 10\n"
     "param table[reach, heads] ~ normal(1)\n"
     "far = min(max(iota(seq) - iota(past), 0), 9)\n"
     "y = attend(q, rename(k, seq -> past), rename(v, seq -> past), causal, bias = lookup(table, far), "
     "window = 11, "
     "kv_seq = past)\n"
     "h = h + y @ wo",
     2},
    {"mask",
     "y = attend(q, rename(k, seq -> past), rename(v, seq -> past), causal, mask = (iota(seq) - iota(past)) "
     "% 3 < 2, kv_seq "
     "= past)\n"
     "h = h + y @ wo",
     2},
    {"slopes",
     "param slope[heads] ~ uniform(0, 1)\n"
     "param sink[heads] ~ normal(1)\n"
     "h = h + attend(q, k, v, causal, slopes = slope, sink = sink, softcap = 3) @ wo",
     2},
    // One cache for all readers, as large as the one that looks back farthest.
    {"shared",
     "y = attend(q, k, v, causal, window = 5) + attend(q * 2, k, v, causal, window = 9) + 0.1 * attend(q, k, "
     "k, causal, "
     "window = 3) + shift(k, by = 7)\n"
     "h = h + y @ wo",
     2},
    {"shifts",
     "y = k + shift(k) - shift(k, by = 4) + shift(shift(v), by = 2) + shift(k, by = 0)\nh = h + y @ wo", 3},
    {"recurrences",
     "param keep[heads, key] ~ uniform(0.5, 0.9)\n"
     "y = scan(keep, k) + scan(1 / (1 + exp(q)), v) + shift(cumsum(0.1 * k)) + rmsnorm(cumsum(v)) + "
     "scan(keep, shift(k, by "
     "= 2))\n"
     "h = h + y @ wo",
     7, true},
    {"linear",
     "param rate[heads] ~ uniform(0.1, 0.5)\n"
     "dim width = 6\n"
     "x = rename(v, key -> width)\n"
     "y = linear_attend(q, k, x) * 0.1 + linear_attend(q, k, x, -rate) + linear_attend(q, k, x, "
     "-square(mean(k, over key)))\n"
     "h = h + rename(y, width -> key) @ wo",
     3, true},
    // Places in the text, by number, table and angle; documents of the data; dimensions merged and split
    // again.
    {"places",
     "param wpe[seq, hidden] ~ normal(1)\n"
     "param other[seq, hidden] ~ normal(1)\n"
     "h = h + wpe + lookup(rename(other * 2, seq -> past), place) + 0.1 * f32(iota(seq)) + where(iota(seq) "
     "== 0, 1, shift(h))\n"
     "q = rope(h @ wq, position = 3) + rope(h @ wk, f32(place) * 0.5)\n"
     "k = rope(h @ wk, base = 100)\n"
     "y = merge(attend(q, k, v, causal, documents = ids), batch seq -> rows)\n"
     "h = h + split(y @ wo, rows -> batch seq)",
     3},
    // Keys stored with the sequence before the batch.
    {"order",
     "k = permute(k, over seq, batch, heads, key)\n"
     "v = permute(v, over heads, key, seq, batch)\n"
     "h = h + attend(q, k, v, causal, window = 6) @ wo",
     2},
};

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
    machine m = open_machine(source, texts[i].name, XLM_F32, 2);
    if (caches_of(&m) != texts[i].caches) fail_msg("%s: %d caches", texts[i].name, caches_of(&m));
    close_machine(&m);
    check(source, texts[i].name, XLM_F64, 1e-12);
    check(source, texts[i].name, XLM_F32, texts[i].recurs ? 1e-5 : 0);
    xlm_arena_free(a);
  }
}

static bool is_causal(const char *model) {
  return strcmp(model, "vit") && strcmp(model, "t5");
}

static bool recurs(const char *model) {
  return !strcmp(model, "mamba2") || !strcmp(model, "retnet") || !strcmp(model, "gla");
}

static void shipped_models(void **state) {
  (void)state;
  for (int i = 0; i < TOY_MODELS; i++) {
    if (!is_causal(toy_models[i])) continue;
    check(NULL, toy_models[i], XLM_F32, recurs(toy_models[i]) ? 1e-5 : 0);
    if (!recurs(toy_models[i])) check(NULL, toy_models[i], XLM_BF16, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(other_models),
      cmocka_unit_test(shipped_models),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
