// Verification of plans: sound ones pass with every operation counted; each kind of mistake is found and told
// by ranks, operations and model lines; few simulated ranks stand for all; plans of 16,384 ranks; plans of
// the shipped models.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/front/ast.h"
#include "compiler/planner/compile.h"
#include "compiler/planner/schedule.h"
#include "compiler/planner/verify_plan.h"
#include "runtime/device/kernel.h"
#include "tests/layouts/hand_plan.h"

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

static void assert_sound(hand_plan *h, int64_t operations) {
  hand_finish_all(h);
  xlm_plan_check c = xlm_plan_verify(&h->p, arena);
  if (c.text) fail_msg("%s", c.text);
  assert_int_equal(c.operations, operations);
}

#define WORDS(...)                                                                                           \
  (const char *[]) {                                                                                         \
    __VA_ARGS__, NULL                                                                                        \
  }

static void assert_refused(hand_plan *h, const char *const *words) {
  hand_finish_all(h);
  xlm_plan_check c = xlm_plan_verify(&h->p, arena);
  assert_non_null(c.text);
  for (; *words; words++)
    if (!strstr(c.text, *words)) fail_msg("`%s` is not in: %s", *words, c.text);
}

// ---- a pipeline of two stages with tp 2: F, B, step; what the tests then break ----

enum { TP = 1u << 1, ALL = 3, M = 4 };

typedef struct stage {
  hand_class *c;
  uint32_t f, b, step; // segments
  xlm_instr *in, *kept, *reduce, *out, *back_in, *back, *back_out, *norm;
} stage;

static void run_1f1b(hand_class *c, const uint32_t *segment, int stages, int at, int64_t microbatches) {
  xlm_schedule_plan *s;
  xlm_error err;
  assert_int_equal(xlm_schedule_make(arena, "1f1b", stages, 1, microbatches, &s, &err), XLM_OK);
  int32_t *slots = XLM_NEW_N(arena, int32_t, s->stage[at].n);
  c->r.n_slots = xlm_schedule_slots(s, at, arena, slots);
  for (uint32_t i = 0; i < s->stage[at].n; i++)
    hand_run(c, segment[s->stage[at].at[i].kind], s->stage[at].at[i].microbatch, slots[i]);
}

static stage make_stage(hand_plan *h, int at, int stages) {
  stage s = {.c = hand_add(h)};
  hand_class *c = s.c;
  c->r.stage = (int16_t)at;
  uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 8), tokens = hand_tensor(c, "tokens", XLM_AREA_IO, 16);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_SLOT, 16), h1 = hand_tensor(c, "h", XLM_AREA_SLOT, 16);
  uint32_t y = hand_tensor(c, "y", XLM_AREA_TEMP, 16), g = hand_tensor(c, "g", XLM_AREA_TEMP, 16);
  uint32_t gx = hand_tensor(c, "gx", XLM_AREA_TEMP, 16), norm = hand_tensor(c, "norm", XLM_AREA_TEMP, 1);
  c->inputs[c->r.n_inputs++] = (xlm_plan_input){.name = "tokens", .tensor = tokens};
  bool first = at == 0, last = at == stages - 1;
  s.f = hand_segment(c, XLM_SEG_F);
  s.in = first ? hand_op(c, "lookup", tokens, x, 10) : hand_message(c, "recv", at - 1, 1, x, 20);
  s.kept = hand_op(c, "work", x, h1, 21);
  s.reduce = hand_collective(c, "all_reduce", TP, NULL, h1, y, 22);
  s.out = last ? NULL : hand_message(c, "send", at + 1, 1, y, 23);
  s.b = hand_segment(c, XLM_SEG_B);
  s.back_in = last ? hand_op(c, "work", h1, g, 24) : hand_message(c, "recv", at + 1, 2, g, 24);
  s.back = hand_op(c, "work", h1, gx, 25);
  hand_collective(c, "all_reduce", TP, NULL, g, gx, 26);
  s.back_out = first ? NULL : hand_message(c, "send", at - 1, 2, gx, 27);
  s.step = hand_segment(c, XLM_SEG_STEP);
  hand_op(c, "norm_sq", w, norm, 0);
  s.norm = hand_collective(c, "all_reduce", ALL, NULL, norm, norm, 0);
  uint32_t segment[] = {s.f, s.b, s.b, s.step};
  run_1f1b(c, segment, stages, at, h->p.microbatches);
  return s;
}

static hand_plan *pipeline(stage s[2]) {
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"pp", "tp"}, (int32_t[]){2, 2}, M);
  for (int i = 0; i < 2; i++) s[i] = make_stage(h, i, 2);
  h->class_of[2] = h->class_of[3] = 1;
  return h;
}

