// The programs of one plan: what prefill and decode compute, token by token and in chunks, is what evaluation
// computes of whole sequences, in every layout; they share parameters and caches, the caches have the bytes
// that the plan says, and a run allocates nothing.
//
//   test_programs [MODEL..]   of these models, or of all
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/verify/verify_plan.h"
#include "runtime/plan/mesh.h"
#include "tests/train/toy_team.h"

enum { BATCH = 4, CONTEXT = 24, CHUNK = 7, VOCAB = 256 };

typedef struct layout {
  const char *model, *axis; // NULL: one rank
  bool last;                // prefill has its outputs at the last place that counts only
} layout;

typedef struct world {
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_team *team;
  xlm_store *store;
  const char *what;
  bool last; // see layout
} world;

static const xlm_plan *plan_of(xlm_arena *a, const layout *l, uint32_t programs) {
  toy_options o = toy_defaults(l->model);
  o.batch = BATCH, o.seq = CONTEXT;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.programs = programs, c.chunk = CHUNK, c.every_place = !l->last;
  c.outputs_only = !(programs & XLM_WITH_TRAIN);
  if (l->axis) c.mesh = (xlm_mesh){.n = 1, .axis = {l->axis}, .size = {2}};
  return toy_plan(a, toy_source(a, l->model), &c);
}

static world open_world(const layout *l) {
  world w = {.arena = xlm_arena_new(0), .last = l->last};
  xlm_error err;
  xlm_backend backend = toy_backend(NULL);
  w.what = xlm_arena_printf(w.arena, "%s, %s%s", l->model, l->axis ? l->axis : "one rank", l->last ? ", last places" : "");
  w.plan = plan_of(w.arena, l, XLM_WITH_EVAL | XLM_WITH_PREFILL | XLM_WITH_DECODE);
  if (xlm_team_open(w.plan, &backend, 1, XLM_LAUNCH_LOCAL, 20, &w.team, &err) != XLM_OK ||
      xlm_store_new(w.plan, xlm_team_states(w.team), &w.store, &err) != XLM_OK ||
      xlm_store_init(w.store, 7, true, NULL, &err) != XLM_OK)
    fail_msg("%s: %s", w.what, err.text);
  return w;
}

static void close_world(world *w) {
  xlm_store_free(w->store);
  xlm_team_close(w->team);
  xlm_arena_free(w->arena);
}

// ---- values of all ranks ----

typedef struct whole { // [BATCH][places][width]
  int64_t places, width;
} whole;

// Element i of a rank's piece of a tensor, in the whole.
static int64_t place_in(const xlm_rank_plan *r, const xlm_type *t, int64_t i, whole s) {
  int64_t at[3] = {0}; // sequence, place, the rest
  for (int k = t->rank - 1; k >= 0; k--) {
    const xlm_dim_info *d = &r->dims[t->dim[k]];
    int64_t x = xlm_dim_global(d, i % d->size);
    i /= d->size;
    at[!strcmp(d->name, "batch") ? 0 : !strcmp(d->name, "seq") || !strncmp(d->name, "chunk", 5) ? 1 : 2] = x;
  }
  return (at[0] * s.places + at[1]) * s.width + at[2];
}

static void put(world *w, xlm_program_id program, const char *name, const int32_t *values, whole s) {
  for (int m = 0; m < xlm_team_size(w->team); m++) {
    xlm_exec *e = xlm_team_exec(w->team, m);
    const xlm_rank_plan *r = xlm_exec_rank_plan(e);
    for (uint32_t k = 0; k < r->n_inputs; k++) {
      if (strcmp(r->inputs[k].name, name) || !xlm_exec_has_input(e, k, program)) continue;
      const xlm_type *t = &r->tensors[r->inputs[k].tensor[program]].type;
      int64_t n = xlm_type_elements(t, r->dims);
      int32_t local[BATCH * CONTEXT];
      xlm_error err;
      for (int64_t i = 0; i < n; i++) local[i] = values[place_in(r, t, i, s)];
      if (xlm_exec_put_input(e, k, program, 0, local, (size_t)n * sizeof *local, &err) != XLM_OK)
        fail_msg("%s: %s", w->what, err.text);
    }
  }
}

