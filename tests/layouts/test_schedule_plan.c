// Pipeline schedules: the properties of each built-in one over many sizes (valid, memory, bubble), broken
// ones rejected with the two entries named, CSV in both directions.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz_schedule.c"
#include "tests/fuzz/mutate.h"

static xlm_arena *arena;

static int setup(void **state) {
  (void)state;
  arena = xlm_arena_new(0);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return 0;
}

static void renew(void) { // between cases, so that sweeps stay small
  xlm_arena_free(arena);
  arena = xlm_arena_new(0);
  assert_non_null(arena);
}

static xlm_schedule_plan *make(const char *name, int stages, int chunks, int64_t microbatches) {
  xlm_schedule_plan *s = NULL;
  xlm_error err = {0};
  if (xlm_schedule_make(arena, name, stages, chunks, microbatches, &s, &err) != XLM_OK)
    fail_msg("%s", err.text);
  return s;
}

static void assert_sound(const xlm_schedule_plan *s) {
  xlm_error err = {0};
  if (xlm_schedule_check(s, arena, &err) != XLM_OK)
    fail_msg("%s, %d stages, %d chunks, %lld microbatches: %s", s->name, s->stages, s->chunks,
             (long long)s->microbatches, err.text);
}

static xlm_segment_kind last_kind(const xlm_schedule_plan *s) {
  return s->split_weights ? XLM_SEG_W : XLM_SEG_B;
}

// Bytes of all slots: each serves one microbatch of one chunk at a time, from its first entry to its last,
// and is large enough for it.
static uint64_t check_held(const xlm_schedule_plan *s, int stage, xlm_segment_kind from, xlm_segment_kind to,
                           const uint64_t *bytes, xlm_schedule_held *held) {
  *held = xlm_schedule_slots(s, stage, from, to, bytes, arena);
  int64_t *holder = calloc((size_t)held->n + 1, sizeof *holder); // microbatch and chunk + 1
  uint64_t sum = 0;
  for (uint32_t i = 0; i < s->stage[stage].n; i++) {
    xlm_pipeline_action e = s->stage[stage].at[i];
    int32_t slot = held->slot[i];
    if (e.kind < from || e.kind > to || e.kind == XLM_SEG_STEP) {
      assert_int_equal(slot, -1);
      continue;
    }
    assert_in_range(slot, 0, held->n - 1);
    assert_true(bytes[held->chunk[slot]] >= bytes[e.chunk]);
    int64_t me = 1 + e.microbatch * s->chunks + e.chunk;
    assert_int_equal(holder[slot], e.kind == from ? 0 : me);
    holder[slot] = e.kind == to ? 0 : me;
  }
  for (int32_t i = 0; i < held->n; i++) {
    assert_true(!i || bytes[held->chunk[i]] <= bytes[held->chunk[i - 1]]);
    sum += bytes[held->chunk[i]];
  }
  free(holder);
  return sum;
}

static int32_t slots_kept(const xlm_schedule_plan *s, int stage, xlm_segment_kind from, xlm_segment_kind to) {
  uint64_t *bytes = XLM_NEW_N(arena, uint64_t, s->chunks);
  for (int c = 0; c < s->chunks; c++) bytes[c] = 64;
  xlm_schedule_held held;
  uint64_t sum = check_held(s, stage, from, to, bytes, &held);
  assert_int_equal(sum, 64 * held.n);
  return held.n;
}

static int32_t slots_of(const xlm_schedule_plan *s, int stage) { // through all of a microbatch
  return slots_kept(s, stage, XLM_SEG_F, last_kind(s));
}

static double simulate(const xlm_schedule_plan *s, xlm_part_cost each, double *bubble) {
  xlm_part_cost *cost = XLM_NEW_N(arena, xlm_part_cost, s->stages * s->chunks);
  for (int i = 0; i < s->stages * s->chunks; i++) cost[i] = each;
  return xlm_schedule_simulate(s, cost, arena, NULL, bubble);
}

static int64_t min64(int64_t a, int64_t b) {
  return a < b ? a : b;
}

// ---- properties over many sizes ----

typedef void visit_fn(const xlm_schedule_plan *s);

