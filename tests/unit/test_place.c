// Lowering and placing: what shares memory, what must not, reuse of dead memory, and the figures. Every plan
// is also run on the model of the arena in tests/train/arena_check.c.
#include <stdio.h>
#include <stdlib.h>

#include "compiler/planner/lower.h"
#include "runtime/base/philox.h"
#include "runtime/device/kernel.h"
#include "tests/train/arena_check.h"
#include "tests/unit/matrix_graph.h"
#include "tests/here.h"

enum { ROWS = 64, COLUMNS = 32, BYTES = ROWS * COLUMNS * 4 }; // of x

static int setup(void **state) {
  (void)state;
  return matrix_open(ROWS, COLUMNS);
}

static xlm_val norm(xlm_val v, const char *name) { // may work in place
  xlm_val y = xlm_op1(&s.b, XLM_OP_RMSNORM, v);
  xlm_val_at(s.g, y)->name = name;
  return y;
}

static xlm_val amax(xlm_val v, const char *name) { // may not: [d, e] -> [d]
  xlm_attr_list l = xlm_attr_list_new(s.g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, &e, 1);
  xlm_val y = xlm_emit(&s.b, XLM_OP_AMAX, &v, 1, &l);
  xlm_val_at(s.g, y)->name = name;
  return y;
}

static xlm_val shifted(xlm_val v, const char *name) { // neither: [d, e] -> [d, e]
  xlm_attr_list l = xlm_attr_list_new(s.g->arena);
  xlm_attr_put_dims(&l, XLM_A_seq, &d, 1);
  xlm_attr_put_int(&l, XLM_A_start, 1);
  xlm_val y = xlm_emit(&s.b, XLM_OP_SHIFT, &v, 1, &l);
  xlm_val_at(s.g, y)->name = name;
  return y;
}

static xlm_rank_plan *lowered(const xlm_graph *train, const xlm_graph *eval, int64_t microbatches) {
  xlm_lower_options o = {.microbatches = microbatches,
                         .backend = &xlm_backend_find("cpu")->info,
                         .target = target_here("cpu", 2)};
  xlm_rank_plan *p;
  xlm_error err;
  xlm_span at;
  const xlm_graph *graphs[XLM_PROGRAMS] = {[XLM_PROGRAM_TRAIN] = train, [XLM_PROGRAM_EVAL] = eval};
  if (xlm_lower(s.g->arena, graphs, &o, &p, &at, &err) != XLM_OK) fail_msg("%s", err.text);
  const char *wrong = arena_check(p, s.g->arena);
  if (wrong) fail_msg("%s", wrong);
  return p;
}

static xlm_rank_plan *placed(void) {
  return lowered(NULL, verified(s.g), 1);
}

static xlm_graph *named_model(small_options o) { // as elaborate names losses
  xlm_graph *g = small_model(s.g->arena, o);
  for (uint32_t i = 0; i < g->losses.n; i++)
    g->losses.at[i].name = i ? xlm_arena_printf(s.g->arena, "loss.%u", i) : "loss";
  return g;
}

static const xlm_tensor *find(const xlm_rank_plan *p, const char *name) {
  for (uint32_t i = 1; i < p->n_tensors; i++)
    if (p->tensors[i].name && !strcmp(p->tensors[i].name, name)) return &p->tensors[i];
  fail_msg("no tensor '%s'", name);
  return NULL;
}

static bool shares(const xlm_rank_plan *p, const char *name, const char *with) {
  const xlm_tensor *a = find(p, name), *b = find(p, with);
  return a->view_of && a->area == b->area && a->offset == b->offset;
}

// ---- sharing ----

static void views_are_their_operand(void **state) {
  (void)state;
  xlm_dim other = xlm_graph_dim(s.g, "other", 64);
  xlm_val a = norm(x, "a"), v = small_rename(&s, a, d, other);
  xlm_val_at(s.g, v)->name = "v";
  keep(amax(v, "m"));
  keep(amax(a, "n")); // both names are read
  xlm_rank_plan *p = placed();
  assert_true(shares(p, "v", "a"));
  assert_int_equal(p->n_instrs, 3); // a view is no instruction
}

static void dying_operands_give_their_place(void **state) {
  (void)state;
  keep(norm(norm(shifted(x, "a"), "b"), "c"));
  xlm_rank_plan *p = placed();
  assert_true(shares(p, "b", "a") && shares(p, "c", "a"));
  assert_int_equal(p->category_bytes[XLM_CATEGORY_ACTIVATION], BYTES);
}

static void operands_that_are_read_later_keep_it(void **state) {
  (void)state;
  xlm_val a = shifted(x, "a"), b = norm(a, "b");
  keep(amax(a, "m"));
  keep(b);
  xlm_rank_plan *p = placed();
  assert_false(shares(p, "b", "a"));
}