static void read_logits(world *w, xlm_program_id program, double *to, whole s) {
  int parts = 0;
  for (int m = 0; m < xlm_team_size(w->team); m++) {
    xlm_exec *e = xlm_team_exec(w->team, m);
    const xlm_rank_plan *r = xlm_exec_rank_plan(e);
    for (uint32_t k = 0; k < r->n_outputs; k++) {
      if (r->outputs[k].program != program || strcmp(r->outputs[k].name, "logits")) continue;
      const xlm_type *t = &r->tensors[r->outputs[k].tensor].type;
      int64_t n = xlm_type_elements(t, r->dims);
      float *local = malloc((size_t)n * sizeof *local);
      xlm_error err;
      if (xlm_exec_get_output(e, k, 0, local, (size_t)n * sizeof *local, &err) != XLM_OK)
        fail_msg("%s: %s", w->what, err.text);
      for (int64_t i = 0; i < n; i++) to[place_in(r, t, i, s)] = local[i];
      free(local);
      parts++;
    }
  }
  assert_true(parts);
}

static void run(world *w, xlm_program_id program) {
  xlm_error err;
  if (xlm_team_run(w->team, program, (xlm_step_env){.seed = 7}, &err) != XLM_OK)
    fail_msg("%s: %s", w->what, err.text);
}

// ---- texts ----

typedef struct texts {
  int32_t token[BATCH][CONTEXT];
  int32_t length[BATCH], done[BATCH];
} texts;

static texts any_texts(uint32_t seed) {
  texts t = {0};
  for (int b = 0; b < BATCH; b++) {
    t.length[b] = CONTEXT - 5 * b;
    for (int i = 0; i < CONTEXT; i++) t.token[b][i] = (int32_t)((seed = seed * 1664525 + 1013904223) >> 24);
  }
  return t;
}

// The sources of translations, with padding behind them. Those of the later texts come first for all, and are then
// replaced for some sequences at a time.
static void encode(world *w, xlm_program_id program, const int32_t *words, int64_t n) {
  static const int32_t counts[][BATCH] = {{1, 1, 1, 1}, {1, 0, 0, 1}, {0, 1, 1, 0}};
  int32_t given[BATCH * CONTEXT];
  for (int i = 0; i < 3; i++) {
    for (int k = 0; k < BATCH * n; k++) given[k] = counts[i][k / n] && i ? words[k] : (words[k] + 77) % VOCAB;
    put(w, program, "words", given, (whole){n, 1});
    put(w, program, "decode/count", counts[i], (whole){1, 1});
    run(w, program);
  }
}

static int64_t source_of(const world *w) { // its length; 0: the model has none
  const xlm_rank_plan *r = w->plan->rank_plans[0];
  for (uint32_t d = 1; d < r->n_dims; d++)
    if (!strcmp(r->dims[d].name, "source")) return r->dims[d].full;
  return 0;
}

static void put_sources(world *w, const texts *t) {
  int64_t n = source_of(w);
  int32_t words[BATCH * CONTEXT];
  for (int b = 0; b < BATCH; b++)
    for (int i = 0; i < n; i++) words[b * n + i] = i < n - 3 * b ? 1 + (t->token[b][i] * 7 + i) % (VOCAB - 1) : 0;
  if (!n) return;
  put(w, XLM_PROGRAM_EVAL, "words", words, (whole){n, 1});
  encode(w, XLM_PROGRAM_ENCODE, words, n);
}

static void evaluate(world *w, const texts *t, double *logits) {
  put(w, XLM_PROGRAM_EVAL, "tokens", &t->token[0][0], (whole){CONTEXT, 1});
  put(w, XLM_PROGRAM_EVAL, "targets", &t->token[0][0], (whole){CONTEXT, 1});
  put_sources(w, t);
  run(w, XLM_PROGRAM_EVAL);
  read_logits(w, XLM_PROGRAM_EVAL, logits, (whole){CONTEXT, VOCAB});
}

