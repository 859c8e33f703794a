// The search: its results fit, are in order and agree with compiled plans; it is deterministic.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/parse/load.h"
#include "compiler/search/search.h"
#include "runtime/device/kernel.h"
#include "runtime/plan/mesh.h"
#include "tests/here.h"

typedef struct bench {
  xlm_arena *a;
  const xlm_source *source;
  xlm_cluster cluster;
  xlm_compile_options base;
} bench;

static xlm_arena *scratch;

static char *slurp(xlm_arena *a, const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("cannot open %s", path);
  char *text = xlm_arena_alloc(a, 1 << 20);
  *n = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  return text;
}

static bench open_bench(const char *model) {
  bench b = {.a = xlm_arena_new((size_t)2 << 30)};
  size_t n;
  xlm_error err;
  const char *path = xlm_arena_printf(b.a, XLM_SOURCE_DIR "/models/%s.xlm", model);
  char *text = slurp(b.a, path, &n);
  b.source = xlm_source_load(b.a, path, text, n);
  text = slurp(b.a, XLM_SOURCE_DIR "/clusters/cpu.yaml", &n);
  assert_int_equal(xlm_cluster_read(b.a, "cpu.yaml", text, n, &b.cluster, &err), XLM_OK);
  b.cluster.devices_per_node = 4;
  b.base = xlm_compile_defaults();
  b.base.settings.preset = "nano";
  b.base.settings.seq = 64;
  plan_for_here(&b.base, "cpu", 1);
  return b;
}

static xlm_search_result ask_for(bench *b, int64_t devices, int64_t samples, uint64_t limit) {
  xlm_search_request r = {.source = b->source,
                          .base = &b->base,
                          .devices = devices,
                          .global_batch = samples,
                          .memory_limit = limit,
                          .cluster = &b->cluster};
  xlm_search_result out;
  xlm_error err;
  assert_int_equal(xlm_search(b->a, &r, &out, &err), XLM_OK);
  return out;
}

static xlm_search_result ask(bench *b, int64_t devices, uint64_t limit) {
  return ask_for(b, devices, 16, limit);
}

static int64_t axis(const xlm_compile_options *o, const char *name) {
  int i = xlm_mesh_axis(&o->mesh, name);
  return i < 0 ? 1 : o->mesh.size[i];
}

static void check_found(bench *b, const xlm_search_result *r, int64_t devices, uint64_t limit) {
  assert_true(r->n > 0 && r->n == r->fitting && r->fitting <= r->planned && r->planned <= r->small_enough);
  assert_true(r->small_enough <= r->possible);
  for (int i = 0; i < r->n; i++) {
    const xlm_candidate *c = &r->at[i];
    assert_true(c->arena_bytes <= limit);
    assert_int_equal(xlm_mesh_ranks(&c->o.mesh), devices);
    assert_int_equal(c->o.settings.batch * c->o.train.microbatches, 16);
    assert_int_equal(c->o.settings.batch % (axis(&c->o, "dp") * axis(&c->o, "ep")), 0);
    if (i) assert_true(c->tokens_per_second <= r->at[i - 1].tokens_per_second);
    xlm_candidate again;
    assert_true(xlm_search_try(scratch, b->source, &c->o, &b->cluster, &again));
    assert_true(again.arena_bytes == c->arena_bytes && again.step == c->step);
    for (int k = 0; k < i; k++)
      assert_string_not_equal(xlm_search_flags(&c->o, b->a), xlm_search_flags(&r->at[k].o, b->a));
  }
  assert_true(strlen(xlm_search_reason(r, b->a)) > 10);
}

static void finds_layouts_of_a_dense_model(void **state) {
  (void)state;
  bench b = open_bench("llama");
  uint64_t limit = (uint64_t)1 << 30;
  xlm_search_result r = ask(&b, 4, limit), same = ask(&b, 4, limit);
  check_found(&b, &r, 4, limit);
  assert_int_equal(r.n, same.n);
  for (int i = 0; i < r.n; i++)
    assert_string_equal(xlm_search_flags(&r.at[i].o, b.a), xlm_search_flags(&same.at[i].o, b.a));
  xlm_arena_free(b.a);
}

