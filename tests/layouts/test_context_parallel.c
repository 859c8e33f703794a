// The sequence of causal attention is split so that every context-parallel rank has the same amount of work:
// in the plan's FLOPs and in the pairs of tiles the kernel visits; and only where attention is causal. Recurrences
// exchange states, whose size does not depend on the sequence's.
#define XLM_ISA base
#include "ops/cpu/attend/attend_priv.h"
#include "tests/train/train_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/plan/mesh.h"

static int setup(void **state) {
  *state = xlm_arena_new(0);
  return *state ? 0 : -1;
}

static int teardown(void **state) {
  xlm_arena_free(*state);
  return 0;
}

static const xlm_plan *plan_of_length(xlm_arena *a, const char *text, const char *model, int64_t seq, int cp,
                                      int tp) {
  toy_options o = toy_defaults(model);
  xlm_compile_options c = toy_compile_options(a, &o);
  c.settings.seq = seq;
  c.mesh = (xlm_mesh){.n = 2, .axis = {"cp", "tp"}, .size = {cp, tp}};
  return toy_plan(a, text ? xlm_source_new(a, "m.xlm", text, strlen(text)) : toy_source(a, model), &c);
}

static const xlm_plan *plan_over(xlm_arena *a, const char *text, const char *model, int cp, int tp) {
  return plan_of_length(a, text, model, 1000, cp, tp);
}

// The model without what stands between `from` and `to`.
static const char *without(xlm_arena *a, const char *model, const char *from, const char *to) {
  const xlm_source *s = toy_source(a, model);
  const char *cut = strstr(s->text, from), *end = cut ? strstr(cut, to) : NULL;
  if (!end) fail_msg("no %s in %s", from, model);
  return xlm_arena_printf(a, "%.*s%s", (int)(cut - s->text), s->text, end);
}

static double flops_of(const xlm_plan *p, xlm_op_id op) {
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[0]];
  double sum = 0;
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (r->instrs[i].op == op) sum += r->instrs[i].flops;
  return sum;
}

// The queries of the first attention, as a rank has them.
static xlm_dim_info queries_of(xlm_arena *a, const xlm_plan *p, int64_t rank) {
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[rank]];
  xlm_dim_info *dims = XLM_NEW_N(a, xlm_dim_info, r->n_dims);
  xlm_dim seq[XLM_MAX_RANK];
  xlm_mesh_rank_dims(p, rank, dims);
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (r->instrs[i].op == XLM_OP_ATTEND && xlm_attr_dims(&r->instrs[i].attrs, XLM_A_seq, seq))
      return dims[seq[0]];
  fail_msg("no attention");
  return (xlm_dim_info){0};
}

static double keys_seen(const xlm_dim_info *q) {
  double pairs = 0;
  for (int64_t i = 0; i < q->size; i++) pairs += (double)xlm_dim_global(q, i) + 1;
  return pairs;
}

static void every_rank_has_as_much_to_do(void **state) {
  static const char *const models[] = {"llama", "gpt2", "mixtral"};
  xlm_arena *a = *state;
  for (size_t k = 0; k < sizeof models / sizeof *models; k++)
    for (int cp = 2; cp <= 8; cp += 3) {
      const xlm_plan *one = plan_over(a, NULL, models[k], 1, 1), *p = plan_over(a, NULL, models[k], cp, 2);
      double share = 1000.0 * 1001 / 2 / cp, fwd = flops_of(one, XLM_OP_ATTEND) / cp / 2;
      assert_float_equal(flops_of(p, XLM_OP_ATTEND) / fwd, 1, 0.01);
      assert_float_equal(flops_of(p, XLM_OP_ATTEND_BWD) / flops_of(one, XLM_OP_ATTEND_BWD) * cp * 2, 1, 0.01);
      for (int64_t rank = 0; rank < p->n_ranks; rank++) {
        xlm_dim_info q = queries_of(a, p, rank);
        assert_float_equal(keys_seen(&q) / share, 1, 0.01);
      }
    }
}

// Where attention has all heads its queries are split over tp, too.
static void over_all_axes_that_split_the_queries(void **state) {
  xlm_arena *a = *state;
  const char *text = without(a, "llama", "shard heads, kv_heads, ffn, vocab", "shard seq");
  const xlm_plan *p = plan_over(a, text, "llama", 3, 2);
  for (int64_t rank = 0; rank < 6; rank++) {
    xlm_dim_info q = queries_of(a, p, rank);
    assert_int_equal(q.mirrored, 3);
    assert_float_equal(keys_seen(&q) / (1000.0 * 1001 / 2 / 6), 1, 0.01);
  }
}

