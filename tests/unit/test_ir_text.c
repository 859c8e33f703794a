// The IR's text form in both directions, and the verifier: what it rejects.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz_ir.c"
#include "tests/unit/small_graph.h"

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

static const char *printed(const xlm_graph *g) {
  xlm_text t = xlm_text_new(arena);
  xlm_graph_print(g, &t);
  return t.data;
}

static xlm_graph *read_back(const char *text) {
  xlm_error err = {0};
  xlm_graph *g = xlm_graph_read(arena, text, strlen(text), &err);
  if (!g) fail_msg("%s", err.text);
  return g;
}

static void assert_round_trip(const xlm_graph *g) {
  const char *text = printed(g);
  assert_string_equal(printed(read_back(text)), text);
}

// ---- round trips ----

// All forms of the text, as the writer prints them.
static const char everything[] =
    "model \"all \\\"of\\\" it\" preset \"nano\\x0a\"\n"
    "source \"models/it.xlm\" 26\n"
    "|model it\n"
    "|\n"
    "|  param w \xc3\xa9 ~ \n"
    "|\n"
    "config hidden: int = 4 as hidden_size, \"hidden-size\"\n"
    "config eps: real = 1e-05\n"
    "config \"1\": real = 0.1 as x.y\n"
    "config tied: bool = 1\n"
    "key \"a key\" = \"{\\\"x\\\": [1.0, null]}\" @1:1..1:6\n"
    "dim batch = 2\n"
    "dim hidden = 4\n"
    "dim hidden/6 = 2 of 4 from 2\n"
    "dim seq/4 = 4 of 12 from 2 then 2 from 8 mirrored 4 by 2\n"
    "dim seq/5 = 3 of 12 mirrored 1\n"
    "dim experts = 3\n"
    "dim starts = 4\n"
    "dim routed = 12 ragged\n"
    "dim \"odd name\" = 4\n"
    "shard batch over dp, ep @1:1..1:6\n"
    "shard hidden over none where free\n"
    "shard ffn over \"none\"\n"
    "weight layers.0.w = \"h.{i}.w\" each experts [batch #1/3 hidden, #0/1, \"odd name\"~2*3 #4/12+1 \"odd "
    "name\"~3*1] optional\n"
    "weight \"2\" = \"\" []\n"
    "group \"layers.*\" rank 2 lr 0.5 weight_decay 0 optimizer \"muon\" @1:1..1:6\n"
    "group \"*\"\n"
    "%1 layers.0.w: f32[batch, hidden] = param() {dims=[batch, hidden], name=\"layers.0.w\", "
    "init=normal(0.02)} fwd "
    "@3:3..3:8 in layers.0 round 0 stage 1 recompute\n"
    "%2: f64[] = const() {value=0.30000000000000004, dtype=f64} fwd @7..4000\n"
    "%3 \"a name\": f32[batch, hidden] partial 5 = exp(%1) bwd in \"0\" round -2\n"
    "%4: i32[starts] = input() {dims=[starts], dtype=i32} fwd\n"
    "%5: f32[experts, routed, \"odd name\"] by %4 = input() {dims=[experts, routed, \"odd name\"]} fwd\n"
    "%6: f32[batch, hidden/6] = input() {dims=[batch, hidden/6]} fwd\n"
    "%7: f32[batch, hidden] = fused(%1, %3) {dims=[batch, hidden], dtypes=[f32], code=<in 2; mul r0 #2.5; "
    "add r1 r2; "
    "cast r3 to bf16; where r3 r0 #-1e-300; out r5>} bwd\n"
    "%8: f32[batch, hidden] = assign(%1, %7) step\n"
    "%9 w: f32[batch, hidden] = state() {dims=[batch, hidden], name=\"w\", init=uniform(-0.5, 2), "
    "role=optimizer, split=[hidden over dp+\"my axis\", batch over none]} fwd\n"
    "%10: f32[batch, hidden] = all_gather(%6) {from=[hidden/6], to=[hidden], sizes=[2, 2], axes=6} step\n"
    "%11: f32[batch, hidden] = all_reduce(%10) {kind=lse, axes=6} step\n"
    "%12: f32[] = input() {name=\"lr\", feed=lr} fwd\n"
    "output logits = %3 @1:1..3:1\n"
    "output = %7\n"
    "metric \"9\" = %2\n"
    "loss = %2 @1:6..1:7\n"
    "update %1 -> %8\n";