// Decodes at most `most` tokens of every text; their logits go to where evaluation has them.
static void decode(world *w, texts *t, xlm_program_id program, int32_t most, double *logits) {
  int32_t n = program == XLM_PROGRAM_PREFILL ? CHUNK : 1, token[BATCH * CHUNK] = {0}, count[BATCH], late = source_of(w) > 0;
  static double out[BATCH * CHUNK * VOCAB];
  for (int b = 0; b < BATCH; b++) {
    int32_t left = t->length[b] - t->done[b], c = left < n ? left : n;
    count[b] = c < most ? c : most;
    for (int i = 0; i < count[b]; i++) {
      int at = t->done[b] + i - late; // a model that shifts its tokens is given those before
      token[b * n + i] = at < 0 ? 99 : t->token[b][at];
    }
  }
  put(w, program, late ? "decode/tokens" : "tokens", token, (whole){n, 1});
  put(w, program, "decode/start", t->done, (whole){1, 1});
  put(w, program, "decode/count", count, (whole){1, 1});
  run(w, program);
  int64_t rows = w->last ? 1 : n; // of every text
  memset(out, 0xFF, sizeof out);
  read_logits(w, program, out, (whole){rows, VOCAB});
  for (int b = 0; b < BATCH; b++) {
    int32_t skipped = w->last && count[b] ? count[b] - 1 : 0;
    memcpy(logits + (b * CONTEXT + t->done[b] + skipped) * VOCAB, out + b * rows * VOCAB,
           (size_t)(count[b] - skipped) * VOCAB * sizeof *out);
    t->done[b] += count[b];
  }
}

static bool is_done(const texts *t) {
  for (int b = 0; b < BATCH; b++)
    if (t->done[b] < t->length[b]) return false;
  return true;
}

// Largest difference, over the root of the mean square.
static double difference(const texts *t, const double *x, const double *y) {
  double most = 0, square = 0, n = 0;
  for (int b = 0; b < BATCH; b++)
    for (int i = 0; i < t->length[b] * VOCAB; i++, n++) {
      double at = y[b * CONTEXT * VOCAB + i], off = fabs(x[b * CONTEXT * VOCAB + i] - at);
      if (!(off <= most)) most = off; // NaN, too
      square += at * at;
    }
  return most / sqrt(square / n);
}

static void check_texts(world *w, uint32_t seed, bool exact) {
  static double whole_logits[BATCH * CONTEXT * VOCAB], logits[BATCH * CONTEXT * VOCAB];
  texts t = any_texts(seed);
  evaluate(w, &t, whole_logits);
  memset(logits, 0xFF, sizeof logits);
  if (w->last) memcpy(logits, whole_logits, sizeof logits); // where there are none
  decode(w, &t, XLM_PROGRAM_PREFILL, CHUNK, logits);
  decode(w, &t, XLM_PROGRAM_PREFILL, 3, logits);
  for (int k = 0; k < 2; k++) decode(w, &t, XLM_PROGRAM_DECODE, 1, logits);
  decode(w, &t, XLM_PROGRAM_PREFILL, CHUNK, logits);
  while (!is_done(&t)) decode(w, &t, XLM_PROGRAM_DECODE, 1, logits);
  double off = difference(&t, logits, whole_logits);
  if (exact ? off != 0 : !(off < 1e-5)) fail_msg("%s: logits differ by %g", w->what, off);
}

static const layout layouts[] = {
    {"llama", NULL, false}, {"llama", "tp", false}, {"llama", "pp", false}, {"llama", "dp", false}};