static void sweep(const char *name, int most_chunks, visit_fn *visit) {
  int first = most_chunks > 1 ? 2 : 1;
  for (int stages = 1; stages <= 16; stages++)
    for (int chunks = first; chunks <= most_chunks; chunks++)
      for (int64_t m = 1; m <= 64; m += m < 20 ? 1 : 11) {
        if (most_chunks > 1 && m % stages) continue;
        renew();
        const xlm_schedule_plan *s = make(name, stages, chunks, m);
        assert_sound(s);
        visit(s);
      }
}

static void assert_length(const xlm_schedule_plan *s, xlm_part_cost c, double expected) {
  double bubble, length = simulate(s, c, &bubble);
  double work = (double)s->microbatches * s->chunks * (c.f + c.b + c.w);
  if (fabs(length - expected) > 1e-9 * expected)
    fail_msg("%s, %d stages, %d chunks, %lld microbatches: length %g, expected %g", s->name, s->stages,
             s->chunks, (long long)s->microbatches, length, expected);
  assert_true(fabs(bubble - (1 - work / expected)) < 1e-9);
}

static void visit_gpipe(const xlm_schedule_plan *s) {
  for (int st = 0; st < s->stages; st++) assert_int_equal(slots_of(s, st), s->microbatches);
  assert_length(s, (xlm_part_cost){.f = 2, .b = 3, .w = 1}, (double)(s->microbatches + s->stages - 1) * 6);
}

static void test_gpipe(void **state) {
  (void)state;
  sweep("gpipe", 1, visit_gpipe);
}

static void visit_1f1b(const xlm_schedule_plan *s) {
  for (int st = 0; st < s->stages; st++)
    assert_int_equal(slots_of(s, st), min64(s->stages - st, s->microbatches));
  assert_length(s, (xlm_part_cost){.f = 2, .b = 3}, (double)(s->microbatches + s->stages - 1) * 5);
}

static void test_1f1b(void **state) {
  (void)state;
  sweep("1f1b", 1, visit_1f1b);
}

// With the model's work the same, a chunk takes 1 / chunks of the time, so this is the bubble of 1f1b divided
// by them.
static void visit_interleaved(const xlm_schedule_plan *s) {
  int64_t most = 0;
  for (int st = 0; st < s->stages; st++) {
    int32_t n = slots_of(s, st);
    int64_t ahead = 2 * (s->stages - st - 1) + (s->chunks - 1) * s->stages + 1;
    assert_true(n <= min64(ahead, s->microbatches * s->chunks));
    most = n > most ? n : most;
  }
  assert_int_equal(most,
                   min64(2 * (s->stages - 1) + (s->chunks - 1) * s->stages + 1, s->microbatches * s->chunks));
  double m = (double)s->microbatches, chunks = s->chunks;
  assert_length(s, (xlm_part_cost){.f = 1 / chunks, .b = 1 / chunks}, 2 * m + 2 * (s->stages - 1) / chunks);
  assert_length(s, (xlm_part_cost){.f = 1 / chunks, .b = 2 / chunks}, 3 * m + 3 * (s->stages - 1) / chunks);
}

static void test_interleaved(void **state) {
  (void)state;
  sweep("interleaved", 4, visit_interleaved);
}

static void visit_zero_bubble(const xlm_schedule_plan *s) {
  assert_true(s->split_weights);
  for (int st = 0; st < s->stages; st++) { // what 1F1B keeps, and W no later than its stage
    assert_true(slots_of(s, st) <= min64(s->stages, s->microbatches));
    assert_int_equal(slots_kept(s, st, XLM_SEG_F, XLM_SEG_B), min64(s->stages - st, s->microbatches));
    assert_int_equal(slots_kept(s, st, XLM_SEG_B, XLM_SEG_W), min64(st + 1, s->microbatches));
  }
  if (s->microbatches < s->stages) return; // too few to fill the pipeline
  assert_length(s, (xlm_part_cost){.f = 2, .b = 2, .w = 2},
                6 * (double)s->microbatches + 2 * (s->stages - 1));
}

static void test_zero_bubble(void **state) {
  (void)state;
  sweep("zb-h1", 1, visit_zero_bubble);
  assert_string_equal(make("zero-bubble", 2, 1, 4)->name, "zb-h1");
}