static void everything_round_trips(void **state) {
  (void)state;
  xlm_graph *g = read_back(everything);
  assert_string_equal(printed(g), everything);
  assert_string_equal(g->model, "all \"of\" it");
  assert_string_equal(g->preset, "nano\n");
  assert_int_equal(g->source->n, 26);
  assert_memory_equal(g->source->text + 9, "\n  param", 8);
  assert_int_equal(g->nodes[1].span.begin, 12);
  assert_int_equal(g->nodes[1].span.end, 17);
  assert_int_equal(g->nodes[1].stage, 1);
  assert_int_equal(g->dims[3].full, 4);
  assert_int_equal(xlm_dim_global(&g->dims[4], 2), 8);
  assert_true(g->weights[0].n_groups == 3 && g->weights[0].n_factors == 7 && g->weights[0].optional);
  assert_true(g->weights[0].factors[1].of == 3 && g->weights[0].factors[5].n == 1);
  assert_string_equal(g->keys[0].json, "{\"x\": [1.0, null]}");
  assert_true(xlm_attr_float(&g->nodes[2].attrs, XLM_A_value, 0) == 0.1 + 0.2);
  assert_null(g->outputs.at[1].name);
  assert_true(g->n_groups == 2 && g->groups[0].rank == 2 && g->groups[1].rank == -1 &&
              isnan(g->groups[1].lr));
  assert_true(g->rules[1].where_free && g->rules[1].n_axes == 0 && g->rules[2].n_axes == 1);
}

static void graphs_round_trip(void **state) {
  (void)state;
  small_options o = {
      .batch = 2, .dtype = XLM_BF16, .dropout = true, .recompute = true, .update = true, .moe = true};
  xlm_train_options t = {.optimizer = "adamw", .grad_clip = 1, .microbatches = 2};
  xlm_graph *g = small_model(arena, o);
  assert_round_trip(g);
  g = xlm_pass_simplify(xlm_pass_differentiate(xlm_pass_simplify(g, arena), arena, &t), arena);
  assert_round_trip(g);
  g = xlm_pass_recompute(g, arena, XLM_RECOMPUTE_FULL);
  assert_round_trip(g);
  assert_round_trip(xlm_pass_fuse(g, arena, NULL, false));
}

static void blanks_and_comments_are_skipped(void **state) {
  (void)state;
  xlm_graph *g = read_back(
      "\n; a comment\n  dim   d = 3 ; three\r\n%1 : f32 [ d ]=input ( ) { dims = [ d ] }fwd\n\noutput=%1");
  assert_int_equal(g->n_nodes, 2);
  assert_string_equal(printed(g),
                      "model \"\"\ndim d = 3\n%1: f32[d] = input() {dims=[d]} fwd\noutput = %1\n");
}

// ---- mistakes in the text ----

#define HEAD "dim d = 3\n%1: f32[d] = input() {dims=[d]} fwd\n"