// 4 ranks: 2 collectives per microbatch and one in the step; 2 * 2 messages per microbatch, sent and
// received.
enum { PIPELINE_OPERATIONS = 4 * (2 * M + 1) + 2 * 2 * 2 * M };

static void test_sound(void **state) {
  (void)state;
  stage s[2];
  assert_sound(pipeline(s), PIPELINE_OPERATIONS);
  hand_plan *alone = hand_plan_new(arena, 0, NULL, NULL, 1);
  hand_class *c = hand_add(alone);
  hand_segment(c, XLM_SEG_STEP);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4), y = hand_tensor(c, "y", XLM_AREA_TEMP, 4);
  hand_op(c, "const", 0, x, 1);
  hand_collective(c, "all_reduce", 0, NULL, x, y, 2); // a group of one
  hand_run(c, 0, -1, 0);
  assert_sound(alone, 0);
}

// ---- messages ----

static void test_message_sizes(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = pipeline(s);
  ((uint32_t *)(uintptr_t)s[1].in->out)[0] = hand_tensor(s[1].c, "smaller", XLM_AREA_SLOT, 8);
  ((uint32_t *)(uintptr_t)s[1].kept->in)[0] = s[1].in->out[0];
  assert_refused(h, WORDS("rank 0 (pp 0, tp 0) in `send`", "(m.xlm:23)", "F of microbatch 0",
                          "sends 64 bytes (`y`)", "rank 2 (pp 1, tp 0) in `recv` of block (m.xlm:20)",
                          "expects 32 (`smaller`)"));
  h = pipeline(s);
  s[1].c->tensors[s[1].in->out[0]].type.dtype = XLM_I32;
  assert_refused(h, WORDS("sends f32", "expects i32"));
}

static void test_message_missing(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = pipeline(s);
  s[0].out->op = "work";
  assert_refused(h, WORDS("in `recv`", "(m.xlm:20)", "F of microbatch 0", "tag 1", "waits for"));
  h = pipeline(s); // the message of the last microbatch only
  s[0].c->r.n_schedule -= 3;
  s[0].c->runs[s[0].c->r.n_schedule - 1] = (xlm_slot_run){s[0].step, -1, 0};
  assert_refused(h, WORDS("waits for"));
}

static void test_message_unread(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = pipeline(s);
  hand_message(s[1].c, "send", 0, 9, s[1].norm->out[0], 31); // in the step, which is the last segment
  assert_refused(h, WORDS("rank 2 (pp 1, tp 0) sends `send` of block (m.xlm:31) in step (tag 9) to rank 0 "
                          "(pp 0, tp 0), which "
                          "ends without receiving it"));
}

static void test_message_tags(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"pp"}, (int32_t[]){2}, 1);
  for (int i = 0; i < 2; i++) {
    hand_class *c = s[i].c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_STEP);
    if (i == 0) hand_op(c, "const", 0, x, 1);
    hand_message(c, i ? "recv" : "send", 1 - i, i ? 5 : 4, x, (uint32_t)i + 2);
    hand_run(c, 0, -1, 0);
  }
  h->class_of[1] = 1;
  assert_refused(h, WORDS("rank 1 (pp 1) in `recv` of block (m.xlm:3), step, tag 5, waits for rank 0 (pp 0), "
                          "which ends without",
                          "it sends `send` of block (m.xlm:2) with tag 4, which is not received"));
}

static void
test_message_order(void **state) { // stage 1 takes the microbatches in another order than they are sent
  (void)state;
  stage s[2];
  hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"pp"}, (int32_t[]){2}, 2);
  for (int i = 0; i < 2; i++) {
    hand_class *c = s[i].c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_F);
    if (i == 0) hand_op(c, "const", 0, x, 1);
    hand_message(c, i ? "recv" : "send", 1 - i, 4, x, (uint32_t)i + 2);
    for (int m = 0; m < 2; m++) hand_run(c, 0, i ? 1 - m : m, 0);
  }
  h->class_of[1] = 1;
  assert_refused(h, WORDS("F of microbatch 0 would be received by", "F of microbatch 1, another microbatch"));
}

static void test_message_circle(void **state) { // both receive before they send
  (void)state;
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"pp", "dp"}, (int32_t[]){2, 3}, 1);
  for (int i = 0; i < 2; i++) {
    hand_class *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_STEP);
    hand_message(c, "recv", 1 - i, 4, x, (uint32_t)i + 2);
    hand_message(c, "send", 1 - i, 4, x, (uint32_t)i + 4);
    hand_run(c, 0, -1, 0);
    for (int k = 0; k < 3; k++) h->class_of[i * 3 + k] = (uint32_t)i;
  }
  assert_refused(h, WORDS("wait for each other for ever", "rank 0 (pp 0, dp 0) in `recv` of block (m.xlm:2)",
                          "waits for rank 3 (pp 1, dp 0)", "rank 3 (pp 1, dp 0) in `recv` of block (m.xlm:3)",
                          "waits for rank 0"));
}

