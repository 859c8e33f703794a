// Verification of plans: the flow of values through memory; few simulated ranks suffice; plans of 16,384
// ranks; plans of the shipped models, as compiled and with one instruction broken.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/parse/ast.h"
#include "compiler/driver/compile.h"
#include "compiler/parse/load.h"
#include "compiler/schedule/schedule.h"
#include "runtime/device/kernel.h"
#include "runtime/plan/streams.h"
#include "tests/layouts/hand_plan.h"
#include "tests/here.h"

// ---- the flow of values ----

static hand_plan *one_rank(hand_rank_plan **c, int64_t microbatches) {
  hand_plan *h = hand_plan_new(arena, 0, NULL, NULL, microbatches);
  *c = hand_add(h);
  return h;
}

static void test_unwritten(void **state) {
  (void)state;
  hand_rank_plan *c;
  hand_plan *h = one_rank(&c, 1);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 4), y = hand_tensor(c, "y", XLM_AREA_TEMP, 4);
  c->tensors[x].line = 8;
  hand_segment(c, XLM_SEG_F);
  hand_op(c, XLM_OP_FUSED, x, y, 9);
  hand_run(c, 0, 0, 0);
  assert_refused(h, WORDS("rank 0: in F of microbatch 0 `fused` of block (m.xlm:9) reads `x` (m.xlm:8), "
                          "which was not written before"));
  c->inputs[c->r.n_inputs++] = (xlm_plan_input){.name = "x", .tensor = {x}}; // now somebody feeds it
  assert_sound(h, 0);
}

static void test_written_over(void **state) {
  (void)state;
  hand_rank_plan *c;
  hand_plan *h = one_rank(&c, 1);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 32), y = hand_tensor(c, "y", XLM_AREA_TEMP, 16);
  uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4);
  hand_segment(c, XLM_SEG_F);
  hand_op(c, XLM_OP_FUSED, w, x, 1);
  xlm_instr *writes = hand_op(c, XLM_OP_FUSED, w, y, 2);
  hand_op(c, XLM_OP_FUSED, x, w, 3);
  hand_run(c, 0, 0, 0);
  assert_sound(h, 0);
  c->tensors[y].offset = 64; // the second half of x
  assert_refused(h, WORDS("(m.xlm:3) reads `x`, but `fused` of block (m.xlm:2) has written `y` over it"));
  c->tensors[y].offset = 128;
  assert_sound(h, 0);
  writes->workspace = 64, writes->workspace_at = 64;
  assert_refused(h, WORDS("(m.xlm:3) reads `x`", "(m.xlm:2) has written its workspace over it"));
  writes->workspace_at = 128;
  assert_refused(h, WORDS("the workspace of `fused` of block (m.xlm:2) lies over `y`"));
  writes->workspace = 0;
  h = one_rank(&c, 1); // a result over its operand, unless made in place
  x = hand_tensor(c, "x", XLM_AREA_TEMP, 32), y = hand_tensor(c, "y", XLM_AREA_TEMP, 16);
  uint32_t z = hand_view(c, "z", x);
  hand_segment(c, XLM_SEG_F);
  hand_op(c, XLM_OP_CONST, 0, x, 1);
  xlm_instr *over = hand_op(c, XLM_OP_FUSED, x, y, 2);
  hand_run(c, 0, 0, 0);
  assert_sound(h, 0);
  c->tensors[y].offset = 0;
  assert_refused(h, WORDS("the result `y` of `fused` of block (m.xlm:2) overlaps its operand `x`"));
  c->tensors[y].offset = 128;
  ((uint32_t *)(uintptr_t)over->out)[0] = z;
  hand_op(c, XLM_OP_FUSED, z, y, 3);
  assert_sound(h, 0);
  hand_op(c, XLM_OP_FUSED, x, y, 4); // overwritten in place
  assert_refused(h, WORDS("(m.xlm:4) reads `x`, but `fused` of block (m.xlm:2) has written `z` over it"));
}

static hand_plan *slots(hand_rank_plan **c, int64_t microbatches) { // F keeps x for B
  hand_plan *h = one_rank(c, microbatches);
  uint32_t w = hand_tensor(*c, "w", XLM_AREA_STATE, 4);
  uint32_t x = hand_tensor(*c, "x", XLM_AREA_FB, 4), v = hand_view(*c, "v", x),
           y = hand_tensor(*c, "y", XLM_AREA_TEMP, 4);
  hand_segment(*c, XLM_SEG_F);
  hand_op(*c, XLM_OP_FUSED, w, x, 1);
  hand_segment(*c, XLM_SEG_B);
  hand_op(*c, XLM_OP_FUSED, v, y, 2);
  (*c)->n_slots = 2;
  return h;
}

