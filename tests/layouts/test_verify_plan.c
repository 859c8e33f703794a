// Verification of plans, communication: valid plans pass with every operation counted; each kind of error is
// found and reported with ranks, operations and model lines. The plans are built by hand.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/schedule/schedule.h"
#include "tests/layouts/hand_plan.h"

// ---- a pipeline of two stages with tp 2: F, B, step; what the tests then break ----

enum { TP = 1u << 1, ALL = 3, M = 4 };

typedef struct stage {
  hand_rank_plan *c;
  uint32_t f, b, step; // segments
  xlm_instr *in, *kept, *reduce, *out, *back_in, *back, *back_out, *norm;
} stage;

static void run_1f1b(hand_rank_plan *c, const uint32_t *segment, int stages, int at, int64_t microbatches) {
  xlm_schedule_plan *s;
  xlm_error err;
  assert_int_equal(xlm_schedule_make(arena, "1f1b", stages, 1, microbatches, &s, &err), XLM_OK);
  xlm_schedule_held held = xlm_schedule_slots(s, at, XLM_SEG_F, XLM_SEG_B, (uint64_t[]){64}, arena);
  c->n_slots = held.n;
  for (uint32_t i = 0; i < s->stage[at].n; i++)
    hand_run(c, segment[s->stage[at].at[i].kind], s->stage[at].at[i].microbatch, held.slot[i]);
}

static stage make_stage(hand_plan *h, int at, int stages) {
  stage s = {.c = hand_add(h)};
  hand_rank_plan *c = s.c;
  c->r.stage = (int16_t)at;
  uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 8), tokens = hand_tensor(c, "tokens", XLM_AREA_IO, 16);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_FB, 16), h1 = hand_tensor(c, "h", XLM_AREA_FB, 16);
  uint32_t y = hand_tensor(c, "y", XLM_AREA_TEMP, 16), g = hand_tensor(c, "g", XLM_AREA_TEMP, 16);
  uint32_t gx = hand_tensor(c, "gx", XLM_AREA_TEMP, 16), norm = hand_tensor(c, "norm", XLM_AREA_TEMP, 1);
  c->inputs[c->r.n_inputs++] = (xlm_plan_input){.name = "tokens", .tensor = {tokens}};
  bool first = at == 0, last = at == stages - 1;
  s.f = hand_segment(c, XLM_SEG_F);
  s.in = first ? hand_op(c, XLM_OP_LOOKUP, tokens, x, 10) : hand_message(c, XLM_OP_RECV, at - 1, 1, x, 20);
  s.kept = hand_op(c, XLM_OP_FUSED, x, h1, 21);
  s.reduce = hand_collective(c, XLM_OP_ALL_REDUCE, TP, hand_no_sizes, h1, y, 22);
  s.out = last ? NULL : hand_message(c, XLM_OP_SEND, at + 1, 1, y, 23);
  s.b = hand_segment(c, XLM_SEG_B);
  s.back_in = last ? hand_op(c, XLM_OP_FUSED, h1, g, 24) : hand_message(c, XLM_OP_RECV, at + 1, 2, g, 24);
  s.back = hand_op(c, XLM_OP_FUSED, h1, gx, 25);
  hand_collective(c, XLM_OP_ALL_REDUCE, TP, hand_no_sizes, g, gx, 26);
  s.back_out = first ? NULL : hand_message(c, XLM_OP_SEND, at - 1, 2, gx, 27);
  s.step = hand_segment(c, XLM_SEG_STEP);
  hand_op(c, XLM_OP_NORM_SQ, w, norm, 0);
  s.norm = hand_collective(c, XLM_OP_ALL_REDUCE, ALL, hand_no_sizes, norm, norm, 0);
  uint32_t segment[] = {s.f, s.b, s.b, s.step};
  run_1f1b(c, segment, stages, at, h->p.microbatches);
  return s;
}