// ---- collectives ----

// One class per rank along tp; ops[i] is the program of rank i: letters r (all_reduce over tp), g (all_gather
// over tp), d (all_reduce over dp), a line each.
static hand_plan *collectives(int dp, const char *const *ops, const uint32_t *const *lines, int n) {
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"dp", "tp"}, (int32_t[]){dp, n}, 1);
  for (int i = 0; i < n; i++) {
    hand_class *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_STATE, 12), y = hand_tensor(c, "y", XLM_AREA_TEMP, 12);
    uint32_t all = hand_tensor(c, "all", XLM_AREA_TEMP, 12 * n);
    hand_segment(c, XLM_SEG_STEP);
    for (int k = 0; ops[i][k]; k++)
      hand_collective(c, ops[i][k] == 'g' ? "all_gather" : "all_reduce", ops[i][k] == 'd' ? 1 : 2, NULL, x,
                      ops[i][k] == 'g' ? all : y, lines[i][k]);
    hand_run(c, 0, -1, 0);
    for (int k = 0; k < dp; k++) h->class_of[k * n + i] = (uint32_t)i;
  }
  return h;
}

static void test_collective_order(void **state) {
  (void)state;
  static const uint32_t up[] = {5, 6, 7}, down[] = {6, 5, 7};
  assert_sound(collectives(2, WORDS("rgd", "rgd"), (const uint32_t *[]){up, up}, 2), 12);
  assert_refused(collectives(1, WORDS("rg", "gr"), (const uint32_t *[]){up, down}, 2),
                 WORDS("rank 0 (tp 0) in `all_reduce` over tp of block (m.xlm:5)",
                       "rank 1 (tp 1) in `all_gather` over tp of block (m.xlm:6)", "in one order"));
  // the same operation and size, but of other lines: values would be mixed up
  assert_refused(collectives(1, WORDS("rr", "rr"), (const uint32_t *[]){up, down}, 2),
                 WORDS("(m.xlm:5)", "(m.xlm:6)", "different places of the model"));
}

static void test_collective_orders_over_two_axes(
    void **state) { // ranks 0, 1, 2, 3 = (dp, tp); the two axes form a circle
  (void)state;
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"dp", "tp"}, (int32_t[]){2, 2}, 1);
  for (int i = 0; i < 2; i++) {
    hand_class *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_STATE, 12), y = hand_tensor(c, "y", XLM_AREA_TEMP, 12);
    hand_segment(c, XLM_SEG_STEP);
    for (int k = 0; k < 2; k++)
      hand_collective(c, "all_reduce", k == i ? 1 : 2, NULL, x, y, (uint32_t)(k == i ? 5 : 6));
    hand_run(c, 0, -1, 0);
  }
  h->class_of[1] = h->class_of[2] = 1; // tp partners differ, and dp partners differ
  assert_refused(h, WORDS("different orders", "rank 0 (dp 0, tp 0) in `all_reduce` over dp", "(m.xlm:5)",
                          "waits for rank 2", "rank 2 (dp 1, tp 0) in `all_reduce` over tp"));
}

static void test_collective_missing(void **state) {
  (void)state;
  static const uint32_t lines[] = {5, 6, 7};
  assert_refused(collectives(3, WORDS("rr", "r"), (const uint32_t *[]){lines, lines}, 2),
                 WORDS("rank 0 (dp 0, tp 0) in `all_reduce` over tp of block (m.xlm:6), step, waits for rank "
                       "1 (dp 0, tp 1), which "
                       "ends without entering it"));
}

static void test_collective_attributes(void **state) {
  (void)state;
  static const uint32_t lines[] = {5};
  const uint32_t *both[] = {lines, lines};
  hand_plan *h = collectives(1, WORDS("r", "r"), both, 2);
  hand_attr(
      &h->class [1] -> instrs[0], (xlm_attr) { .key = XLM_A_kind, .text = "max" });
  assert_refused(h, WORDS("rank 0", "rank 1", "reductions differ"));
  h = collectives(1, WORDS("r", "r"), both, 2);
  h->class[1]->dims[1].size = 13, h->class[1]->tensors[1].bytes += 4;
  assert_refused(h, WORDS("gives 12 elements", "gives 13", "must be equal"));
  h = collectives(1, WORDS("r", "r"), both, 2);
  h->class[1]->tensors[1].type.dtype = XLM_BF16;
  assert_refused(h, WORDS("element types differ"));
  h = collectives(1, WORDS("g", "g"), both, 2);
  hand_attr(
      &h->class [1] -> instrs[0], (xlm_attr) { .key = XLM_A_sizes, .text = "12,12" });
  assert_refused(h, WORDS("lists of sizes differ"));
  h = collectives(1, WORDS("r", "r"), both, 2);
  ((xlm_attr *)(uintptr_t)h->class[1] -> instrs[0].attrs.at)[0].i = 4;
  assert_refused(h, WORDS("rank 1 (tp 1)", "axes 4 are not all in the mesh"));
}

