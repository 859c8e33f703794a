// Any plan equals the one-rank plan. Random legal layouts of small versions of the shipped models, and of
// models that are for tests only (toy_models, test_models), train 5 steps on local ranks. They are compared
// with one rank, and with a plain layout: the same dp, ep, cp, tp and microbatches without pipeline, ZeRO and
// recompute. Losses agree with those of one rank within rounding. Losses, global norms, parameters and
// optimizer states agree with those of the plain layout bit for bit, except when every microbatch is reduced
// separately. One bound on the losses serves every optimizer: an element whose sign lion takes differently
// has almost no gradient, and moves by a rate that is lower, as it should be for lion; directions of only
// rounding errors in muon change the loss as little; parameters and states of other splits are not compared.
// The plans under test go through a file first, as with `xlmrun train plan.json`; those they are compared
// with do not.
//
//   test_any_plan                 a fixed list of seeds (longer with XLM_EXHAUSTIVE=1), and some fresh
//                                 ones
//   test_any_plan SEED COUNT      COUNT layouts from SEED on (the nightly switch: thousands)
//   test_any_plan "llama dp=2 tp=2 pp=2 mb=4 zero=1 schedule=1f1b ..."   one layout, as a failure prints it
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compiler/verify/verify_plan.h"
#include "runtime/base/philox.h"
#include "tests/train/toy_team.h"

#if defined(XLM_SANITIZED_THREAD) // sanitizers: a part of the list
enum { FIXED = 12, FRESH = 4, EXHAUSTIVE = 12 };
#elif defined(XLM_SANITIZED)
enum { FIXED = 12, FRESH = 4, EXHAUSTIVE = 60 };
#else
enum { FIXED = 100, FRESH = 10, EXHAUSTIVE = 640 };
#endif
enum { STEPS = 5, MOST_RANKS = 16 };

typedef struct layout {
  char model[16];
  int pp, dp, ep, cp, tp, microbatches, zero, chunks;
  char schedule[16];
  int recompute;   // 0 none, 1 full
  char reduce[16]; // gradients: step, microbatch
  char optimizer[16];
  char dtype[8]; // f32, bf16
  int loss_chunks;
} layout;

typedef struct curve {
  double loss[STEPS], norm[STEPS];
  uint64_t states; // a hash of all that a checkpoint would hold
} curve;

static const char *text_of(const layout *l) {
  static char text[256];
  snprintf(text, sizeof text,
           "%s pp=%d dp=%d ep=%d cp=%d tp=%d mb=%d zero=%d chunks=%d schedule=%s recompute=%d reduce=%s "
           "optimizer=%s dtype=%s loss_chunks=%d",
           l->model, l->pp, l->dp, l->ep, l->cp, l->tp, l->microbatches, l->zero, l->chunks, l->schedule,
           l->recompute, l->reduce, l->optimizer, l->dtype, l->loss_chunks);
  return text;
}

static xlm_mesh mesh_of(const layout *l) {
  const char *names[] = {"pp", "dp", "ep", "cp", "tp"};
  int sizes[] = {l->pp, l->dp, l->ep, l->cp, l->tp};
  xlm_mesh m = {0};
  for (int i = 0; i < 5; i++) {
    if (sizes[i] < 2) continue;
    m.axis[m.n] = names[i];
    m.size[m.n++] = sizes[i];
  }
  return m;
}

// Four rounds, and sizes that do not divide by what they are split over: 6 heads over 4, 3 groups over 2.
static const char *sets_of(const char *model) {
  if (!strcmp(model, "mamba2") || !strcmp(model, "scans")) return "layers=4 heads=6 hidden=96";
  if (!strcmp(model, "gpt2") || !strcmp(model, "freestyle") || !strcmp(model, "retnet") ||
      !strcmp(model, "indices") || !strcmp(model, "neox") || !strcmp(model, "vit") ||
      !strcmp(model, "ngpt") || !strcmp(model, "t5") || !strcmp(model, "gla"))
    return "layers=4 heads=6 hidden=96 ffn=100";
  if (!strcmp(model, "diffllama")) return "layers=4 heads=12 kv_heads=12 hidden=96 ffn=100"; // six pairs
  if (!strcmp(model, "deepseek")) return "layers=4 heads=6 hidden=96 ffn=100 moe_ffn=20";
  return "layers=4 heads=6 kv_heads=6 hidden=96 ffn=100";
}