static const struct {
  const char *text, *message;
} mistakes[] = {
    {"dim d = 3\ndim d = 4\n", "line 2 of the IR text: dimension `d` appears twice"},
    {"dim d = -1\n", "line 1 of the IR text: `-1` is not between 0 and 281474976710656"},
    {"dim d = 99999999999999999999\n", "is not between"},
    {"dim d = 1 of x\n", "expected a whole number, found `x`"},
    {"nonsense\n", "line 1 of the IR text: expected `%`, found `nonsense`"},
    {HEAD "%3: f32[d] = exp(%1) fwd\n", "line 3 of the IR text: %3 stands where %2 should"},
    {HEAD "%2: f32[d] = exp(%2) fwd\n", "%2 is not defined yet"},
    {HEAD "%2: f32[d] = exp(%0) fwd\n", "is not between 1"},
    {HEAD "%2: f32[e] = exp(%1) fwd\n", "there is no dimension `e`"},
    {HEAD "%2: f16[d] = exp(%1) fwd\n", "no element type is called `f16`: there are f32, bf16, f64, i32"},
    {HEAD "%2: f32[d] = explode(%1) fwd\n", "there is no operation `explode`"},
    {HEAD "%2: f32[d] = exp(%1) later\n", "expected the phase: fwd, bwd, wgt or step"},
    {HEAD "%2: f32[d] = exp(%1) {volume=3} fwd\n", "there is no attribute `volume`"},
    {HEAD "%2: f32[d] = exp(%1) {eps=1, value=2, eps=1} fwd\n", "attribute `eps` is out of order"},
    {HEAD "%2: f32[d] = exp(%1) {eps=x} fwd\n", "expected a number, found `x} fwd`"},
    {HEAD "%2: f32[d] = exp(%1 %1) fwd\n", "expected `,`, found `%1) fwd`"},
    {HEAD "%2: f32[d] = exp(%1) fwd trailing\n", "expected the end of the line, found `trailing`"},
    {HEAD "%2: f32[d] = exp(%1) fwd @1:1..1:2\n", "this place is not in the source"},
    {HEAD "%2: f32[d = exp(%1) fwd\n", "expected `]`"},
    {HEAD "%2: f32[d] = fused(%1) {code=<in 1; exp r1; out r1>} fwd\n", "`r1` is not a register that is set"},
    {HEAD "%2: f32[d] = fused(%1) {code=<in 1; boom r0; out r1>} fwd\n", "there is no function `boom`"},
    {HEAD "%2: f32[d] = fused(%1) {code=<in 1; add #1 #2; out r1>} fwd\n", "two immediate numbers"},
    {HEAD "%2: f32[d] = all_reduce(%1) {kind=sun, axes=1} fwd\n",
     "line 3 of the IR text: no reduction is called `sun`: there are sum, mean, max, lse"},
    {HEAD "%2: f32[d] = all_reduce(%1) {kind=mean, axes=1} fwd\n",
     "`kind` is mean, not one of sum, max, lse"},
    {HEAD "%2: f32[d] = all_reduce(%1) {kind=1, axes=1} fwd\n", "expected a name, found `1, axes"},
    {HEAD "%2: f32[d] = all_gather(%1) {sizes=[4, x], axes=1} fwd\n", "expected a whole number, found `x]"},
    {HEAD "%2: f32[d] = all_gather(%1) {sizes=4, axes=1} fwd\n", "expected `[`"},
    {HEAD "%2: f32[d] = all_gather(%1) {from=[d], to=[d], sizes=[-1, 5], axes=1} fwd\n",
     "`sizes` is -1, not between"},
    {HEAD "%2: f32[d] = all_gather(%1) {from=[d], to=[d], sizes=[], axes=1} fwd\n",
     "`sizes` lists 0 entries"},
    {HEAD "%2: f32[d] = all_gather(%1) {from=[d], to=[d], sizes=[4], axes=1} fwd\n",
     "`sizes` lists 1 pieces of `d` that do not make its 3 elements"},
    {HEAD "%2: f32[d] = fused(%1) {dims=[d], dtypes=[f32, f8], code=<in 1; out r0>} fwd\n",
     "no element type is called `f8`"},
    {HEAD "%2: f32[d] = fused(%1) {dims=[d], dtypes=[f32, f32], code=<in 1; out r0>} fwd\n",
     "1 results and 2 element types"},
    {HEAD "%2: f32[d] = fused(%1) {dims=[d], dtypes=[f32], code=<in 1; cast r0 to f8; out r1>} fwd\n",
     "no element type is called `f8`"},
    {HEAD "%2: f32[d] = param() {dims=[d], name=\"w\", init=gauss(1)} fwd\n",
     "no initialiser is called `gauss`: there are zeros, ones, constant, normal, uniform"},
    {HEAD "%2: f32[d] = param() {dims=[d], name=\"w\", init=normal(-1)} fwd\n",
     "`init`: the standard deviation -1 is negative"},
    {HEAD "%2: f32[d] = param() {dims=[d], name=\"w\", init=uniform(1)} fwd\n", "expected `,`"},
    {HEAD "%2: f32[d] = param() {dims=[d], name=\"w\", split=[e over dp]} fwd\n",
     "`split` names `e`, which it does not have"},
    {HEAD "%2: f32[d] = param() {dims=[d], name=\"w\", split=[d over dp+dp]} fwd\n",
     "splits `d` over `dp` twice"},
    {HEAD "%2: f32[d] = param() {dims=[d], name=\"w\", role=moment} fwd\n",
     "no role of a state is called `moment`: there are state, parameter, gradient, optimizer, count"},
    {HEAD "%2: f32[d] = param() {dims=[d], name=\"w\", store=1} fwd\n", "it takes no attribute `store`"},
    {HEAD "output x = %2\n", "%2 is not defined yet"},
    {HEAD "update %1 -> %9\n", "%9 is not defined yet"},
    {"model \"no end\n", "expected `\"`, found the end of the line"},
    {"model \"\\x00\"\n", "a backslash must be followed by"},
    {"source \"x\" 10\n|abc\n", "the source has fewer than 10 bytes"},
    {"source \"x\" 2\n|abc\n", "the source has more than 2 bytes"},
    {"source \"x\" 5\n|abc\n", "the source has fewer than 5 bytes"},
    {"dim a = 281474976710656\ndim b = 2\n%1: f32[a, b] = input() {dims=[a, b]} fwd\n",
     "more than 2^48 elements"},
    {HEAD "%2: f32[d] by %7 = input() {dims=[d]} fwd\n",
     "is not a valid graph: %2 is not ragged but has offsets"},
    {"dim d/1 = 4 of 8 then 2 from 2 mirrored 1\n", "holds [0, 2) and then 2 from 2 of 8"},
    {"dim d/1 = 4 of 8 then 4 from 4\n", "and then 4 from 4 of 8"},
    {"dim d/1 = 4 of 8 then 2 from 7\n", "and then 2 from 7 of 8"},
    {"dim d/1 = 4 of 8 then 5 from 1\n", "holds [0, 0) of 8"},
    {"dim d/1 = 4 of 8 mirrored 2\n", "split from both ends over axes that do not split it"},
    {HEAD "%2: bf16[d] = exp(%1) fwd\n", "%2 is bf16[d] but should be f32[d]"},
};