// Whatever the costs: not slower than 1f1b with the same work.
static void test_zero_bubble_not_slower(void **state) {
  (void)state;
  static const xlm_part_cost costs[] = {
      {1, 1, 1, 0}, {2, 3, 1, 0}, {2, 2, 1, 0}, {1, 2, 0.5, 0}, {3, 2, 2, 0}};
  for (size_t k = 0; k < sizeof costs / sizeof *costs; k++)
    for (int stages = 2; stages <= 8; stages++) {
      renew();
      double zb = simulate(make("zb-h1", stages, 1, 2 * stages), costs[k], NULL);
      double plain = simulate(make("1f1b", stages, 1, 2 * stages), costs[k], NULL);
      assert_true(zb < plain);
    }
}

// ---- chunks of different size ----

// Never more than slots that all have the size of the largest chunk, and less when chunks differ much.
static void test_slots_differ(void **state) {
  (void)state;
  static const uint64_t sizes[][3] = {{64, 64, 64}, {64, 64, 640}, {640, 64, 64}, {64, 0, 640}, {0, 0, 0}};
  for (int stages = 2; stages <= 5; stages++)
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
      renew();
      const xlm_schedule_plan *s = make("interleaved", stages, 3, 4 * stages);
      for (int st = 0; st < stages; st++) {
        uint64_t most = 0;
        for (int c = 0; c < 3; c++) most = sizes[k][c] > most ? sizes[k][c] : most;
        if (!most) assert_int_equal(xlm_schedule_slots(s, st, XLM_SEG_F, XLM_SEG_B, sizes[k], arena).n, 0);
        if (k == 3 || !most) continue; // check_held requires a slot for every entry
        xlm_schedule_held held;
        uint64_t sum = check_held(s, st, XLM_SEG_F, XLM_SEG_B, sizes[k], &held),
                 all = most * (uint64_t)slots_of(s, st);
        assert_true(k ? sum <= all : sum == all);
        if (k == 1) assert_true(10 * sum <= 7 * all); // the head: few of its microbatches are in flight
      }
    }
}

// ---- times ----

static void test_times(void **state) {
  (void)state;
  const xlm_schedule_plan *s = make("1f1b", 2, 1, 2);
  xlm_part_cost cost[] = {{1, 2, 0.5, 0.25}, {3, 4, 1, 0}};
  xlm_interval *times[2];
  double bubble, length = xlm_schedule_simulate(s, cost, arena, times, &bubble);
  // stage 0: F0 0-1, F1 1-2, B0 9.5-12, B1 17.5-20; stage 1: F0 1.25-4.25, B0 -9.25, F1 -12.25, B1 -17.25
  static const double start[2][4] = {{0, 1, 9.5, 17.5}, {1.25, 4.25, 9.25, 12.25}};
  static const double end[2][4] = {{1, 2, 12, 20}, {4.25, 9.25, 12.25, 17.25}};
  for (int st = 0; st < 2; st++)
    for (int i = 0; i < 4; i++) {
      assert_true(times[st][i].start == start[st][i]);
      assert_true(times[st][i].end == end[st][i]);
    }
  assert_true(length == 20);
  assert_true(fabs(bubble - (1 - 23.0 / 40)) < 1e-12);
  assert_true(times[1][4].start == 17.25 && times[1][4].end == 17.25); // the step takes no time here
}

static void test_large(void **state) { // about a million entries; a quadratic walk would not end
  (void)state;
  const xlm_schedule_plan *s = make("interleaved", 16, 8, 4096);
  assert_sound(s);
  assert_int_equal(s->stage[3].n, 2 * 8 * 4096 + 1);
  assert_length(s, (xlm_part_cost){.f = 1, .b = 2}, 3 * 8.0 * 4096 + 3 * 15);
  for (int st = 0; st < 16; st++) assert_true(slots_of(s, st) <= 2 * 15 + 7 * 16 + 1);
}

// ---- refusals ----

static void assert_said(xlm_status status, const xlm_error *err, const char *const *words) {
  assert_int_equal(status, XLM_USER);
  for (; *words; words++)
    if (!strstr(err->text, *words)) fail_msg("`%s` is not in: %s", *words, err->text);
}