static void finds_layouts_of_experts(void **state) {
  (void)state;
  bench b = open_bench("mixtral");
  uint64_t limit = (uint64_t)2 << 30;
  xlm_search_result r = ask(&b, 4, limit);
  check_found(&b, &r, 4, limit);
  int split = 0;
  for (int i = 0; i < r.n; i++) split += axis(&r.at[i].o, "ep") > 1;
  assert_true(split > 0);
  xlm_arena_free(b.a);
}

// With little memory the results differ, and with too little there are none.
static void memory_limits_the_choice(void **state) {
  (void)state;
  bench b = open_bench("llama");
  xlm_search_result much = ask(&b, 4, (uint64_t)1 << 30);
  uint64_t most = 0, least = UINT64_MAX;
  for (int i = 0; i < much.n; i++) {
    if (much.at[i].arena_bytes > most) most = much.at[i].arena_bytes;
    if (much.at[i].arena_bytes < least) least = much.at[i].arena_bytes;
  }
  xlm_search_result some = ask(&b, 4, (most + least) / 2), none = ask(&b, 4, 1 << 20);
  check_found(&b, &some, 4, (most + least) / 2);
  assert_true(some.possible == much.possible && some.small_enough <= much.small_enough);
  assert_true(none.n == 0 && none.possible == much.possible);
  xlm_arena_free(b.a);
}

static void one_device_is_a_layout(void **state) {
  (void)state;
  bench b = open_bench("llama");
  xlm_search_result r = ask(&b, 1, (uint64_t)1 << 30);
  check_found(&b, &r, 1, (uint64_t)1 << 30);
  assert_int_equal(r.at[0].o.mesh.n, 0);
  xlm_arena_free(b.a);
}

// Two long samples on two devices: with less memory than any other layout needs, the sequence is split, and
// the reason says so. With short ones cp is not tried.
static void long_sequences_are_split(void **state) {
  (void)state;
  bench b = open_bench("llama");
  static const xlm_set one_head[] = {
      {"heads", "1"}, {"hidden", "64"}, {"ffn", "128"}, {"layers", "2"}, {"vocab", "512"}};
  b.base.settings.sets = one_head;
  b.base.settings.n_sets = 5;
  xlm_search_result brief = ask_for(&b, 2, 2, (uint64_t)1 << 34);
  for (int i = 0; i < brief.n; i++) assert_int_equal(axis(&brief.at[i].o, "cp"), 1);
  b.base.settings.seq = 16384;
  xlm_search_result any = ask_for(&b, 2, 2, (uint64_t)1 << 34);
  uint64_t whole = UINT64_MAX, split = UINT64_MAX;
  for (int i = 0; i < any.n; i++) {
    uint64_t *least = axis(&any.at[i].o, "cp") > 1 ? &split : &whole;
    if (any.at[i].arena_bytes < *least) *least = any.at[i].arena_bytes;
  }
  assert_true(split < whole && whole != UINT64_MAX && !any.only_cp);
  xlm_search_result few = ask_for(&b, 2, 2, split);
  assert_true(few.n > 0 && few.only_cp);
  for (int i = 0; i < few.n; i++) assert_int_equal(axis(&few.at[i].o, "cp"), 2);
  assert_non_null(strstr(xlm_search_reason(&few, b.a), "nothing fits whose sequence is not split"));
  xlm_arena_free(b.a);
}