static hand_plan *pipeline(stage s[2]) {
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"pp", "tp"}, (int32_t[]){2, 2}, M);
  for (int i = 0; i < 2; i++) s[i] = make_stage(h, i, 2);
  h->rank_plan_of[2] = h->rank_plan_of[3] = 1;
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
  hand_rank_plan *c = hand_add(alone);
  hand_segment(c, XLM_SEG_STEP);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4), y = hand_tensor(c, "y", XLM_AREA_TEMP, 4);
  hand_op(c, XLM_OP_CONST, 0, x, 1);
  hand_collective(c, XLM_OP_ALL_REDUCE, 0, hand_no_sizes, x, y, 2); // a group of one
  hand_run(c, 0, -1, 0);
  assert_sound(alone, 0);
}

// ---- messages ----

static void test_message_sizes(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = pipeline(s);
  ((uint32_t *)(uintptr_t)s[1].in->out)[0] = hand_tensor(s[1].c, "smaller", XLM_AREA_FB, 8);
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
  s[0].out->op = XLM_OP_FUSED;
  assert_refused(h, WORDS("in `recv`", "(m.xlm:20)", "F of microbatch 0", "tag 1", "waits for"));
  h = pipeline(s); // the message of the last microbatch only
  s[0].c->r.n_schedule -= 3;
  s[0].c->runs[s[0].c->r.n_schedule - 1] = (xlm_segment_run){s[0].step, -1, {-1, -1, -1}};
  assert_refused(h, WORDS("waits for"));
}

static void test_message_unread(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = pipeline(s);
  hand_message(s[1].c, XLM_OP_SEND, 0, 9, s[1].norm->out[0], 31); // in the step, which is the last segment
  assert_refused(h, WORDS("rank 2 (pp 1, tp 0) sends `send` of block (m.xlm:31) in step (tag 9) to rank 0 "
                          "(pp 0, tp 0), which "
                          "ends without receiving it"));
}

static void test_message_tags(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"pp"}, (int32_t[]){2}, 1);
  for (int i = 0; i < 2; i++) {
    hand_rank_plan *c = s[i].c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_STEP);
    if (i == 0) hand_op(c, XLM_OP_CONST, 0, x, 1);
    hand_message(c, i ? XLM_OP_RECV : XLM_OP_SEND, 1 - i, i ? 5 : 4, x, (uint32_t)i + 2);
    hand_run(c, 0, -1, 0);
  }
  h->rank_plan_of[1] = 1;
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
    hand_rank_plan *c = s[i].c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_F);
    if (i == 0) hand_op(c, XLM_OP_CONST, 0, x, 1);
    hand_message(c, i ? XLM_OP_RECV : XLM_OP_SEND, 1 - i, 4, x, (uint32_t)i + 2);
    for (int m = 0; m < 2; m++) hand_run(c, 0, i ? 1 - m : m, 0);
  }
  h->rank_plan_of[1] = 1;
  assert_refused(h, WORDS("F of microbatch 0 would be received by", "F of microbatch 1, another microbatch"));
}

static void test_message_circle(void **state) { // both receive before they send
  (void)state;
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"pp", "dp"}, (int32_t[]){2, 3}, 1);
  for (int i = 0; i < 2; i++) {
    hand_rank_plan *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_STEP);
    hand_message(c, XLM_OP_RECV, 1 - i, 4, x, (uint32_t)i + 2);
    hand_message(c, XLM_OP_SEND, 1 - i, 4, x, (uint32_t)i + 4);
    hand_run(c, 0, -1, 0);
    for (int k = 0; k < 3; k++) h->rank_plan_of[i * 3 + k] = (uint32_t)i;
  }
  assert_refused(h, WORDS("wait for each other forever", "rank 0 (pp 0, dp 0) in `recv` of block (m.xlm:2)",
                          "waits for rank 3 (pp 1, dp 0)", "rank 3 (pp 1, dp 0) in `recv` of block (m.xlm:3)",
                          "waits for rank 0"));
}

// ---- collectives ----