static void check(layout l) {
  world w = open_world(&l);
  const xlm_exec *e = xlm_team_exec(w.team, 0);
  xlm_device_memory before = xlm_exec_memory(e), after;
  bool card = getenv("XLM_TEST_DEVICE") != NULL; // its kernels of whole sequences have sums in another order
  for (int seed = 1; seed < 3; seed++) // the second over what the first texts have left in the caches
    check_texts(&w, (uint32_t)seed, !card && (!l.axis || strcmp(l.axis, "tp")));
  after = xlm_exec_memory(e);
  assert_int_equal(after.arena + after.libraries, before.arena + before.libraries);
  if (!card) // it makes recordings and buffers of messages in the first runs
    assert_int_equal(after.host, before.host);
  close_world(&w);
}

static char **chosen;
static int n_chosen;

static bool is_tried(const char *model) { // what is not causal has nothing to decode
  bool found = !n_chosen;
  for (int i = 0; i < n_chosen; i++) found |= !strcmp(chosen[i], model);
  return found && strcmp(model, "vit");
}

static bool has_heads_for(const char *model, const char *axis) {
  return !axis || strcmp(axis, "tp") || strcmp(model, "gemma3"); // whose toy has one key head
}

static void decoding_is_evaluation(void **state) {
  static const char *const axes[] = {NULL, "tp", "pp", "dp"};
  (void)state;
  for (int i = 0; i < TOY_MODELS; i++)
    for (int k = 0; k < 4 && is_tried(toy_models[i]); k++)
      for (int last = 0; last < 2; last++)
        if (has_heads_for(toy_models[i], axes[k])) check((layout){toy_models[i], axes[k], last});
  if (is_tried("mixtral")) check((layout){"mixtral", "ep", false});
  if (is_tried("qwen3_moe")) check((layout){"qwen3_moe", "ep", true});
}

// ---- the plan ----

static void caches_have_the_planned_bytes(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) { // of llama: 2 layers of keys and values of 2 heads of 16
    world w = open_world(&layouts[i]);
    for (uint32_t c = 0; c < w.plan->n_rank_plans; c++) {
      const xlm_rank_plan *r = w.plan->rank_plans[c];
      uint64_t bytes = 0;
      for (uint32_t k = 0; k < r->n_states; k++) {
        const xlm_plan_state *s = &r->states[k];
        if (s->role != XLM_ROLE_CACHE) continue;
        assert_false(s->saved);
        assert_int_equal(r->tensors[s->tensor].category, XLM_CATEGORY_CACHE);
        assert_int_equal(r->tensors[s->tensor].area, XLM_AREA_STATE);
        assert_memory_equal(s->name, "cache/", 6);
        bytes += r->tensors[s->tensor].bytes;
      }
      assert_int_equal(bytes, 2 * 2 * BATCH * CONTEXT * 2 * 16 * sizeof(float) / w.plan->n_ranks);
      assert_int_equal(r->category_bytes[XLM_CATEGORY_CACHE], bytes);
    }
    for (int m = 0; m < xlm_team_size(w.team); m++) {
      const xlm_exec *e = xlm_team_exec(w.team, m);
      uint64_t planned = xlm_exec_rank_plan(e)->arena_bytes;
      assert_in_range(xlm_exec_memory(e).arena, planned, planned + 63); // a card rounds up
    }
    close_world(&w);
  }
}

// Programs share the area of temporaries: it is as large as the largest of them needs.
static void programs_share_memory(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  static const uint32_t alone[] = {XLM_WITH_TRAIN, XLM_WITH_EVAL, XLM_WITH_PREFILL, XLM_WITH_DECODE};
  uint32_t all = 0;
  uint64_t most = 0;
  for (int i = 0; i < 4; i++) {
    const xlm_rank_plan *r = plan_of(a, &layouts[0], alone[i])->rank_plans[0];
    if (r->area_bytes[XLM_AREA_TEMP] > most) most = r->area_bytes[XLM_AREA_TEMP];
    for (int p = 0; p < XLM_PROGRAMS; p++) assert_int_equal(xlm_plan_has(r, (xlm_program_id)p), p == i);
    all |= alone[i];
  }
  const xlm_rank_plan *r = plan_of(a, &layouts[0], all)->rank_plans[0];
  assert_int_equal(r->area_bytes[XLM_AREA_TEMP], most);
  for (int p = 0; p < XLM_PROGRAMS; p++) // llama computes nothing once per sequence
    assert_int_equal(xlm_plan_has(r, (xlm_program_id)p), p != XLM_PROGRAM_ENCODE);
  for (uint32_t i = 1; i < r->n_states; i++)
    for (uint32_t k = 0; k < i; k++) assert_string_not_equal(r->states[i].name, r->states[k].name);
  xlm_arena_free(a);
}