static const xlm_plan *plan_of(const char *device, xlm_arena *a, const layout *l) {
  toy_options o = toy_defaults(l->model);
  o.batch = 8 / l->microbatches;
  o.microbatches = l->microbatches;
  o.recompute = l->recompute ? XLM_RECOMPUTE_FULL : XLM_RECOMPUTE_NONE;
  o.sets = sets_of(l->model);
  o.dtype = !strcmp(l->dtype, "bf16") ? XLM_BF16 : XLM_F32;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.mesh = mesh_of(l);
  c.zero = l->zero;
  c.reduce_each = !strcmp(l->reduce, "microbatch");
  c.schedule = l->schedule;
  c.chunks = l->chunks;
  c.train.optimizer = l->optimizer;
  c.train.skip_spikes = strlen(l->model) % 2 ? 4 : 0; // a state that all stages have
  c.loss_chunks = l->loss_chunks;
  return toy_plan_on(device, a, toy_source(a, l->model), &c);
}

// Writes the plan, reads it back and verifies it, as xlmrun does with a file.
static const xlm_plan *through_file(xlm_arena *a, const xlm_plan *p, const layout *l) {
  xlm_text text = xlm_text_new(a);
  const xlm_plan *again = NULL;
  xlm_error err = {0};
  xlm_plan_print_json(p, &text);
  if (xlm_plan_read_json(a, text.data, text.n, &again, &err) != XLM_OK)
    fail_msg("%s: %s", text_of(l), err.text);
  xlm_plan_check check = xlm_plan_verify_saved(again, a);
  if (check.text) fail_msg("%s: %s", text_of(l), check.text);
  return again;
}

static void check_memory(const toy_team *t) {
  for (int i = 0; i < xlm_team_size(t->team); i++)
    assert_true(xlm_exec_arena_bytes(xlm_team_exec(t->team, i)) ==
                t->plan->rank_plans[t->plan->rank_plan_of[i]]->arena_bytes);
}

static uint64_t hash_states(const xlm_store *s) {
  uint64_t sum = 0; // the order of the states depends on the layout
  for (int i = 0; i < s->n; i++) {
    const xlm_stored *t = &s->at[i];
    if (!t->saved) continue;
    size_t bytes = (size_t)t->n * xlm_dtype_bytes(t->dtype);
    unsigned char *data = malloc(bytes + 1);
    xlm_error err = {0};
    if (xlm_store_get(s, t, NULL, data, &err) != XLM_OK) fail_msg("%s", err.text);
    uint64_t h = xlm_hash_text(t->name);
    for (size_t k = 0; k < bytes; k++) h = (h ^ data[k]) * UINT64_C(1099511628211);
    sum += xlm_hash_mix(h);
    free(data);
  }
  return sum;
}

static double rate_of(const layout *l) {
  return strcmp(l->optimizer, "lion") ? 1e-3 : 2e-4;
}

// device NULL: the one under test.
static curve train(const char *device, const layout *l, bool saved) {
  xlm_arena *a = xlm_arena_new(0);
  const xlm_plan *p = plan_of(device, a, l);
  toy_team *t = toy_team_open_on(device, saved ? through_file(a, p, l) : p, text_of(l));
  curve c;
  check_memory(t);
  for (int s = 0; s < STEPS; s++) {
    toy_team_step(t, s, rate_of(l));
    c.loss[s] = toy_team_output(t, "loss");
    c.norm[s] = toy_team_output(t, "grad_norm");
  }
  c.states = hash_states(t->store);
  toy_team_close(t);
  xlm_arena_free(a);
  return c;
}

// ---- what it is compared with ----

// There are few reference runs; each is made once.
static curve reference(const char *device, const layout *l) {
  enum { MOST = 4096 };
  static struct {
    const char *device;
    layout l;
    curve c;
  } known[MOST];
  static int n;
  for (int i = 0; i < n; i++)
    if (known[i].device == device && !memcmp(&known[i].l, l, sizeof *l)) return known[i].c;
  curve c = train(device, l, false);
  if (n < MOST) known[n].device = device, known[n].l = *l, known[n++].c = c;
  return c;
}