// One rank plan per rank along tp; ops[i] is the program of rank i: letters r (all_reduce over tp), g
// (all_gather over tp), d (all_reduce over dp), a line each.
static hand_plan *collectives(int dp, const char *const *ops, const uint32_t *const *lines, int n) {
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"dp", "tp"}, (int32_t[]){dp, n}, 1);
  for (int i = 0; i < n; i++) {
    hand_rank_plan *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_STATE, 12), y = hand_tensor(c, "y", XLM_AREA_TEMP, 12);
    uint32_t all = hand_tensor(c, "all", XLM_AREA_TEMP, 12 * n);
    hand_segment(c, XLM_SEG_STEP);
    for (int k = 0; ops[i][k]; k++)
      hand_collective(c, ops[i][k] == 'g' ? XLM_OP_ALL_GATHER : XLM_OP_ALL_REDUCE, ops[i][k] == 'd' ? 1 : 2,
                      hand_no_sizes, x, ops[i][k] == 'g' ? all : y, lines[i][k]);
    hand_run(c, 0, -1, 0);
    for (int k = 0; k < dp; k++) h->rank_plan_of[k * n + i] = (uint32_t)i;
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
    hand_rank_plan *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_STATE, 12), y = hand_tensor(c, "y", XLM_AREA_TEMP, 12);
    hand_segment(c, XLM_SEG_STEP);
    for (int k = 0; k < 2; k++)
      hand_collective(c, XLM_OP_ALL_REDUCE, k == i ? 1 : 2, hand_no_sizes, x, y, (uint32_t)(k == i ? 5 : 6));
    hand_run(c, 0, -1, 0);
  }
  h->rank_plan_of[1] = h->rank_plan_of[2] = 1; // tp partners differ, and dp partners differ
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
  hand_attr(&h->rank_plan[1]->instrs[0], (xlm_attr){.key = XLM_A_kind, .i = XLM_REDUCTION_MAX});
  assert_refused(h, WORDS("rank 0", "rank 1", "reductions differ"));
  h = collectives(1, WORDS("r", "r"), both, 2);
  h->rank_plan[1]->instrs[0].variant = "oneshot";
  assert_refused(h, WORDS("rank 0", "rank 1", "kernel variants differ"));
  h = collectives(1, WORDS("r", "r"), both, 2);
  h->rank_plan[1]->dims[1].size = 13, h->rank_plan[1]->tensors[1].bytes += 4;
  assert_refused(h, WORDS("gives 12 elements", "gives 13", "must be equal"));
  h = collectives(1, WORDS("r", "r"), both, 2);
  h->rank_plan[1]->tensors[1].type.dtype = XLM_BF16;
  assert_refused(h, WORDS("element types differ"));
  h = collectives(1, WORDS("g", "g"), both, 2);
  hand_attr(&h->rank_plan[1]->instrs[0], (xlm_attr){.key = XLM_A_sizes, .n = 2, .ints = (int64_t[]){12, 12}});
  assert_refused(h, WORDS("lists of sizes differ"));
  h = collectives(1, WORDS("r", "r"), both, 2);
  ((xlm_attr *)(uintptr_t)h->rank_plan[1]->instrs[0].attrs.at)[0].i = 4;
  assert_refused(h, WORDS("rank 1 (tp 1)", "axes 4 are not all in the mesh"));
}

// ---- uneven sizes: 25 heads over tp 4, 3 copies over dp ----

typedef struct uneven {
  xlm_op_id op;
  xlm_ints sizes;
  int64_t in[4], out[4];
} uneven;

static hand_plan *uneven_plan(uneven u) {
  hand_plan *h = hand_plan_new(arena, 2, (const char *[]){"dp", "tp"}, (int32_t[]){3, 4}, 1);
  for (int i = 0; i < 2; i++) { // the first of tp, and the others
    hand_rank_plan *c = hand_add(h);
    uint32_t x = hand_tensor(c, "x", XLM_AREA_STATE, u.in[i]),
             y = hand_tensor(c, "y", XLM_AREA_TEMP, u.out[i]);
    hand_segment(c, XLM_SEG_STEP);
    hand_collective(c, u.op, 2, u.sizes, x, y, 3);
    hand_run(c, 0, -1, 0);
  }
  for (int r = 0; r < 12; r++) h->rank_plan_of[r] = r % 4 != 0;
  return h;
}