static void refuse_make(const char *name, int stages, int chunks, int64_t microbatches,
                        const char *const *words) {
  xlm_schedule_plan *s;
  xlm_error err = {0};
  assert_said(xlm_schedule_make(arena, name, stages, chunks, microbatches, &s, &err), &err, words);
}

static void test_refused_requests(void **state) {
  (void)state;
  refuse_make("1f2b", 4, 1, 8, (const char *[]){"`1f2b`", "did you mean `1f1b`", "zb-h1", NULL});
  refuse_make("interleaved", 4, 2, 10, (const char *[]){"10", "8 or 12 would be", NULL});
  refuse_make("interleaved", 4, 2, 3, (const char *[]){"4 or 8 would be", NULL});
  refuse_make("interleaved", 4, 1, 8, (const char *[]){"at least 2 chunks", NULL});
  refuse_make("1f1b", 4, 2, 8, (const char *[]){"use interleaved", NULL});
  refuse_make("gpipe", 0, 1, 8, (const char *[]){"at least 1 stage", NULL});
  refuse_make("gpipe", 1, 1, 0, (const char *[]){"at least 1 stage", NULL});
  refuse_make("gpipe", 2, 1, INT64_MAX, (const char *[]){"fewer, larger microbatches", NULL});
  int n;
  const char *const *names = xlm_schedule_names(&n);
  for (int i = 0; i < n; i++) assert_sound(make(names[i], 4, strcmp(names[i], "interleaved") ? 1 : 2, 8));
}

static xlm_schedule_plan *read_csv(const char *text, int stages, int chunks, int64_t microbatches) {
  xlm_schedule_plan *s = NULL;
  xlm_error err = {0};
  if (xlm_schedule_read_csv(arena, "s.csv", text, strlen(text), stages, chunks, microbatches, &s, &err) !=
      XLM_OK)
    fail_msg("%s", err.text);
  return s;
}

static void refuse_check(const char *text, int stages, int chunks, int64_t microbatches,
                         const char *const *words) {
  xlm_error err = {0};
  assert_said(xlm_schedule_check(read_csv(text, stages, chunks, microbatches), arena, &err), &err, words);
}

static void test_broken_schedules(void **state) {
  (void)state;
  refuse_check("F0,F1,B0\nF0,B0,F1,B1\n", 2, 1, 2,
               (const char *[]){"stage 0 runs F1 (entry 2) but never B1", NULL});
  refuse_check("F0,F1,B0,B1\nF0,B0\n", 2, 1, 2, (const char *[]){"stage 1 never runs F1", NULL});
  refuse_check("F0,B0\nB0,F0\n", 2, 1, 1,
               (const char *[]){"stage 1 runs B0 (entry 1) before F0 (entry 2)", NULL});
  refuse_check("F0,B0,F0\nF0,B0\n", 2, 1, 1,
               (const char *[]){"stage 0 runs F0 twice", "entry 1", "entry 3", NULL});
  refuse_check("F0,W0,B0\nF0,B0,W0\n", 2, 1, 1,
               (const char *[]){"stage 0 runs W0 (entry 2) before B0 (entry 3)", NULL});
  refuse_check("F0,B0,W0\nF0,B0\n", 2, 1, 1,
               (const char *[]){"stage 1 runs B0 (entry 2) but never W0", NULL});
  refuse_check("F0,F1,B0,B1\nF0,F1,B1,B0\n", 2, 1, 2,
               (const char *[]){"stage 1 runs B1 (entry 3) before B0 (entry 4)",
                                "microbatch 0 starts the sums", NULL});
}

static void test_waits_on_itself(void **state) {
  (void)state;
  refuse_check("F0,B0,F1,B1\nF0,F1,B0,B1\n", 2, 1, 2,
               (const char *[]){"has a deadlock",
                                "stage 0 cannot run B0 (entry 2) before B0 of stage 1, which is entry 3",
                                "stage 1 cannot run F1 (entry 2) before F1 of stage 0, which is entry 3",
                                NULL});
  // one stage that puts its second chunk first
  refuse_check(
      "F0.1,F0.0,B0.1,B0.0\n", 1, 2, 1,
      (const char *[]){"stage 0 cannot run F0.1 (entry 1) before F0.0 of stage 0, which is entry 2", NULL});
  // a circle through three stages that leaves the first entries out
  refuse_check("F0,F1,B0,B1,F2,B2\nF0,F1,F2,B0,B1,B2\nF0,F1,F2,B0,B1,B2\n", 3, 1, 3,
               (const char *[]){"stage 0 cannot run B0 (entry 3)", "stage 1 cannot run F2 (entry 3)", NULL});
}