// ---- uneven sizes: 25 heads over tp 4, 3 copies over dp ----

typedef struct uneven {
  const char *op, *sizes;
  int64_t in[4], out[4];
} uneven;

static hand_plan *uneven_plan(uneven u) {
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"dp", "tp"}, (int32_t[]){3, 4}, 1);
  for (int i = 0; i < 2; i++) { // the first of tp, and the others
    hand_class *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_STATE, u.in[i]),
             y = hand_tensor(c, "y", XLM_AREA_TEMP, u.out[i]);
    hand_segment(c, XLM_SEG_STEP);
    hand_collective(c, u.op, 2, u.sizes, x, y, 3);
    hand_run(c, 0, -1, 0);
  }
  for (int r = 0; r < 12; r++) h->class_of[r] = r % 4 != 0;
  return h;
}

static void test_uneven(void **state) {
  (void)state;
  const char *sizes = "7,6,6,6", *both = "7,6,6,6;2,1,1,1";
  assert_sound(uneven_plan((uneven){"all_gather", sizes, {70, 60}, {250, 250}}), 12);
  assert_sound(uneven_plan((uneven){"reduce_scatter", sizes, {250, 250}, {70, 60}}), 12);
  assert_sound(uneven_plan((uneven){"all_to_all", both, {7 * 5 * 3, 6 * 5 * 3}, {25 * 2 * 3, 25 * 1 * 3}}),
               12);
  assert_sound(uneven_plan((uneven){"all_reduce", NULL, {9, 9}, {9, 9}}), 12);
  assert_sound(uneven_plan((uneven){"all_gather", "25,0,0,0", {250, 0}, {250, 250}}), 12);
  assert_refused(uneven_plan((uneven){"all_gather", sizes, {70, 70}, {250, 250}}),
                 WORDS("rank 1 (dp 0, tp 1) in `all_gather` over tp",
                       "gives 70 elements where the other members expect 60"));
  assert_refused(uneven_plan((uneven){"all_gather", sizes, {70, 60}, {250, 240}}),
                 WORDS("rank 1", "takes 240", "expect 250"));
  assert_refused(uneven_plan((uneven){"reduce_scatter", sizes, {250, 250}, {70, 70}}),
                 WORDS("rank 1", "takes 70", "expect 60"));
  assert_refused(uneven_plan((uneven){"all_to_all", both, {105, 90}, {150, 80}}),
                 WORDS("rank 1", "takes 80", "expect 75"));
  assert_refused(uneven_plan((uneven){"all_gather", "7,6,6", {70, 60}, {250, 250}}),
                 WORDS("has 3 entries", "4 members"));
  assert_refused(uneven_plan((uneven){"all_to_all", sizes, {70, 60}, {70, 60}}),
                 WORDS("list 2", "has 0 entries"));
}

static void
test_rows(void **state) { // 3 experts over 2 owners: home [3, 8, 5], owner [2, 16, 5] and [1, 16, 5]
  (void)state;
  for (int broken = 0; broken < 3; broken++)
    for (int back = 0; back < 2; back++) {
      hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"ep"}, (int32_t[]){2}, 1);
      for (int i = 0; i < 2; i++) {
        hand_class *c = hand_add(h);
        uint32_t x = hand_tensor(c, "home", XLM_AREA_STATE, 8 * 5),
                 y = hand_tensor(c, "own", XLM_AREA_STATE, 16 * 5);
        xlm_dim d = c->r.n_dims;
        c->r.n_dims += 5;
        int64_t sizes[] = {3, 8, 5, broken == 1 && i ? 2 : 2 - i, 16};
        for (int k = 0; k < 5; k++)
          c->dims[d + (uint32_t)k] =
              (xlm_dim_info){.name = "d", .size = sizes[k], .ragged = k == 1 || k == 4};
        c->tensors[x].type = (xlm_type){.dtype = XLM_F32, .rank = 3, .dim = {d, d + 1, d + 2}};
        c->tensors[y].type =
            (xlm_type){.dtype = XLM_F32, .rank = broken == 2 ? 2 : 3, .dim = {d + 3, d + 4, d + 2}};
        hand_segment(c, XLM_SEG_STEP);
        hand_collective(c, back ? "collect_rows" : "send_rows", 1, "2,1", back ? y : x, back ? x : y, 4);
        hand_run(c, 0, -1, 0);
      }
      h->class_of[1] = 1;
      if (!broken) assert_sound(h, 2);
      if (broken == 1) assert_refused(h, WORDS("rank 1", "3 experts, 2 of its own", "3 and 1"));
      if (broken == 2) assert_refused(h, WORDS("rows have another length"));
    }
}