static layout plain(const char *model, int microbatches, const char *optimizer) {
  layout l;
  memset(&l, 0, sizeof l); // compared byte by byte
  l.pp = l.dp = l.ep = l.cp = l.tp = l.chunks = l.loss_chunks = 1, l.microbatches = microbatches;
  snprintf(l.model, sizeof l.model, "%s", model);
  snprintf(l.schedule, sizeof l.schedule, "1f1b");
  snprintf(l.reduce, sizeof l.reduce, "step");
  snprintf(l.optimizer, sizeof l.optimizer, "%s", optimizer);
  snprintf(l.dtype, sizeof l.dtype, "f32");
  return l;
}

// The text of a layout: the model, then NAME=VALUE in any order. What is left out is 1 for sizes, and the
// usual choice. false: a word is of another form.
static bool parse_word(layout *l, const char *word) {
  const struct {
    const char *name;
    int *number;
  } numbers[] = {{"pp", &l->pp},
                 {"dp", &l->dp},
                 {"ep", &l->ep},
                 {"cp", &l->cp},
                 {"tp", &l->tp},
                 {"mb", &l->microbatches},
                 {"zero", &l->zero},
                 {"chunks", &l->chunks},
                 {"recompute", &l->recompute},
                 {"loss_chunks", &l->loss_chunks}};
  const struct {
    const char *name;
    char *at;
    size_t room;
  } texts[] = {{"schedule", l->schedule, sizeof l->schedule},
               {"reduce", l->reduce, sizeof l->reduce},
               {"optimizer", l->optimizer, sizeof l->optimizer},
               {"dtype", l->dtype, sizeof l->dtype}};
  const char *value = strchr(word, '=');
  size_t n = value ? (size_t)(value++ - word) : 0;
  char *end;
  for (size_t i = 0; n && i < sizeof numbers / sizeof *numbers; i++) {
    if (strlen(numbers[i].name) != n || strncmp(numbers[i].name, word, n)) continue;
    *numbers[i].number = (int)strtol(value, &end, 10);
    return end != value && !*end;
  }
  for (size_t i = 0; n && i < sizeof texts / sizeof *texts; i++)
    if (strlen(texts[i].name) == n && !strncmp(texts[i].name, word, n))
      return snprintf(texts[i].at, texts[i].room, "%s", value) < (int)texts[i].room;
  return false;
}

static bool parse_layout(const char *text, layout *l) {
  char copy[256], *word, *rest = copy;
  if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy) return false;
  if (!(word = strtok_r(copy, " ", &rest)) || strlen(word) >= sizeof l->model) return false;
  *l = plain(word, 1, "adamw");
  while ((word = strtok_r(NULL, " ", &rest)))
    if (!parse_word(l, word)) return false;
  return true;
}

// Sums are split differently over dp, ep, cp and tp, and when ranks are added before microbatches; pipeline,
// schedule, recompute and ZeRO change no bit.
static bool keeps_bits(const layout *l) {
  return strcmp(l->reduce, "microbatch") || l->zero < 2 || l->microbatches == 1 || l->dp == 1;
}

// How far losses and the first norm may be from those of one rank. A value in bf16 is off by up to 1/512, and
// each rank rounds its partial sums.
static double bound_of(const layout *l) {
  return strcmp(l->dtype, "bf16") ? 1e-5 : 5e-3;
}
static double norm_bound_of(const layout *l) {
  return strcmp(l->dtype, "bf16") ? 1e-3 : 2e-2;
}

static void check_close(const layout *l, const curve *many, const curve *one) {
  if (!(fabs(many->norm[0] - one->norm[0]) < norm_bound_of(l) * one->norm[0])) // of the same parameters
    fail_msg("%s: the first norm is %.9g, on one rank %.9g", text_of(l), many->norm[0], one->norm[0]);
  for (int s = 0; s < STEPS; s++) {
    double off = fabs(many->loss[s] - one->loss[s]) / fabs(one->loss[s]);
    if (!(off < bound_of(l)))
      fail_msg("%s: step %d: loss %.9g, on one rank %.9g (off by %.2g); norm %.9g and %.9g", text_of(l), s,
               many->loss[s], one->loss[s], off, many->norm[s], one->norm[s]);
  }
}

static void check_same(const layout *l, const curve *many, const curve *twin, const char *how) {
  for (int s = 0; s < STEPS; s++)
    if (many->loss[s] != twin->loss[s] || many->norm[s] != twin->norm[s])
      fail_msg("%s: step %d: loss %.9g, norm %.9g; %s %.9g, %.9g", text_of(l), s, many->loss[s],
               many->norm[s], how, twin->loss[s], twin->norm[s]);
  if (many->states != twin->states) fail_msg("%s: the states are not those %s", text_of(l), how);
}