static void test_broken_by_hand(void **state) {
  (void)state;
  xlm_error err = {0};
  xlm_schedule_plan *s = make("1f1b", 2, 1, 2);
  s->stage[1].n--;
  assert_said(xlm_schedule_check(s, arena, &err), &err, (const char *[]){"stage 1 does not end with", NULL});
  s = make("1f1b", 2, 1, 2);
  s->stage[0].at[1] = s->stage[0].at[4];
  assert_said(xlm_schedule_check(s, arena, &err), &err,
              (const char *[]){"step as entry 2 and B0 after it", NULL});
  s = make("1f1b", 2, 1, 2);
  s->stage[0].at[1].microbatch = 7;
  assert_said(xlm_schedule_check(s, arena, &err), &err, (const char *[]){"there is no microbatch 7", NULL});
  s = make("zb-h1", 2, 1, 2);
  s->split_weights = false;
  assert_said(xlm_schedule_check(s, arena, &err), &err, (const char *[]){"leave the W entries out", NULL});
}

// Swapping two entries of a stage gives a schedule that either passes and can be simulated, or is rejected;
// it never hangs.
static void test_random_swaps(void **state) {
  (void)state;
  int refused = 0;
  uint32_t seed = 1;
  for (int i = 0; i < 2000; i++) {
    if (i % 100 == 0) renew();
    xlm_schedule_plan *s = make(i % 2 ? "zb-h1" : "1f1b", 1 + i % 5, 1, 1 + i % 7);
    for (int k = 0; k < 2; k++) {
      seed = seed * 1664525u + 1013904223u;
      xlm_stage_schedule *st = &s->stage[(seed >> 8) % (uint32_t)s->stages];
      uint32_t a = (seed >> 12) % st->n, b = (seed >> 20) % st->n;
      xlm_pipeline_action t = st->at[a];
      st->at[a] = st->at[b], st->at[b] = t;
    }
    xlm_error err = {0};
    if (xlm_schedule_check(s, arena, &err) == XLM_OK)
      assert_true(simulate(s, (xlm_part_cost){.f = 1, .b = 1, .w = 1, .send = 1}, NULL) > 0);
    else
      refused++;
  }
  assert_true(refused > 200 && refused < 1950);
}

// ---- CSV ----

static void assert_same(const xlm_schedule_plan *a, const xlm_schedule_plan *b) {
  assert_int_equal(a->split_weights, b->split_weights);
  for (int st = 0; st < a->stages; st++) {
    assert_int_equal(a->stage[st].n, b->stage[st].n);
    for (uint32_t i = 0; i < a->stage[st].n; i++) {
      assert_int_equal(a->stage[st].at[i].kind, b->stage[st].at[i].kind);
      assert_int_equal(a->stage[st].at[i].chunk, b->stage[st].at[i].chunk);
      assert_int_equal(a->stage[st].at[i].microbatch, b->stage[st].at[i].microbatch);
    }
  }
}

static void test_csv_round_trip(void **state) {
  (void)state;
  static const char *const names[] = {"gpipe", "1f1b", "interleaved", "zb-h1"};
  for (int k = 0; k < 4; k++)
    for (int stages = 1; stages <= 5; stages++) {
      const xlm_schedule_plan *s = make(names[k], stages, k == 2 ? 3 : 1, 2 * stages);
      xlm_text t = xlm_text_new(arena);
      xlm_schedule_print_csv(s, &t);
      const xlm_schedule_plan *again = read_csv(t.data, s->stages, s->chunks, s->microbatches);
      assert_same(s, again);
      assert_sound(again);
    }
}