// ---- the flow of values ----

static hand_plan *one_rank(hand_class **c, int64_t microbatches) {
  hand_plan *h = hand_plan_new(arena, 0, NULL, NULL, microbatches);
  *c = hand_add(h);
  return h;
}

static void test_unwritten(void **state) {
  (void)state;
  hand_class *c;
  hand_plan *h = one_rank(&c, 1);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4), y = hand_tensor(c, "y", XLM_AREA_TEMP, 4);
  c->tensors[x].line = 8;
  hand_segment(c, XLM_SEG_F);
  hand_op(c, "work", x, y, 9);
  hand_run(c, 0, 0, 0);
  assert_refused(h, WORDS("rank 0: in F of microbatch 0 `work` of block (m.xlm:9) reads `x` (m.xlm:8), which "
                          "nothing wrote before"));
  c->inputs[c->r.n_inputs++] = (xlm_plan_input){.name = "x", .tensor = x}; // now somebody feeds it
  assert_sound(h, 0);
}

static void test_written_over(void **state) {
  (void)state;
  hand_class *c;
  hand_plan *h = one_rank(&c, 1);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 32), y = hand_tensor(c, "y", XLM_AREA_TEMP, 16);
  uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4);
  hand_segment(c, XLM_SEG_F);
  hand_op(c, "work", w, x, 1);
  xlm_instr *writes = hand_op(c, "work", w, y, 2);
  hand_op(c, "work", x, w, 3);
  hand_run(c, 0, 0, 0);
  assert_sound(h, 0);
  c->tensors[y].offset = 64; // the second half of x
  assert_refused(h, WORDS("(m.xlm:3) reads `x`, but `work` of block (m.xlm:2) has written `y` over it"));
  c->tensors[y].offset = 128;
  assert_sound(h, 0);
  writes->workspace = 64, writes->workspace_at = 64;
  assert_refused(h, WORDS("(m.xlm:3) reads `x`", "(m.xlm:2) has written its workspace over it"));
  writes->workspace_at = 128;
  assert_refused(h, WORDS("the workspace of `work` of block (m.xlm:2) lies over `y`"));
  writes->workspace = 0;
  h = one_rank(&c, 1); // a result over its operand, unless made in place
  x = hand_tensor(c, "x", XLM_AREA_TEMP, 32), y = hand_tensor(c, "y", XLM_AREA_TEMP, 16);
  uint32_t z = hand_view(c, "z", x);
  hand_segment(c, XLM_SEG_F);
  hand_op(c, "const", 0, x, 1);
  xlm_instr *over = hand_op(c, "work", x, y, 2);
  hand_run(c, 0, 0, 0);
  assert_sound(h, 0);
  c->tensors[y].offset = 0;
  assert_refused(h, WORDS("the result `y` of `work` of block (m.xlm:2) lies over its operand `x`"));
  c->tensors[y].offset = 128;
  ((uint32_t *)(uintptr_t)over->out)[0] = z;
  hand_op(c, "work", z, y, 3);
  assert_sound(h, 0);
  hand_op(c, "work", x, y, 4); // what was made over in place is gone
  assert_refused(h, WORDS("(m.xlm:4) reads `x`, but `work` of block (m.xlm:2) has written `z` over it"));
}

static hand_plan *slots(hand_class **c, int64_t microbatches) { // F keeps x for B
  hand_plan *h = one_rank(c, microbatches);
  uint32_t w = hand_tensor(*c, "w", XLM_AREA_STATE, 4);
  uint32_t x = hand_tensor(*c, "x", XLM_AREA_SLOT, 4), v = hand_view(*c, "v", x),
           y = hand_tensor(*c, "y", XLM_AREA_TEMP, 4);
  hand_segment(*c, XLM_SEG_F);
  hand_op(*c, "work", w, x, 1);
  hand_segment(*c, XLM_SEG_B);
  hand_op(*c, "work", v, y, 2);
  (*c)->r.n_slots = 2;
  return h;
}

static void test_slots(void **state) {
  (void)state;
  hand_class *c;
  hand_plan *h = slots(&c, 2);
  static const xlm_slot_run good[] = {{0, 0, 0}, {0, 1, 1}, {1, 0, 0}, {1, 1, 1}};
  for (int i = 0; i < 4; i++) hand_run(c, good[i].segment, good[i].microbatch, good[i].slot);
  assert_sound(h, 0);
  c->runs[1].slot = c->runs[3].slot = 0; // both in one slot
  assert_refused(
      h,
      WORDS("in B of microbatch 0 `work` of block (m.xlm:2) reads `v`, which F of microbatch 1 wrote last"));
  c->runs[1].slot = 1;
  c->runs[3].slot = 0; // the wrong slot
  assert_refused(h, WORDS("in B of microbatch 1", "reads `v`, which F of microbatch 0 wrote last"));
  c->runs[3].slot = 2;
  assert_refused(h, WORDS("entry 4 of the schedule names a segment, slot or microbatch that does not exist"));
  c->runs[3].slot = 1;
  c->runs[1] = c->runs[0]; // F of microbatch 1 never ran
  assert_refused(h, WORDS("in B of microbatch 1", "which nothing wrote before"));
}