static void mistakes_are_named_with_their_line(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
    xlm_error err = {0};
    if (xlm_graph_read(arena, mistakes[i].text, strlen(mistakes[i].text), &err))
      fail_msg("accepted: %s", mistakes[i].text);
    assert_int_equal(err.status, XLM_USER);
    if (!strstr(err.text, mistakes[i].message))
      fail_msg("\"%s\" instead of \"%s\"", err.text, mistakes[i].message);
  }
}

// Every prefix of a text, and every text with one byte changed, goes through the fuzz target: read or
// refused.
static void damaged_texts_are_refused(void **state) {
  (void)state;
  size_t n = strlen(everything);
  for (size_t i = 0; i < n; i++) {
    char *text = malloc(n); // exactly n bytes, for the sanitizer
    assert_non_null(text);
    memcpy(text, everything, n);
    LLVMFuzzerTestOneInput((const uint8_t *)text, i);
    text[i] = (char)(text[i] ^ (1 << (i % 7)));
    LLVMFuzzerTestOneInput((const uint8_t *)text, n);
    free(text);
  }
}

// ---- the verifier ----

static small new_small(void) {
  small s = {.g = xlm_graph_new(arena, NULL, "test")};
  s.b = xlm_build_new(s.g);
  s.hidden = xlm_graph_dim(s.g, "hidden", 4);
  return s;
}

static void assert_broken(const xlm_graph *g, const char *message) {
  const char *wrong = xlm_graph_verify(g, arena);
  if (!wrong || !strstr(wrong, message))
    fail_msg("\"%s\" instead of \"%s\"", wrong ? wrong : "sound", message);
}

static xlm_val state_leaf(small *s, const char *name) {
  return small_leaf(s, XLM_OP_STATE, name, XLM_F32, SMALL_INIT(ZEROS, 0), &s->hidden, 1);
}

static void updated_states_are_not_read(void **state) {
  (void)state;
  small s = new_small();
  xlm_val a = state_leaf(&s, "a"), x = small_leaf(&s, XLM_OP_INPUT, "x", XLM_F32, NULL, &s.hidden, 1);
  xlm_val early = xlm_op1(&s.b, XLM_OP_EXP, a);
  xlm_val next = xlm_op2(&s.b, XLM_OP_ASSIGN, a, early);
  xlm_graph_update(s.g, a, next);
  assert_null(xlm_graph_verify(s.g, arena));
  xlm_op2(&s.b, XLM_OP_ADD, x, next);
  assert_null(xlm_graph_verify(s.g, arena));
  xlm_op2(&s.b, XLM_OP_ADD, x, a);
  assert_broken(s.g, "has updated in place");
}

static void views_of_updated_states_are_not_read(void **state) {
  (void)state;
  small s = new_small();
  xlm_dim other = xlm_graph_dim(s.g, "other", 4);
  xlm_val a = state_leaf(&s, "a"), view = small_rename(&s, a, s.hidden, other);
  xlm_op2(&s.b, XLM_OP_ASSIGN, a, xlm_op1(&s.b, XLM_OP_EXP, a));
  assert_null(xlm_graph_verify(s.g, arena));
  xlm_vals_add(s.g, &s.g->outputs, "late", view, (xlm_span){0, 0});
  assert_broken(s.g, "output 1 is %2, which was updated in place");
  s.g->outputs.n = 0;
  xlm_op1(&s.b, XLM_OP_EXP, view);
  assert_broken(s.g, "has updated in place");
}