static void test_csv_by_hand(void **state) {
  (void)state;
  const xlm_schedule_plan *s = read_csv(
      "\xEF\xBB\xBF# drawn on a time axis\r\n\r\nF0, F1, ,, B0,B1 # stage 0\r\n,F0,B0 ,F1,B1,", 2, 1, 2);
  assert_same(s, make("1f1b", 2, 1, 2));
  xlm_text t = xlm_text_new(arena);
  xlm_schedule_print_csv(make("1f1b", 2, 1, 2), &t);
  assert_string_equal(t.data, "# 1f1b: 2 stages, 1 chunks each, 2 microbatches\nF0,F1,B0,B1\nF0,B0,F1,B1\n");
}

static void refuse_csv(const char *text, const char *const *words) {
  xlm_schedule_plan *s;
  xlm_error err = {0};
  assert_said(xlm_schedule_read_csv(arena, "s.csv", text, strlen(text), 2, 1, 2, &s, &err), &err, words);
}

static void test_csv_refused(void **state) {
  (void)state;
  refuse_csv("F0,F1\nF0, X0\n", (const char *[]){"s.csv:2:5", "`X0`", "F0.1", NULL});
  refuse_csv("F0,F\n", (const char *[]){"s.csv:1:4", "`F`", NULL});
  refuse_csv("F0,F1x\n", (const char *[]){"s.csv:1:4", "`F1x`", NULL});
  refuse_csv("F0,F1.\n", (const char *[]){"s.csv:1:4", NULL});
  refuse_csv("F0,F99999999999999999999\n", (const char *[]){"s.csv:1:4", NULL});
  refuse_csv("F0,F2\n", (const char *[]){"s.csv:1:4: microbatch 2 is too large; there are 2", NULL});
  refuse_csv("F0,F1.1\n", (const char *[]){"s.csv:1:4: chunk 1 is too large; each stage has 1", NULL});
  refuse_csv("F0\n", (const char *[]){"1 lines and the pipeline 2 stages", NULL});
  refuse_csv("", (const char *[]){"0 lines", NULL});
  refuse_csv("F0\nF0\n# more\nF0\n", (const char *[]){"s.csv:4:1: one line too many", NULL});
}

// Bytes changed, cut and copied: read or refused, never a crash.
static void test_csv_mutants(void **state) {
  (void)state;
  static const int sizes[][3] = {{1, 1, 0}, {4, 1, 3}, {3, 3, 2}, {2, 2, 7}};
  for (uint32_t seed = 0; seed < 4000; seed++) {
    const int *z = sizes[seed % 4]; // stages, chunks, microbatches - 1
    if (seed % 100 == 0) renew();
    const char *name = z[1] > 1 ? "interleaved" : seed & 4 ? "zb-h1" : "1f1b";
    xlm_text t = xlm_text_new(arena);
    xlm_text_add(&t, "?");
    xlm_schedule_print_csv(make(name, z[0], z[1], z[2] + 1), &t);
    char text[4096];
    memcpy(text, t.data, t.n);
    size_t n = mutate(text, t.n, sizeof text, seed);
    text[0] = (char)((z[0] - 1) | (z[1] - 1) << 2 | z[2] << 4);
    (void)LLVMFuzzerTestOneInput((const uint8_t *)text, n ? n : 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_gpipe, setup, teardown),
      cmocka_unit_test_setup_teardown(test_1f1b, setup, teardown),
      cmocka_unit_test_setup_teardown(test_interleaved, setup, teardown),
      cmocka_unit_test_setup_teardown(test_zero_bubble, setup, teardown),
      cmocka_unit_test_setup_teardown(test_zero_bubble_not_slower, setup, teardown),
      cmocka_unit_test_setup_teardown(test_slots_differ, setup, teardown),
      cmocka_unit_test_setup_teardown(test_times, setup, teardown),
      cmocka_unit_test_setup_teardown(test_large, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused_requests, setup, teardown),
      cmocka_unit_test_setup_teardown(test_broken_schedules, setup, teardown),
      cmocka_unit_test_setup_teardown(test_waits_on_itself, setup, teardown),
      cmocka_unit_test_setup_teardown(test_broken_by_hand, setup, teardown),
      cmocka_unit_test_setup_teardown(test_random_swaps, setup, teardown),
      cmocka_unit_test_setup_teardown(test_csv_round_trip, setup, teardown),
      cmocka_unit_test_setup_teardown(test_csv_by_hand, setup, teardown),
      cmocka_unit_test_setup_teardown(test_csv_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(test_csv_mutants, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