static void test_temporary_between_segments(void **state) { // another microbatch's F writes over it
  (void)state;
  hand_class *c;
  hand_plan *h = slots(&c, 2);
  c->tensors[2].area = c->tensors[3].area = XLM_AREA_TEMP;
  c->tensors[4].offset = 64;
  c->r.area_bytes[XLM_AREA_TEMP] = 128;
  static const xlm_slot_run good[] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {1, 1, 0}};
  for (int i = 0; i < 4; i++) hand_run(c, good[i].segment, good[i].microbatch, good[i].slot);
  assert_sound(h, 0);
  c->runs[1] = good[2], c->runs[2] = good[1];
  assert_refused(h, WORDS("in B of microbatch 0", "which F of microbatch 1 wrote last"));
}

static void test_outputs(void **state) {
  (void)state;
  hand_class *c;
  hand_plan *h = one_rank(&c, 1);
  uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4), loss = hand_tensor(c, "loss", XLM_AREA_IO, 1);
  uint32_t other = hand_tensor(c, "logits", XLM_AREA_TEMP, 4);
  hand_segment(c, XLM_SEG_F);
  hand_op(c, "work", w, loss, 1);
  hand_segment(c, XLM_SEG_EVAL);
  hand_op(c, "work", w, other, 2);
  c->r.eval_segment = 1;
  hand_run(c, 0, 0, 0);
  c->outputs[c->r.n_outputs++] = (xlm_plan_output){.name = "loss", .tensor = loss};
  c->outputs[c->r.n_outputs++] = (xlm_plan_output){.name = "logits", .eval = true, .tensor = other};
  assert_sound(h, 0);
  c->outputs[1].eval = false;
  assert_refused(h, WORDS("the end of the step", "outputs reads `logits`, which nothing wrote before"));
}

static void test_eval_program(void **state) { // eval segments are one program too
  (void)state;
  hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"pp"}, (int32_t[]){2}, 1);
  xlm_instr *send = NULL;
  for (int i = 0; i < 2; i++) {
    hand_class *c = hand_add(h);
    uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4);
    hand_segment(c, XLM_SEG_EVAL);
    c->r.eval_segment = 0;
    xlm_instr *in = hand_message(c, i ? "recv" : "send", 1 - i, 0, w, 3 + (uint32_t)i);
    if (!i) send = in;
  }
  h->class_of[1] = 1;
  assert_sound(h, 2);
  send->op = "work";
  assert_refused(h, WORDS("rank 1 (pp 1) in `recv` of block (m.xlm:4), eval, tag 0, waits for rank 0"));
}

// ---- malformed tables ----

static void test_tables(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = pipeline(s);
  h->p.n_ranks = 3;
  assert_refused(h, WORDS("3 ranks and its mesh has another number"));
  h = pipeline(s);
  h->class_of[3] = 2;
  assert_refused(h, WORDS("rank 3 has plan 2, which does not exist"));
  h = pipeline(s);
  ((uint32_t *)(uintptr_t)s[1].kept->in)[0] = 400;
  assert_refused(h, WORDS("rank 2 (pp 1, tp 0): instruction 1 refers to tensors that do not exist"));
  h = pipeline(s);
  s[0].c->tensors[5].offset = 1 << 20;
  assert_refused(h, WORDS("`y` (64 bytes at 1048576) reaches beyond its area"));
  h = pipeline(s);
  s[0].c->tensors[3].view_of = 4;
  assert_refused(h, WORDS("tensor 3 of the plan is malformed"));
  h = pipeline(s);
  ((xlm_attr *)(uintptr_t)s[0].out->attrs.at)[0].i = 2;
  assert_refused(h, WORDS("names stage 2 as its partner; there are 2 stages"));
  h = pipeline(s);
  h->p.mesh.axis[0] = "dp";
  assert_refused(h, WORDS("the mesh has no axis pp"));
  h = pipeline(s);
  s[0].c->segments[2].n = 100;
  assert_refused(h, WORDS("segment 2 of the plan is malformed"));
  h = pipeline(s);
  uint32_t extra = hand_tensor(s[0].c, "w2", XLM_AREA_STATE, 8);
  s[0].c->tensors[extra].offset = 16;
  assert_refused(h, WORDS("`w` and `w2` lie over each other"));
}