static void test_slots(void **state) {
  (void)state;
  hand_rank_plan *c;
  hand_plan *h = slots(&c, 2);
  static const xlm_segment_run good[] = {
      {0, 0, {0, -1, -1}}, {0, 1, {1, -1, -1}}, {1, 0, {0, -1, -1}}, {1, 1, {1, -1, -1}}};
  for (int i = 0; i < 4; i++) hand_run(c, good[i].segment, good[i].microbatch, good[i].slot[0]);
  assert_sound(h, 0);
  c->runs[1].slot[0] = c->runs[3].slot[0] = 0; // both in one slot
  assert_refused(
      h,
      WORDS("in B of microbatch 0 `fused` of block (m.xlm:2) reads `v`, which F of microbatch 1 wrote last"));
  c->runs[1].slot[0] = 1;
  c->runs[3].slot[0] = 0; // the wrong slot
  assert_refused(h, WORDS("in B of microbatch 1", "reads `v`, which F of microbatch 0 wrote last"));
  c->runs[3].slot[0] = 2;
  assert_refused(h, WORDS("entry 4 of the schedule names a segment, slot or microbatch that does not exist"));
  c->runs[3].slot[0] = 1;
  c->runs[1] = c->runs[0]; // F of microbatch 1 never ran
  assert_refused(h, WORDS("in B of microbatch 1", "which was not written before"));
}

static void test_temporary_between_segments(void **state) { // another microbatch's F writes over it
  (void)state;
  hand_rank_plan *c;
  hand_plan *h = slots(&c, 2);
  c->tensors[2].area = c->tensors[3].area = XLM_AREA_TEMP;
  c->tensors[4].offset = 64;
  c->r.area_bytes[XLM_AREA_TEMP] = 128;
  static const xlm_segment_run good[] = {
      {0, 0, {0, -1, -1}}, {1, 0, {0, -1, -1}}, {0, 1, {0, -1, -1}}, {1, 1, {0, -1, -1}}};
  for (int i = 0; i < 4; i++) hand_run(c, good[i].segment, good[i].microbatch, good[i].slot[0]);
  assert_sound(h, 0);
  c->runs[1] = good[2], c->runs[2] = good[1];
  assert_refused(h, WORDS("in B of microbatch 0", "which F of microbatch 1 wrote last"));
}

static void test_outputs(void **state) {
  (void)state;
  hand_rank_plan *c;
  hand_plan *h = one_rank(&c, 1);
  uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4), loss = hand_tensor(c, "loss", XLM_AREA_IO, 1);
  uint32_t other = hand_tensor(c, "logits", XLM_AREA_TEMP, 4);
  hand_segment(c, XLM_SEG_F);
  hand_op(c, XLM_OP_FUSED, w, loss, 1);
  hand_segment(c, XLM_SEG_EVAL);
  hand_op(c, XLM_OP_FUSED, w, other, 2);
  c->r.segment_of[XLM_PROGRAM_EVAL] = 1;
  hand_run(c, 0, 0, 0);
  c->outputs[c->r.n_outputs++] = (xlm_plan_output){.name = "loss", .tensor = loss};
  c->outputs[c->r.n_outputs++] =
      (xlm_plan_output){.name = "logits", .program = XLM_PROGRAM_EVAL, .tensor = other};
  assert_sound(h, 0);
  c->outputs[1].program = XLM_PROGRAM_TRAIN;
  assert_refused(h, WORDS("the end of the step", "outputs reads `logits`, which was not written before"));
}

static void check_program(xlm_program_id program, xlm_segment_kind kind) {
  hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"pp"}, (int32_t[]){2}, 1);
  xlm_instr *send = NULL;
  for (int i = 0; i < 2; i++) {
    hand_rank_plan *c = hand_add(h);
    uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4);
    hand_segment(c, kind);
    c->r.segment_of[program] = 0;
    xlm_instr *in = hand_message(c, i ? XLM_OP_RECV : XLM_OP_SEND, 1 - i, 0, w, 3 + (uint32_t)i);
    if (!i) send = in;
  }
  h->rank_plan_of[1] = 1;
  assert_sound(h, 2);
  send->op = XLM_OP_FUSED;
  assert_refused(h, WORDS("rank 1 (pp 1) in `recv` of block (m.xlm:4)", xlm_segment_name(kind),
                          "tag 0, waits for rank 0"));
  send->op = XLM_OP_SEND;
  h->rank_plan[0]->r.segment_of[program] = -1;
  assert_refused(h, WORDS("waits for rank 0 (pp 0), which ends without sending it a message"));
  h->rank_plan[0]->r.segment_of[XLM_PROGRAM_TRAIN] = 0;
  assert_refused(h, WORDS("segment 0 is not the program `train`"));
}