// Advice fits, and is the smallest change that does.
static void advice_is_true(void **state) {
  (void)state;
  bench b = open_bench("llama");
  xlm_compile_options o = b.base;
  o.mesh = (xlm_mesh){.n = 1, .axis = {"dp"}, .size = {2}};
  o.settings.batch = 8;
  xlm_candidate now, split;
  assert_true(xlm_search_try(scratch, b.source, &o, NULL, &now));
  o.zero = 1;
  assert_true(xlm_search_try(scratch, b.source, &o, NULL, &split));
  assert_true(split.arena_bytes < now.arena_bytes);
  o.zero = 0;
  const char *text = xlm_search_advice(b.a, b.source, &o, split.arena_bytes, false, NULL);
  assert_non_null(strstr(text, "--dp 2 --micro-batch-size 4 --zero 1"));
  assert_non_null(strstr(xlm_search_advice(b.a, b.source, &o, 1 << 20, false, NULL), "nothing tried fits"));
  assert_non_null(strstr(xlm_search_advice(b.a, b.source, &o, split.arena_bytes, false, &b.cluster), "MFU"));
  xlm_arena_free(b.a);
}

// Ranks on one machine share its memory: more of them do not help where only splitting would.
static void advises_no_ranks_that_share(void **state) {
  (void)state;
  bench b = open_bench("llama");
  xlm_compile_options o = b.base;
  o.mesh = (xlm_mesh){0};
  o.settings.batch = 1;
  o.settings.seq = 256; // long enough for what both ranks have
  o.train.microbatches = 1;
  o.recompute = XLM_RECOMPUTE_FULL;
  xlm_candidate one, two;
  assert_true(xlm_search_try(scratch, b.source, &o, NULL, &one));
  xlm_compile_options split = o;
  split.mesh = (xlm_mesh){.n = 1, .axis = {"tp"}, .size = {2}};
  assert_true(xlm_search_try(scratch, b.source, &split, NULL, &two));
  assert_true(two.arena_bytes < one.arena_bytes && 2 * two.arena_bytes > one.arena_bytes);
  const char *each = xlm_search_advice(b.a, b.source, &o, two.arena_bytes, false, NULL),
             *together = xlm_search_advice(b.a, b.source, &o, two.arena_bytes, true, NULL);
  if (!strstr(each, "of each rank: --tp 2")) fail_msg("%s", each);
  if (!strstr(together, "nothing tried fits this machine, whose memory its ranks share"))
    fail_msg("%s", together);
  xlm_arena_free(b.a);
}

// With several microbatches the sums of the gradients are split only when every microbatch is reduced.
static void advises_more_reductions(void **state) {
  (void)state;
  bench b = open_bench("llama");
  xlm_compile_options o = b.base;
  o.mesh = (xlm_mesh){.n = 1, .axis = {"dp"}, .size = {2}};
  o.settings.batch = 2;
  o.train.microbatches = 4;
  xlm_candidate at[4];
  for (int i = 0; i < 4; i++) {
    o.zero = 2 + i / 2, o.reduce_each = i % 2;
    assert_true(xlm_search_try(scratch, b.source, &o, NULL, &at[i]));
    assert_true(i % 2 == 0 || at[i].arena_bytes < at[i - 1].arena_bytes);
  }
  o.zero = 1, o.reduce_each = false;
  const char *text = xlm_search_advice(b.a, b.source, &o, at[1].arena_bytes, false, NULL);
  assert_non_null(strstr(text, "--zero 2 --reduce-gradients microbatch"));
  o.zero = 3;
  text = xlm_search_advice(b.a, b.source, &o, at[3].arena_bytes, false, NULL);
  assert_non_null(strstr(text, "--zero 3 --reduce-gradients microbatch"));
  xlm_arena_free(b.a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_layouts_of_a_dense_model),
      cmocka_unit_test(finds_layouts_of_experts),
      cmocka_unit_test(memory_limits_the_choice),
      cmocka_unit_test(one_device_is_a_layout),
      cmocka_unit_test(advice_is_true),
      cmocka_unit_test(advises_no_ranks_that_share),
      cmocka_unit_test(advises_more_reductions),
      cmocka_unit_test(long_sequences_are_split),
  };
  scratch = xlm_search_scratch();
  int failed = scratch ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
  xlm_arena_free(scratch);
  return failed;
}