// ---- one rank per kind stands for all ----

static uint32_t next(uint32_t *seed, uint32_t below) {
  *seed = *seed * 1664525u + 1013904223u;
  return (*seed >> 8) % below;
}

// Each stage and first-or-other along tp has a class; communication over random axes; then a few things are
// broken.
static hand_plan *random_plan(uint32_t *seed) {
  hand_plan *h = hand_plan_new(arena, 3, (const char *[]){"pp", "dp", "tp"}, (int32_t[]){2, 3, 3}, 2);
  uint32_t program[6], n = 1 + next(seed, 6);
  for (uint32_t k = 0; k < n; k++) program[k] = 1 + next(seed, 7); // axes; 7 with all stages
  for (int i = 0; i < 4; i++) {
    hand_class *c = hand_add(h);
    uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4), y = hand_tensor(c, "y", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_F);
    if (i / 2) hand_message(c, "recv", 0, 3, y, 50);
    for (uint32_t k = 0; k < n; k++) hand_collective(c, "all_reduce", program[k] & 6, NULL, w, y, 60 + k);
    if (!(i / 2)) hand_message(c, "send", 1, 3, w, 51);
    hand_segment(c, XLM_SEG_STEP);
    for (uint32_t k = 0; k < n; k++) hand_collective(c, "all_reduce", program[k], NULL, w, y, 70 + k);
    hand_run(c, 0, 0, 0);
    hand_run(c, 0, 1, 0);
    hand_run(c, 1, -1, 0);
    for (uint32_t breaks = next(seed, 3); i == 1 && breaks; breaks--) {
      uint32_t a = next(seed, c->r.n_instrs), b = next(seed, c->r.n_instrs);
      xlm_instr t = c->instrs[a];
      c->instrs[a] = c->instrs[b], c->instrs[b] = t;
    }
  }
  for (uint32_t r = 0; r < 18; r++) h->class_of[r] = r / 9 * 2 + (r % 3 != 0);
  return h;
}

static void test_kinds_stand_for_ranks(void **state) {
  (void)state;
  int sound = 0;
  uint32_t seed = 7;
  for (int i = 0; i < 300; i++) {
    if (i % 20 == 0) {
      xlm_arena_free(arena);
      arena = xlm_arena_new(0);
    }
    hand_plan *h = random_plan(&seed);
    hand_finish_all(h);
    xlm_plan_check few = xlm_plan_verify(&h->p, arena);
    uint32_t shared[18];
    memcpy(shared, h->class_of, sizeof shared);
    for (uint32_t r = 0; r < 18; r++) { // every rank has a class of its own, so every rank is simulated
      h->list[4 + r] = &h->class[shared[r]]->r;
      h->class_of[r] = 4 + r;
    }
    h->p.n_classes = 4 + 18;
    xlm_plan_check all = xlm_plan_verify(&h->p, arena);
    if (!few.text != !all.text)
      fail_msg("few: %s; all: %s", few.text ? few.text : "sound", all.text ? all.text : "sound");
    if (!few.text) assert_int_equal(few.operations, all.operations);
    sound += !few.text;
  }
  assert_in_range(sound, 50, 250);
}

// ---- large ----

enum { PP = 16, DP = 128, WIDE = 8, CHUNKS = 8, MANY = 512, LAYER_OPS = 8 };

// Part k of an interleaved pipeline: F and B segments with collectives over tp and messages to the
// neighbouring parts.
static void add_part(hand_class *c, int part, int parts, uint32_t x, uint32_t y, bool forward) {
  int from = forward ? part - 1 : part + 1, to = forward ? part + 1 : part - 1, kind = forward ? 0 : parts;
  hand_segment(c, forward ? XLM_SEG_F : XLM_SEG_B);
  if (from >= 0 && from < parts)
    hand_message(c, "recv", from % PP, kind + part, x, 1);
  else
    hand_op(c, "work", y, x, 1);
  for (int i = 0; i < LAYER_OPS; i++) hand_collective(c, "all_reduce", 4, NULL, x, x, 2 + (uint32_t)i);
  if (to >= 0 && to < parts) hand_message(c, "send", to % PP, kind + to, x, 20);
}

static void add_large_stage(hand_plan *h, const xlm_schedule_plan *s, int at, int64_t gathered) {
  hand_class *c = hand_add(h);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 64), y = hand_tensor(c, "y", XLM_AREA_STATE, gathered);
  uint32_t all = hand_tensor(c, "all", XLM_AREA_TEMP, 57 * DP);
  for (int k = 0; k < CHUNKS; k++)
    for (int forward = 1; forward >= 0; forward--) add_part(c, k * PP + at, PP * CHUNKS, x, y, forward);
  hand_segment(c, XLM_SEG_STEP);
  hand_op(c, "work", y, x, 30);
  hand_collective(c, "all_reduce", 7, NULL, x, x, 31);
  (void)all;
  int32_t *slot = XLM_NEW_N(arena, int32_t, s->stage[at].n);
  c->r.n_slots = xlm_schedule_slots(s, at, arena, slot);
  for (uint32_t i = 0; i < s->stage[at].n; i++) {
    xlm_slot_op e = s->stage[at].at[i];
    hand_run(c, e.kind == XLM_SEG_STEP ? 2 * CHUNKS : 2 * (uint32_t)e.chunk + (e.kind == XLM_SEG_B),
             e.microbatch, slot[i]);
  }
}