static const char cpu[] = "cpu";

static bool has_kernels_of_cpu(void) {
  return !strcmp(toy_backend(NULL).info.name, cpu);
}

// The device under test against one rank of the CPU; its twin is on the same kernels, whose bits are their
// own.
static void compare(const layout *l) {
  layout alone = plain(l->model, l->microbatches, l->optimizer), plainer;
  memcpy(alone.dtype, l->dtype, sizeof alone.dtype);
  plainer = alone;
  plainer.loss_chunks = l->loss_chunks; // they are added one after the other
  plainer.dp = l->dp, plainer.ep = l->ep, plainer.cp = l->cp, plainer.tp = l->tp;
  const char *own = has_kernels_of_cpu() ? cpu : NULL;
  curve many = train(NULL, l, true), one = reference(cpu, &alone), twin = reference(own, &plainer);
  check_close(l, &many, &one);
  if (keeps_bits(l)) check_same(l, &many, &twin, "without pipeline, ZeRO and recompute");
  if (!getenv("XLM_TEST_DEVICE") || !has_kernels_of_cpu()) return;
  curve here = reference(cpu, l); // the device changes no bits
  check_same(l, &many, &here, "on the CPU");
}

// ---- random layouts ----

static uint64_t draw(uint64_t *state, uint64_t n) {
  return (*state = xlm_hash_mix(*state)) % n;
}

static int pick(uint64_t *s, const int *from, int n) {
  return from[draw(s, (uint64_t)n)];
}

static int ranks_of(const layout *l) {
  return l->pp * l->dp * l->ep * l->cp * l->tp;
}

static layout random_layout(uint64_t seed) {
  static const int small[] = {1, 1, 2}, cps[] = {1, 1, 1, 2, 2, 3, 4}, dps[] = {1, 2, 4},
                   tps[] = {1, 2, 3, 4}, pps[] = {1, 2, 4};
  uint64_t s = xlm_hash_mix(seed + 17);
  layout l = {.chunks = 1};
  uint64_t model = draw(&s, TOY_MODELS + TEST_MODELS);
  snprintf(l.model, sizeof l.model, "%s",
           model < TOY_MODELS ? toy_models[model] : test_models[model - TOY_MODELS]);
  bool moe = !strcmp(l.model, "mixtral") || !strcmp(l.model, "deepseek") || !strcmp(l.model, "olmoe") ||
             !strcmp(l.model, "qwen3_moe") || !strcmp(l.model, "gpt_oss");
  do {
    l.pp = pick(&s, pps, 3), l.dp = pick(&s, dps, 3), l.tp = pick(&s, tps, 4);
    l.ep = moe ? pick(&s, small, 3) : 1, l.cp = pick(&s, cps, 7);
  } while (ranks_of(&l) > MOST_RANKS || ranks_of(&l) < 2);
  l.microbatches = l.dp * l.ep == 4 ? 2 : (int)(1u << draw(&s, 3));
  if (8 / l.microbatches % (l.dp * l.ep)) l.microbatches = 1;
  l.zero = l.dp > 1 ? (int)draw(&s, 4) : 0;
  l.recompute = (int)draw(&s, 2);
  static const char *const schedules[] = {"gpipe", "1f1b", "zb-h1", "interleaved"};
  snprintf(l.schedule, sizeof l.schedule, "%s", schedules[draw(&s, 4)]);
  if (!strcmp(l.schedule, "interleaved")) {
    l.chunks = l.pp == 2 ? 2 : 1;
    if (l.microbatches % l.pp || l.chunks == 1) snprintf(l.schedule, sizeof l.schedule, "1f1b"), l.chunks = 1;
  }
  snprintf(l.reduce, sizeof l.reduce, "%s", l.zero >= 2 && draw(&s, 3) == 0 ? "microbatch" : "step");
  static const char *const optimizers[] = {"adamw", "sgd", "lion", "muon", "adafactor"};
  snprintf(l.optimizer, sizeof l.optimizer, "%s", optimizers[draw(&s, 2) ? draw(&s, 5) : 0]);
  snprintf(l.dtype, sizeof l.dtype, "%s", draw(&s, 4) ? "f32" : "bf16");
  l.loss_chunks = (int)draw(&s, 2) ? 1 : 2 + (int)draw(&s, 7);
  return l;
}