static void test_programs(void **state) { // the segments that are programs of their own
  (void)state;
  check_program(XLM_PROGRAM_EVAL, XLM_SEG_EVAL);
  check_program(XLM_PROGRAM_PREFILL, XLM_SEG_PREFILL);
  check_program(XLM_PROGRAM_DECODE, XLM_SEG_DECODE);
  check_program(XLM_PROGRAM_ENCODE, XLM_SEG_ENCODE);
}

// ---- one rank per kind suffices ----

static uint32_t next(uint32_t *seed, uint32_t below) {
  *seed = *seed * 1664525u + 1013904223u;
  return (*seed >> 8) % below;
}

// Each stage and first-or-other along tp has a rank plan; communication over random axes; then a few things
// are broken.
static hand_plan *random_plan(uint32_t *seed) {
  hand_plan *h = hand_plan_new(arena, 3, (const char *[]){"pp", "dp", "tp"}, (int32_t[]){2, 3, 3}, 2);
  uint32_t program[6], n = 1 + next(seed, 6);
  for (uint32_t k = 0; k < n; k++) program[k] = 1 + next(seed, 7); // axes; 7 with all stages
  for (int i = 0; i < 4; i++) {
    hand_rank_plan *c = hand_add(h);
    uint32_t w = hand_tensor(c, "w", XLM_AREA_STATE, 4), y = hand_tensor(c, "y", XLM_AREA_TEMP, 4);
    hand_segment(c, XLM_SEG_F);
    if (i / 2) hand_message(c, XLM_OP_RECV, 0, 3, y, 50);
    for (uint32_t k = 0; k < n; k++)
      hand_collective(c, XLM_OP_ALL_REDUCE, program[k] & 6, hand_no_sizes, w, y, 60 + k);
    if (!(i / 2)) hand_message(c, XLM_OP_SEND, 1, 3, w, 51);
    hand_segment(c, XLM_SEG_STEP);
    for (uint32_t k = 0; k < n; k++)
      hand_collective(c, XLM_OP_ALL_REDUCE, program[k], hand_no_sizes, w, y, 70 + k);
    hand_run(c, 0, 0, 0);
    hand_run(c, 0, 1, 0);
    hand_run(c, 1, -1, 0);
    for (uint32_t breaks = next(seed, 3); i == 1 && breaks; breaks--) {
      uint32_t a = next(seed, c->r.n_instrs), b = next(seed, c->r.n_instrs);
      xlm_instr t = c->instrs[a];
      c->instrs[a] = c->instrs[b], c->instrs[b] = t;
    }
  }
  for (uint32_t r = 0; r < 18; r++) h->rank_plan_of[r] = r / 9 * 2 + (r % 3 != 0);
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
    memcpy(shared, h->rank_plan_of, sizeof shared);
    for (uint32_t r = 0; r < 18; r++) { // every rank has a rank plan of its own, so every rank is simulated
      h->list[4 + r] = &h->rank_plan[shared[r]]->r;
      h->rank_plan_of[r] = 4 + r;
    }
    h->p.n_rank_plans = 4 + 18;
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
static void add_part(hand_rank_plan *c, int part, int parts, uint32_t x, uint32_t y, bool forward) {
  int from = forward ? part - 1 : part + 1, to = forward ? part + 1 : part - 1, kind = forward ? 0 : parts;
  hand_segment(c, forward ? XLM_SEG_F : XLM_SEG_B);
  if (from >= 0 && from < parts)
    hand_message(c, XLM_OP_RECV, from % PP, kind + part, x, 1);
  else
    hand_op(c, XLM_OP_FUSED, y, x, 1);
  for (int i = 0; i < LAYER_OPS; i++)
    hand_collective(c, XLM_OP_ALL_REDUCE, 4, hand_no_sizes, x, x, 2 + (uint32_t)i);
  if (to >= 0 && to < parts) hand_message(c, XLM_OP_SEND, to % PP, kind + to, x, 20);
}

static void add_large_stage(hand_plan *h, const xlm_schedule_plan *s, int at, int64_t gathered) {
  hand_rank_plan *c = hand_add(h);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_TEMP, 64), y = hand_tensor(c, "y", XLM_AREA_STATE, gathered);
  uint32_t all = hand_tensor(c, "all", XLM_AREA_TEMP, 57 * DP);
  for (int k = 0; k < CHUNKS; k++)
    for (int forward = 1; forward >= 0; forward--) add_part(c, k * PP + at, PP * CHUNKS, x, y, forward);
  hand_segment(c, XLM_SEG_STEP);
  hand_op(c, XLM_OP_FUSED, y, x, 30);
  hand_collective(c, XLM_OP_ALL_REDUCE, 7, hand_no_sizes, x, x, 31);
  (void)all;
  static const uint64_t bytes[CHUNKS] = {[0 ... CHUNKS - 1] = 64};
  xlm_schedule_held held = xlm_schedule_slots(s, at, XLM_SEG_F, XLM_SEG_B, bytes, arena);
  c->n_slots = held.n;
  for (uint32_t i = 0; i < s->stage[at].n; i++) {
    xlm_pipeline_action e = s->stage[at].at[i];
    hand_run(c, e.kind == XLM_SEG_STEP ? 2 * CHUNKS : 2 * (uint32_t)e.chunk + (e.kind == XLM_SEG_B),
             e.microbatch, held.slot[i]);
  }
}