// Read later through a view, which is another value of the same memory.
static void views_keep_their_operand_alive(void **state) {
  (void)state;
  xlm_dim other = xlm_graph_dim(s.g, "other", 64);
  xlm_val a = shifted(x, "a"), v = small_rename(&s, a, d, other), b = norm(a, "b");
  keep(amax(v, "m"));
  keep(b);
  assert_false(shares(placed(), "b", "a"));
}

static void inputs_states_and_outputs_are_not_overwritten(void **state) {
  (void)state;
  xlm_val w = small_leaf(&s, XLM_OP_PARAM, "w", XLM_F32, SMALL_INIT(ONES, 0), SMALL_DIMS(d, e));
  keep(norm(x, "of input"));
  keep(norm(w, "of state"));
  xlm_val out = shifted(x, "result");
  keep(out);
  keep(norm(out, "of output"));
  xlm_rank_plan *p = placed();
  assert_false(find(p, "of input")->view_of || find(p, "of state")->view_of || find(p, "of output")->view_of);
  assert_int_equal(find(p, "w")->area, XLM_AREA_STATE);
  assert_int_equal(find(p, "x")->area, XLM_AREA_IO);
}

static void an_operand_read_twice_gives_it_too(void **state) {
  (void)state;
  xlm_val a = shifted(x, "a"), n = xlm_op2(&s.b, XLM_OP_RMSNORM_BWD, a, a); // reads it twice
  xlm_val_at(s.g, n)->name = "n";
  keep(n);
  assert_true(shares(placed(), "n", "a"));
}

// The same memory under two names with dims in different positions: a write for one would be read for the
// other.
static void not_when_read_under_another_name(void **state) {
  (void)state;
  xlm_dim other = xlm_graph_dim(s.g, "other", 64);
  xlm_val a = shifted(x, "a"), v = small_rename(&s, a, d, other);
  xlm_val r = xlm_op1(&s.b, XLM_OP_RMSNORM, v), c = small_product(&s, a, r); // sums over e: [d, other]
  keep(c);
  keep(norm(c, "n"));
  placed();
}

// ---- reuse and figures ----

static void dead_memory_is_used_again(void **state) {
  (void)state;
  xlm_val v = x;
  for (int i = 0; i < 10; i++) v = shifted(v, i == 9 ? "last" : "v");
  keep(v);
  xlm_rank_plan *p = placed();
  assert_int_equal(p->area_bytes[XLM_AREA_TEMP], 2 * BYTES);
  assert_int_equal(p->category_bytes[XLM_CATEGORY_ACTIVATION], 2 * BYTES);
  assert_int_equal(p->free_bytes, 0);
  assert_int_equal(p->category_bytes[XLM_CATEGORY_IO], BYTES);
  assert_int_equal(p->arena_bytes, 3 * BYTES);
}

static void the_peak_is_where_most_is_alive(void **state) {
  (void)state;
  xlm_val a = shifted(x, "a"), b = shifted(a, "b"), c = shifted(b, "c"); // c: a, b, c are alive
  xlm_val_at(s.g, c)->name = "c";
  keep(amax(a, "m"));
  keep(amax(b, "n"));
  keep(amax(c, "o"));
  xlm_rank_plan *p = placed();
  assert_string_equal(p->tensors[p->instrs[p->peak_instr].in[0]].name, "a"); // its maximum comes on top
  assert_int_equal(p->category_bytes[XLM_CATEGORY_ACTIVATION], 3 * BYTES + 64 * 4);
}

static void scratch_is_placed_and_counted(void **state) {
  (void)state;
  xlm_val w = small_leaf(&s, XLM_OP_PARAM, "w", XLM_F32, SMALL_INIT(ONES, 0),
                         SMALL_DIMS(e, xlm_graph_dim(s.g, "f", 48)));
  keep(small_product(&s, x, w));
  xlm_rank_plan *p = placed();
  uint64_t most = 0;
  for (uint32_t i = 0; i < p->n_instrs; i++)
    most = p->instrs[i].workspace > most ? p->instrs[i].workspace : most;
  assert_true(most > 0 && p->category_bytes[XLM_CATEGORY_WORKSPACE] >= most);
}

// ---- programs ----