static void try_seed(uint64_t seed) {
  layout l = random_layout(seed);
  compare(&l);
}

// Means over counts that differ between microbatches are those of the whole batch.
static void microbatches_change_rounding_only(void **state) {
  (void)state;
  for (int m = 0; m < TEST_MODELS; m++) {
    layout one = plain(test_models[m], 1, "adamw");
    curve whole = reference(cpu, &one);
    for (int n = 2; n <= 8; n *= 2) {
      layout l = plain(test_models[m], n, "adamw");
      curve parts = reference(cpu, &l);
      check_close(&l, &parts, &whole);
    }
  }
}

static void fixed_layouts(void **state) {
  (void)state;
  uint64_t most = getenv("XLM_EXHAUSTIVE") ? EXHAUSTIVE : FIXED;
  for (uint64_t seed = 1; seed <= most; seed++) try_seed(seed);
}

static void fresh_layouts(void **state) {
  (void)state;
  uint64_t seed = (uint64_t)time(NULL) * 1000;
  for (int i = 0; i < FRESH; i++) try_seed(seed + (uint64_t)i);
}

// One for each mistake that layouts drawn at random find rarely.
static void found_layouts(void **state) {
  (void)state;
  static const char *const found[] = {
      // a residual that the round before makes of other ranks' rows, and a pipeline cut between the two
      "mixtral pp=2 ep=2 mb=2 dtype=bf16",
      // loops whose rounds i are on one stage, which has their parameters once
      "plt pp=2 mb=4 chunks=0",
      "plt pp=2 dp=2 tp=2 mb=2 chunks=0 zero=3 recompute=1",
      "plt pp=2 cp=2 mb=2 chunks=6 schedule=interleaved",
      "plt pp=4 dp=2 mb=4 chunks=0 optimizer=muon zero=1",
  };
  for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
    layout l;
    assert_true(parse_layout(found[i], &l));
    compare(&l);
  }
}

// Every option of a layout's text is read, also those after others that are left out.
static void reads_what_it_writes(void **state) {
  (void)state;
  layout l, again;
  for (uint64_t seed = 1; seed < 50; seed++) {
    l = random_layout(seed);
    assert_true(parse_layout(text_of(&l), &again));
    char written[256];
    snprintf(written, sizeof written, "%s", text_of(&l));
    assert_string_equal(written, text_of(&again));
  }
  assert_true(parse_layout("gpt2 tp=2 loss_chunks=3 dtype=bf16", &l));
  assert_true(l.tp == 2 && l.pp == 1 && l.loss_chunks == 3 && !strcmp(l.dtype, "bf16"));
  assert_false(parse_layout("gpt2 tp=two", &l));
  assert_false(parse_layout("gpt2 pt=2", &l));
}

static uint64_t given_seed, given_count;
static layout given;

static void given_layouts(void **state) {
  (void)state;
  for (uint64_t i = 0; i < given_count; i++) {
    layout l = random_layout(given_seed + i);
    printf("%llu: %s\n", (unsigned long long)(given_seed + i), text_of(&l));
    fflush(stdout);
    compare(&l);
  }
}

static void given_layout(void **state) {
  (void)state;
  compare(&given);
}

int main(int argc, char **argv) {
  const struct CMUnitTest all[] = {
      cmocka_unit_test(reads_what_it_writes), cmocka_unit_test(microbatches_change_rounding_only),
      cmocka_unit_test(fixed_layouts), cmocka_unit_test(found_layouts), cmocka_unit_test(fresh_layouts)};
  const struct CMUnitTest some[] = {cmocka_unit_test(microbatches_change_rounding_only),
                                    cmocka_unit_test(given_layouts)},
                          one[] = {cmocka_unit_test(given_layout)};
  if (argc == 3) {
    given_seed = strtoull(argv[1], NULL, 10), given_count = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(some, NULL, NULL);
  }
  if (argc == 2) {
    if (parse_layout(argv[1], &given)) return cmocka_run_group_tests(one, NULL, NULL);
    fprintf(stderr, "test_any_plan: '%s' is not a layout: MODEL NAME=VALUE...\n", argv[1]);
    return 1;
  }
  return cmocka_run_group_tests(all, NULL, NULL);
}