static void test_large(void **state) { // 16,384 ranks, two kinds per stage
  (void)state;
  hand_plan *h = hand_plan_new(arena, 3, (const char *[]){"pp", "dp", "tp"}, (int32_t[]){PP, DP, WIDE}, MANY);
  xlm_schedule_plan *s;
  xlm_error err;
  assert_int_equal(xlm_schedule_make(arena, "interleaved", PP, CHUNKS, MANY, &s, &err), XLM_OK);
  for (int at = 0; at < PP; at++)
    for (int k = 0; k < 2; k++) add_large_stage(h, s, at, 64 + k);
  for (uint32_t r = 0; r < h->p.n_ranks; r++) h->rank_plan_of[r] = r / (DP * WIDE) * 2 + (r % WIDE > 2);
  int64_t ranks = PP * DP * WIDE, parts = PP * CHUNKS, columns = DP * WIDE;
  assert_sound(h, ranks * (2 * CHUNKS * MANY * LAYER_OPS + 1) + columns * 2 * 2 * (parts - 1) * MANY);
  h->rank_plan[7]->instrs[3].line = 99; // one rank plan of one stage
  assert_refused(h, WORDS("(pp 3, dp 0, tp 0)", "(pp 3, dp 0, tp 3)", "(m.xlm:99)"));
}

// ---- plans of the shipped models ----

typedef struct layout {
  const char *model;
  int64_t microbatches;
  const char *schedule;
  int chunks, zero, n;
  const char *axis[4];
  int32_t size[4];
} layout;

static const xlm_plan *compile(const layout *l, bool train) {
  char path[512];
  snprintf(path, sizeof path, "%s/models/%s.xlm", XLM_SOURCE_DIR, l->model);
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  char *text = XLM_NEW_N(arena, char, 1 << 20);
  size_t n = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  const xlm_source *source = xlm_source_load(arena, xlm_arena_strdup(arena, path), text, n);
  xlm_diags d;
  xlm_diags_init(&d, arena, source);
  xlm_compile_options o = xlm_compile_defaults();
  static const xlm_set sets[] = {{"layers", "4"}};
  o.settings.sets = sets, o.settings.n_sets = 1;
  o.settings.batch = 8, o.settings.seq = 16;
  o.train.microbatches = l->microbatches;
  o.programs = XLM_WITH_EVAL | (train ? XLM_WITH_TRAIN : 0);
  o.schedule = l->schedule, o.chunks = l->chunks, o.zero = l->zero;
  plan_for_here(&o, "cpu", 1);
  o.mesh.n = (uint8_t)l->n;
  for (int i = 0; i < l->n; i++) o.mesh.axis[i] = l->axis[i], o.mesh.size[i] = l->size[i];
  const xlm_graph *dump = NULL;
  xlm_compiled c = xlm_compile(arena, source, &o, &d, NULL, &dump);
  if (d.errors) fail_msg("%s: %s", l->model, d.at[0].text);
  return c.plan;
}

static void assert_plan_sound(const xlm_plan *p) {
  xlm_plan_check check = xlm_plan_verify(p, arena);
  if (check.text) fail_msg("%s: %s", p->model, check.text);
}