static void a_chunk_is_no_longer_than_the_context(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  toy_options o = toy_defaults("llama");
  o.seq = 5;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.programs = XLM_WITH_PREFILL | XLM_WITH_DECODE, c.chunk = 64;
  const xlm_plan *p = toy_plan(a, toy_source(a, "llama"), &c);
  assert_int_equal(p->chunk, 5);
  xlm_arena_free(a);
}

// ---- plans that were damaged ----

typedef struct damage {
  const char *from, *to, *finding; // the first `from` becomes `to`
} damage;

static const char *finding_of(xlm_arena *a, const xlm_text *t, const damage *d) {
  const char *at = strstr(t->data, d->from);
  if (!at) fail_msg("the plan has no %s", d->from);
  const char *text =
      xlm_arena_printf(a, "%.*s%s%s", (int)(at - t->data), t->data, d->to, at + strlen(d->from));
  const xlm_plan *p;
  xlm_error err = {0};
  if (xlm_plan_read_json(a, text, strlen(text), &p, &err) != XLM_OK) return xlm_arena_strdup(a, err.text);
  return xlm_plan_verify_saved(p, a).text;
}

static void damaged_plans_are_refused(void **state) {
  static const damage damages[] = {
      {"\"programs\": {\"prefill\": 0, \"decode\": 1}", "\"programs\": {\"prefill\": 1, \"decode\": 0}",
       "segment 1 is not the program `prefill`"},
      {"\"programs\": {\"prefill\": 0,", "\"programs\": {\"train\": 0,", "is not the program `train`"},
      {"\"programs\": {\"prefill\": 0,", "\"programs\": {\"fill\": 0,", "bad programs in"},
      {"\"programs\": {\"prefill\": 0,", "\"programs\": {", "which the plan does not have"},
      {"\"program\": \"decode\"", "\"program\": \"eval\"", "which the plan does not have"},
      {"\"program\": \"decode\"", "\"program\": \"prefill\"", "outputs reads `logits`"},
      {"\"chunk\": 7,", "\"chunk\": 6,", "the input `tokens` has another type than what fills it"},
      {"\"role\": \"count\"", "\"role\": \"lr\"",
       "the input `decode/count` has another type than what fills it"}};
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t = xlm_text_new(a);
  xlm_plan_print_json(plan_of(a, &layouts[0], XLM_WITH_PREFILL | XLM_WITH_DECODE), &t);
  const char *wrong = finding_of(a, &t, &(damage){"\"chunk\": 7,", "\"chunk\": 7,", ""});
  if (wrong) fail_msg("the plan itself is refused: %s", wrong);
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    const char *found = finding_of(a, &t, &damages[i]);
    if (!found || !strstr(found, damages[i].finding))
      fail_msg("%s: found `%s`, not `%s`", damages[i].to, found ? found : "nothing", damages[i].finding);
  }
  xlm_arena_free(a);
}

int main(int argc, char **argv) {
  chosen = argv + 1, n_chosen = argc - 1;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(decoding_is_evaluation), cmocka_unit_test(caches_have_the_planned_bytes),
      cmocka_unit_test(programs_share_memory), cmocka_unit_test(a_chunk_is_no_longer_than_the_context),
      cmocka_unit_test(damaged_plans_are_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