static void test_large(void **state) { // 16,384 ranks, two classes per stage
  (void)state;
  hand_plan *h = hand_plan_new(arena, 3, (const char *[]){"pp", "dp", "tp"}, (int32_t[]){PP, DP, WIDE}, MANY);
  xlm_schedule_plan *s;
  xlm_error err;
  assert_int_equal(xlm_schedule_make(arena, "interleaved", PP, CHUNKS, MANY, &s, &err), XLM_OK);
  for (int at = 0; at < PP; at++)
    for (int k = 0; k < 2; k++) add_large_stage(h, s, at, 64 + k);
  for (uint32_t r = 0; r < h->p.n_ranks; r++) h->class_of[r] = r / (DP * WIDE) * 2 + (r % WIDE > 2);
  int64_t ranks = PP * DP * WIDE, parts = PP * CHUNKS, columns = DP * WIDE;
  assert_sound(h, ranks * (2 * CHUNKS * MANY * LAYER_OPS + 1) + columns * 2 * 2 * (parts - 1) * MANY);
  h->class[7]->instrs[3].line = 99; // one class of one stage
  assert_refused(h, WORDS("(pp 3, dp 0, tp 0)", "(pp 3, dp 0, tp 3)", "(m.xlm:99)"));
}

// ---- plans of the shipped models ----

static void verify_model(const char *name, int64_t microbatches, bool train) {
  char path[512];
  snprintf(path, sizeof path, "%s/models/%s.xlm", XLM_SOURCE_DIR, name);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  char *text = XLM_NEW_N(arena, char, 1 << 20);
  size_t n = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  const xlm_source *source = xlm_source_new(arena, path, text, n);
  xlm_diags d;
  xlm_diags_init(&d, arena, source);
  xlm_compile_options o = xlm_compile_defaults();
  static const xlm_set sets[] = {{"layers", "3"}};
  o.settings.sets = sets, o.settings.n_sets = 1;
  o.settings.batch = 2, o.settings.seq = 16;
  o.train.microbatches = microbatches;
  o.with_train = train;
  o.backend = &xlm_backend_cpu()->info;
  const xlm_graph *dump = NULL;
  xlm_compiled c = xlm_compile(arena, source, &o, &d, NULL, &dump);
  assert_int_equal(d.errors, 0);
  xlm_plan_check check = xlm_plan_verify(c.plan, arena);
  if (check.text) fail_msg("%s: %s", name, check.text);
}

static void test_models(void **state) {
  (void)state;
  static const char *const names[] = {"llama", "gpt2", "mixtral"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    verify_model(names[i], 1, true);
    verify_model(names[i], 3, true);
    verify_model(names[i], 1, false);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_sound, setup, teardown),
      cmocka_unit_test_setup_teardown(test_message_sizes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_message_missing, setup, teardown),
      cmocka_unit_test_setup_teardown(test_message_unread, setup, teardown),
      cmocka_unit_test_setup_teardown(test_message_tags, setup, teardown),
      cmocka_unit_test_setup_teardown(test_message_order, setup, teardown),
      cmocka_unit_test_setup_teardown(test_message_circle, setup, teardown),
      cmocka_unit_test_setup_teardown(test_collective_order, setup, teardown),
      cmocka_unit_test_setup_teardown(test_collective_orders_over_two_axes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_collective_missing, setup, teardown),
      cmocka_unit_test_setup_teardown(test_collective_attributes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_uneven, setup, teardown),
      cmocka_unit_test_setup_teardown(test_rows, setup, teardown),
      cmocka_unit_test_setup_teardown(test_unwritten, setup, teardown),
      cmocka_unit_test_setup_teardown(test_written_over, setup, teardown),
      cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
      cmocka_unit_test_setup_teardown(test_temporary_between_segments, setup, teardown),
      cmocka_unit_test_setup_teardown(test_outputs, setup, teardown),
      cmocka_unit_test_setup_teardown(test_eval_program, setup, teardown),
      cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
      cmocka_unit_test_setup_teardown(test_kinds_stand_for_ranks, setup, teardown),
      cmocka_unit_test_setup_teardown(test_large, setup, teardown),
      cmocka_unit_test_setup_teardown(test_models, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