static void test_uneven(void **state) {
  (void)state;
  xlm_ints sizes = HAND_SIZES(7, 6, 6, 6), both = HAND_SIZES(7, 6, 6, 6, 2, 1, 1, 1);
  assert_sound(uneven_plan((uneven){XLM_OP_ALL_GATHER, sizes, {70, 60}, {250, 250}}), 12);
  assert_sound(uneven_plan((uneven){XLM_OP_REDUCE_SCATTER, sizes, {250, 250}, {70, 60}}), 12);
  assert_sound(
      uneven_plan((uneven){XLM_OP_ALL_TO_ALL, both, {7 * 5 * 3, 6 * 5 * 3}, {25 * 2 * 3, 25 * 1 * 3}}), 12);
  assert_sound(uneven_plan((uneven){XLM_OP_ALL_REDUCE, hand_no_sizes, {9, 9}, {9, 9}}), 12);
  assert_sound(uneven_plan((uneven){XLM_OP_ALL_GATHER, HAND_SIZES(25, 0, 0, 0), {250, 0}, {250, 250}}), 12);
  assert_refused(uneven_plan((uneven){XLM_OP_ALL_GATHER, sizes, {70, 70}, {250, 250}}),
                 WORDS("rank 1 (dp 0, tp 1) in `all_gather` over tp",
                       "gives 70 elements where the other members expect 60"));
  assert_refused(uneven_plan((uneven){XLM_OP_ALL_GATHER, sizes, {70, 60}, {250, 240}}),
                 WORDS("rank 1", "takes 240", "expect 250"));
  assert_refused(uneven_plan((uneven){XLM_OP_REDUCE_SCATTER, sizes, {250, 250}, {70, 70}}),
                 WORDS("rank 1", "takes 70", "expect 60"));
  assert_refused(uneven_plan((uneven){XLM_OP_ALL_TO_ALL, both, {105, 90}, {150, 80}}),
                 WORDS("rank 1", "takes 80", "expect 75"));
  assert_refused(uneven_plan((uneven){XLM_OP_ALL_GATHER, HAND_SIZES(7, 6, 6), {70, 60}, {250, 250}}),
                 WORDS("`sizes` lists 3", "4 members have 4"));
  assert_refused(uneven_plan((uneven){XLM_OP_ALL_TO_ALL, sizes, {70, 60}, {70, 60}}),
                 WORDS("`sizes` lists 4", "4 members have 8"));
}

static const int64_t two_and_one[] = {2, 1};

static void
test_rows(void **state) { // 3 experts over 2 owners: home [3, 8, 5], owner [2, 16, 5] and [1, 16, 5]
  (void)state;
  for (int broken = 0; broken < 3; broken++)
    for (int back = 0; back < 2; back++) {
      hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"ep"}, (int32_t[]){2}, 1);
      for (int i = 0; i < 2; i++) {
        hand_rank_plan *c = hand_add(h);
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
        hand_collective(c, back ? XLM_OP_COLLECT_ROWS : XLM_OP_SEND_ROWS, 1, (xlm_ints){2, two_and_one},
                        back ? y : x, back ? x : y, 4);
        hand_run(c, 0, -1, 0);
      }
      h->rank_plan_of[1] = 1;
      if (!broken) assert_sound(h, 2);
      if (broken == 1) assert_refused(h, WORDS("rank 1", "3 experts, 2 of its own", "3 and 1"));
      if (broken == 2) assert_refused(h, WORDS("rows have another length"));
    }
}

// ---- malformed tables ----

static void test_tables(void **state) {
  (void)state;
  stage s[2];
  hand_plan *h = pipeline(s);
  h->p.n_ranks = 3;
  assert_refused(h, WORDS("3 ranks and its mesh has another number"));
  h = pipeline(s);
  h->rank_plan_of[3] = 2;
  assert_refused(h, WORDS("rank 3 has plan 2, which does not exist"));
  h = pipeline(s);
  ((uint32_t *)(uintptr_t)s[1].kept->in)[0] = 400;
  assert_refused(h, WORDS("rank 2 (pp 1, tp 0): instruction 1 refers to tensors that do not exist"));
  h = pipeline(s);
  s[0].c->tensors[5].offset = 1 << 20;
  assert_refused(h, WORDS("`y` (64 bytes at 1048576) extends beyond its area"));
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
  assert_refused(h, WORDS("`w` and `w2` overlap"));
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
      cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