static void test_models(void **state) {
  (void)state;
  static const layout layouts[] = {
      {.model = "llama", .microbatches = 1},
      {.model = "llama", .microbatches = 3},
      {.model = "gpt2", .microbatches = 2},
      {.model = "mixtral", .microbatches = 2},
      {"llama", 2, "1f1b", 1, 3, 2, {"dp", "tp"}, {2, 2}},
      {"llama", 4, "zb-h1", 1, 0, 2, {"pp", "tp"}, {2, 5}},
      {"llama", 4, "interleaved", 2, 1, 3, {"pp", "dp", "tp"}, {2, 2, 2}},
      {"gpt2", 4, "gpipe", 1, 0, 2, {"pp", "tp"}, {4, 2}},
      {"mixtral", 4, "1f1b", 1, 0, 4, {"pp", "dp", "ep", "tp"}, {2, 2, 4, 2}},
  };
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
    assert_plan_sound(compile(&layouts[i], true));
    assert_plan_sound(compile(&layouts[i], false));
  }
}

static bool communicates(xlm_op_id op) {
  return xlm_stream_of(op) == XLM_STREAM_COMM;
}

// Every communication of one rank plan omitted in turn: always invalid, as its partners have other rank
// plans.
static void test_models_broken(void **state) {
  (void)state;
  static const layout l = {"llama", 2, "1f1b",       1,
                           0,       2, {"pp", "tp"}, {2, 5}}; // 12 heads: two classes per stage
  const xlm_plan *p = compile(&l, true);
  assert_true(p->n_rank_plans >= 4);
  int broken = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_instrs; i++) {
      xlm_instr *in = (xlm_instr *)(uintptr_t)&p->rank_plans[c]->instrs[i];
      xlm_op_id op = in->op;
      if (!communicates(op)) continue;
      in->op = XLM_OP_FUSED;
      xlm_plan_check check = xlm_plan_verify(p, arena);
      if (!check.text)
        fail_msg("rank plan %u without `%s` at line %u is found sound", c, xlm_op_name(op), in->line);
      in->op = op;
      broken++;
    }
  assert_true(broken > 100);
  assert_plan_sound(p);
}

// Every result of an instruction omitted in turn: detected, unless it is unused or a state.
static void test_models_forgetful(void **state) {
  (void)state;
  static const layout l = {"llama", 2, "1f1b", 1, 0, 2, {"pp", "tp"}, {2, 2}};
  const xlm_plan *p = compile(&l, true);
  const xlm_rank_plan *r = p->rank_plans[0];
  bool *read = XLM_NEW_N(arena, bool, r->n_tensors);
  for (uint32_t i = 0; i < r->n_instrs; i++)
    for (int k = 0; k < r->instrs[i].n_in; k++)
      for (uint32_t t = r->instrs[i].in[k]; t && !read[t]; t = r->tensors[t].view_of) read[t] = true;
  int found = 0;
  for (uint32_t i = 0; i < r->n_instrs; i++) {
    xlm_instr *in = (xlm_instr *)(uintptr_t)&r->instrs[i];
    if (in->n_out != 1 || !read[in->out[0]] || r->tensors[in->out[0]].area == XLM_AREA_STATE ||
        communicates(in->op))
      continue;
    const xlm_tensor *out = &r->tensors[in->out[0]];
    if (out->view_of) continue; // made in place: who reads it would then read the operand
    in->n_out = 0;
    xlm_plan_check check = xlm_plan_verify(p, arena);
    if (!check.text)
      fail_msg("`%s` at line %u without its result is found sound", xlm_op_name(in->op), in->line);
    in->n_out = 1;
    found++;
  }
  assert_true(found > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_unwritten, setup, teardown),
      cmocka_unit_test_setup_teardown(test_written_over, setup, teardown),
      cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
      cmocka_unit_test_setup_teardown(test_temporary_between_segments, setup, teardown),
      cmocka_unit_test_setup_teardown(test_outputs, setup, teardown),
      cmocka_unit_test_setup_teardown(test_programs, setup, teardown),
      cmocka_unit_test_setup_teardown(test_kinds_stand_for_ranks, setup, teardown),
      cmocka_unit_test_setup_teardown(test_large, setup, teardown),
      cmocka_unit_test_setup_teardown(test_models, setup, teardown),
      cmocka_unit_test_setup_teardown(test_models_broken, setup, teardown),
      cmocka_unit_test_setup_teardown(test_models_forgetful, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