static void aliases_begin_at_states(void **state) {
  (void)state;
  small s = new_small();
  xlm_val x = small_leaf(&s, XLM_OP_INPUT, "x", XLM_F32, NULL, &s.hidden, 1);
  xlm_val y = xlm_op1(&s.b, XLM_OP_EXP, x);
  xlm_op2(&s.b, XLM_OP_ASSIGN, y, x);
  assert_broken(s.g, "updates %2, which is no state");
}

static void aliases_keep_the_type(void **state) {
  (void)state;
  small s = new_small();
  xlm_dim other = xlm_graph_dim(s.g, "other", 4);
  xlm_val a = state_leaf(&s, "a");
  xlm_val next = xlm_op2(&s.b, XLM_OP_ASSIGN, a, xlm_op1(&s.b, XLM_OP_EXP, a));
  s.g->values[next].type.dim[0] = other;
  assert_broken(s.g, "%3 is f32[other] but should be f32[hidden]");
}

static void updates_begin_at_their_state(void **state) {
  (void)state;
  small s = new_small();
  xlm_val a = state_leaf(&s, "a"), b = state_leaf(&s, "b");
  s.b.phase = XLM_PHASE_STEP;
  xlm_val next = xlm_op2(&s.b, XLM_OP_ASSIGN, a, b);
  xlm_graph_update(s.g, b, next);
  assert_broken(s.g, "does not begin at the state");
  s.g->updates[0].state = next;
  assert_broken(s.g, "which is no state");
}

static void phases_read_only_earlier_ones(void **state) {
  (void)state;
  small s = new_small();
  xlm_val x = small_leaf(&s, XLM_OP_INPUT, "x", XLM_F32, NULL, &s.hidden, 1);
  s.b.phase = XLM_PHASE_WGT;
  xlm_val w = xlm_op1(&s.b, XLM_OP_EXP, x);
  s.b.phase = XLM_PHASE_BWD;
  xlm_op1(&s.b, XLM_OP_EXP, x);
  assert_null(xlm_graph_verify(s.g, arena));
  xlm_op1(&s.b, XLM_OP_EXP, w);
  assert_broken(s.g, "is bwd and reads %2, which is wgt");
  s.g->n_nodes--, s.g->n_values--;
  s.b.phase = XLM_PHASE_FWD;
  xlm_op1(&s.b, XLM_OP_EXP, x);
  assert_broken(s.g, "comes after a later phase");
}

static void tables_are_consistent(void **state) {
  (void)state;
  small s = new_small();
  xlm_val x = small_leaf(&s, XLM_OP_INPUT, "x", XLM_F32, NULL, &s.hidden, 1);
  xlm_val y = xlm_op2(&s.b, XLM_OP_ADD, x, x);
  xlm_node_info *n = xlm_val_node(s.g, y);
  ((xlm_val *)n->in)[1] = y;
  assert_broken(s.g, "reads %2, which is not defined before it");
  ((xlm_val *)n->in)[1] = x;
  n->n_in = 1;
  assert_broken(s.g, "has 1 operands");
  n->n_in = 2;
  s.g->values[y].def = 1;
  assert_broken(s.g, "does not know that node 2 defines it");
  s.g->values[y].def = 2;
  s.g->values[y].type.dim[0] = 77;
  assert_broken(s.g, "dimension 0 of %2 does not exist");
  s.g->values[y].type.dim[0] = s.hidden;
  s.g->values[y].ragged_by = x;
  assert_broken(s.g, "is not ragged but has offsets");
  s.g->values[y].ragged_by = 0;
  xlm_graph_dim(s.g, "third", 4);
  s.g->dims[2].name = "hidden";
  assert_broken(s.g, "dims 1 and 2 are both hidden");
  s.g->dims[2].name = "third";
  assert_null(xlm_graph_verify(s.g, arena));
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(everything_round_trips),
      TEST(graphs_round_trip),
      TEST(blanks_and_comments_are_skipped),
      TEST(mistakes_are_named_with_their_line),
      TEST(damaged_texts_are_refused),
      TEST(updated_states_are_not_read),
      TEST(views_of_updated_states_are_not_read),
      TEST(aliases_begin_at_states),
      TEST(aliases_keep_the_type),
      TEST(updates_begin_at_their_state),
      TEST(phases_read_only_earlier_ones),
      TEST(tables_are_consistent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