static void other_attention_keeps_one_run(void **state) {
  xlm_arena *a = *state;
  const char *text = without(a, "llama", ", causal", ", seq = seq) @ wo");
  const xlm_plan *p = plan_over(a, text, "llama", 4, 1);
  for (int64_t rank = 0; rank < 4; rank++) {
    xlm_dim_info q = queries_of(a, p, rank);
    assert_true(!q.mirrored && !q.tail && q.offset == 250 * rank);
  }
}

// ---- the kernel ----

static attend_shape shape_of(const xlm_dim_info *q, int64_t window) {
  return (attend_shape){.queries = q->size,
                        .keys = q->full,
                        .q_tiles = attend_tiles(q->size - q->tail) + attend_tiles(q->tail),
                        .k_tiles = attend_tiles(q->full),
                        .q_pos = q->offset,
                        .first = q->size - q->tail,
                        .tail_pos = q->tail_offset,
                        .causal = true,
                        .window = window};
}

static int64_t tiles_visited(const xlm_dim_info *q, int64_t window) {
  attend_shape s = shape_of(q, window);
  int64_t n = 0;
  for (int64_t t = 0; t < s.q_tiles; t++) {
    int64_t first, end;
    xlm_attend_key_tiles(&s, t, t + 1, 0, &first, &end);
    n += end - first;
  }
  return n;
}

static int64_t largest_rank(int cp, bool mirrored, int64_t window, int64_t *all) {
  xlm_mesh m = {.n = 1, .axis = {"cp"}, .size = {cp}};
  int64_t most = 0;
  *all = 0;
  for (int32_t r = 0; r < cp; r++) {
    xlm_dim_info q = {.name = "seq", .full = 64 * TILE, .axes = 1, .mirrored = mirrored};
    xlm_dim_set_piece(&q, xlm_mesh_local(&m, &q, (int32_t[XLM_MAX_AXES]){r}));
    int64_t n = tiles_visited(&q, window);
    most = n > most ? n : most, *all += n;
  }
  return most;
}

static void hidden_tiles_are_skipped_in_both_runs(void **state) {
  (void)state;
  for (int cp = 2; cp <= 16; cp *= 2) {
    int64_t all, largest = largest_rank(cp, true, 0, &all);
    assert_int_equal(all, 64 * 65 / 2); // as on one rank
    assert_int_equal(largest, all / cp);
    assert_true(largest_rank(cp, false, 0, &all) > all / cp * 4 / 3); // which one run is not
    largest = largest_rank(cp, true, 3 * TILE, &all);
    assert_true(all <= 64 * 4 && largest <= all / cp + 3);
  }
}

static double bytes_exchanged(const xlm_plan *p) {
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[0]];
  double sum = 0;
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (xlm_op_is_collective(r->instrs[i].op))
      sum += (double)xlm_type_bytes(&r->tensors[r->instrs[i].out[0]].type, r->dims);
  return sum;
}

static void recurrences_exchange_states(void **state) {
  static const char *const models[] = {"mamba2", "retnet", "gla"};
  xlm_arena *a = *state;
  for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
    const xlm_plan *shorter = plan_of_length(a, NULL, models[k], 512, 2, 1);
    const xlm_plan *longer = plan_of_length(a, NULL, models[k], 2048, 2, 1);
    assert_true(bytes_exchanged(shorter) > 0);
    assert_true(bytes_exchanged(shorter) == bytes_exchanged(longer));
  }
}

static void recurrences_take_linear_memory(void **state) {
  static const char *const models[] = {"mamba2", "retnet", "gla"};
  xlm_arena *a = *state;
  for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
    const xlm_plan *shorter = plan_of_length(a, NULL, models[k], 4096, 1, 1);
    const xlm_plan *longer = plan_of_length(a, NULL, models[k], 8192, 1, 1);
    double ratio = (double)longer->rank_plans[0]->arena_bytes / (double)shorter->rank_plans[0]->arena_bytes;
    assert_true(ratio > 1.8 && ratio < 2.01);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(every_rank_has_as_much_to_do, setup, teardown),
      cmocka_unit_test_setup_teardown(over_all_axes_that_split_the_queries, setup, teardown),
      cmocka_unit_test_setup_teardown(other_attention_keeps_one_run, setup, teardown),
      cmocka_unit_test_setup_teardown(recurrences_exchange_states, setup, teardown),
      cmocka_unit_test_setup_teardown(recurrences_take_linear_memory, setup, teardown),
      cmocka_unit_test(hidden_tiles_are_skipped_in_both_runs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