static void train_and_eval_share_states_and_scratch(void **state) {
  (void)state;
  small_options o = {.batch = 2, .dtype = XLM_F32};
  xlm_train_options t = {.optimizer = "adamw", .grad_clip = 1, .microbatches = 2};
  xlm_graph *model = named_model(o);
  xlm_graph *train = xlm_pass_fuse(xlm_pass_differentiate(model, s.g->arena, &t), s.g->arena, NULL, false);
  xlm_graph *eval = xlm_pass_fuse(model, s.g->arena, NULL, false);
  xlm_rank_plan *both = lowered(train, eval, 2), *one = lowered(train, NULL, 2),
                *other = lowered(NULL, eval, 1);
  assert_int_equal(both->n_states, one->n_states);
  assert_int_equal(both->area_bytes[XLM_AREA_STATE], one->area_bytes[XLM_AREA_STATE]);
  uint64_t a = one->area_bytes[XLM_AREA_TEMP], b = other->area_bytes[XLM_AREA_TEMP];
  assert_int_equal(both->area_bytes[XLM_AREA_TEMP], a > b ? a : b);
  for (uint32_t i = 0; i < both->n_inputs; i++)
    if (both->inputs[i].role == XLM_INPUT_TOKENS && both->inputs[i].tensor[XLM_PROGRAM_EVAL])
      assert_true(both->inputs[i].tensor[XLM_PROGRAM_TRAIN] != both->inputs[i].tensor[XLM_PROGRAM_EVAL]);
  assert_int_equal(both->n_schedule, 2 * 2 + 1);
}

static void whole_models(void **state) {
  (void)state;
  for (int i = 0; i < 32; i++) {
    small_options o = {.batch = 2,
                       .dtype = i & 1 ? XLM_BF16 : XLM_F32,
                       .update = i & 2,
                       .moe = i & 4,
                       .dropout = i & 8,
                       .recompute = i & 16};
    xlm_train_options t = {.optimizer = "adamw", .grad_clip = 1, .microbatches = 1 + (i & 2)};
    xlm_arena *a = s.g->arena;
    xlm_graph *model = xlm_pass_simplify(named_model(o), a);
    xlm_graph *train = xlm_pass_simplify(xlm_pass_differentiate(model, a, &t), a);
    train = xlm_pass_fuse(xlm_pass_recompute(train, a, i & 16 ? XLM_RECOMPUTE_FULL : XLM_RECOMPUTE_NONE), a,
                          NULL, false);
    lowered(train, xlm_pass_fuse(model, a, NULL, false), t.microbatches);
  }
}

// Random graphs of nodes that may and may not work in place, with views, values read several times, and
// outputs.
static void random_graphs(void **state) {
  (void)state;
  xlm_graph *kept = s.g;
  for (uint64_t seed = 0; seed < 60; seed++) {
    xlm_arena *a = xlm_arena_new(0);
    s.g = xlm_graph_new(a, NULL, "random");
    s.b = xlm_build_new(s.g);
    d = xlm_graph_dim(s.g, "d", 64), e = xlm_graph_dim(s.g, "e", 32);
    xlm_dim other = xlm_graph_dim(s.g, "other", 64);
    xlm_val at[100] = {small_leaf(&s, XLM_OP_INPUT, "x", XLM_F32, NULL, SMALL_DIMS(d, e))};
    for (uint32_t i = 1; i < 100; i++) {
      uint32_t draw[4];
      xlm_philox_draw(xlm_philox_key(seed, 1), 0, i, draw);
      xlm_val v = at[draw[0] % i], w = at[draw[1] % i];
      if (draw[2] % 5 == 0) at[i] = norm(v, NULL);
      if (draw[2] % 5 == 1) at[i] = shifted(v, NULL);
      if (draw[2] % 5 == 2) at[i] = small_rename(&s, small_rename(&s, v, d, other), other, d);
      if (draw[2] % 5 == 3) at[i] = xlm_op2(&s.b, XLM_OP_ADD, v, w);
      if (draw[2] % 5 == 4) at[i] = xlm_op2(&s.b, XLM_OP_RMSNORM_BWD, v, w);
      if (draw[3] % 10 == 0) keep(at[i]);
    }
    keep(at[99]);
    xlm_graph *g = xlm_pass_fuse(s.g, a, NULL, false);
    const char *wrong = xlm_graph_verify(g, a);
    if (wrong) fail_msg("%s", wrong);
    lowered(NULL, g, 1);
    xlm_arena_free(a);
  }
  s.g = kept;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(views_are_their_operand),
                                     TEST(dying_operands_give_their_place),
                                     TEST(operands_that_are_read_later_keep_it),
                                     TEST(views_keep_their_operand_alive),
                                     TEST(inputs_states_and_outputs_are_not_overwritten),
                                     TEST(an_operand_read_twice_gives_it_too),
                                     TEST(not_when_read_under_another_name),
                                     TEST(dead_memory_is_used_again),
                                     TEST(the_peak_is_where_most_is_alive),
                                     TEST(scratch_is_placed_and_counted),
                                     TEST(train_and_eval_share_states_and_scratch),
                                     TEST(whole_models),
                                     TEST(random_graphs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
