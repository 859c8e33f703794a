// Plans built by hand, for tests of code that reads plans.
#ifndef XLM_TESTS_HAND_PLAN_H
#define XLM_TESTS_HAND_PLAN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/verify/verify_plan.h"
#include "runtime/plan/mesh.h"

enum { HAND_MOST = 512 };

typedef struct hand_rank_plan { // a rank plan with room
  xlm_rank_plan r;
  xlm_dim_info dims[HAND_MOST];
  xlm_tensor tensors[HAND_MOST];
  xlm_instr instrs[HAND_MOST];
  xlm_segment segments[HAND_MOST];
  uint64_t slot_bytes; // slots of the area FB
  int32_t n_slots;
  xlm_segment_run *runs;
  uint32_t cap_runs;
  xlm_plan_output outputs[8];
  xlm_plan_input inputs[8];
  xlm_arena *arena;
} hand_rank_plan;

typedef struct hand_plan {
  xlm_plan p;
  hand_rank_plan *rank_plan[HAND_MOST];
  const xlm_rank_plan *list[HAND_MOST];
  uint32_t *rank_plan_of;
  xlm_arena *arena;
} hand_plan;

static inline hand_rank_plan *hand_rank_plan_new(xlm_arena *a) {
  hand_rank_plan *c = XLM_NEW(a, hand_rank_plan);
  c->arena = a;
  c->r = (xlm_rank_plan){.n_dims = 1,
                         .n_tensors = 1,
                         .dims = c->dims,
                         .tensors = c->tensors,
                         .instrs = c->instrs,
                         .segments = c->segments,
                         .outputs = c->outputs,
                         .inputs = c->inputs,
                         .segment_of = {-1, -1, -1, -1, -1}};
  c->n_slots = 1;
  c->dims[0].name = "", c->tensors[0].name = "";
  return c;
}

// f32[n] behind the other tensors of its area.
static inline uint32_t hand_tensor(hand_rank_plan *c, const char *name, xlm_area area, int64_t n) {
  xlm_dim d = c->r.n_dims++;
  c->dims[d] = (xlm_dim_info){.name = name, .size = n, .full = n};
  uint64_t *end = area == XLM_AREA_FB ? &c->slot_bytes : &c->r.area_bytes[area];
  c->tensors[c->r.n_tensors] = (xlm_tensor){.name = name,
                                            .type = {.dtype = XLM_F32, .rank = 1, .dim = {d}},
                                            .area = area,
                                            .offset = *end,
                                            .bytes = (uint64_t)n * 4};
  *end += ((uint64_t)n * 4 + 63) / 64 * 64;
  return c->r.n_tensors++;
}

static inline uint32_t hand_view(hand_rank_plan *c, const char *name, uint32_t of) {
  c->tensors[c->r.n_tensors] = c->tensors[of];
  c->tensors[c->r.n_tensors].name = name;
  c->tensors[c->r.n_tensors].view_of = of;
  return c->r.n_tensors++;
}

static inline uint32_t hand_segment(hand_rank_plan *c, xlm_segment_kind kind) {
  c->segments[c->r.n_segments] = (xlm_segment){.kind = kind, .first = c->r.n_instrs};
  return c->r.n_segments++;
}

// In the last segment; operand or result 0 = none.
static inline xlm_instr *hand_op(hand_rank_plan *c, xlm_op_id op, uint32_t in, uint32_t out, uint32_t line) {
  uint32_t *list = XLM_NEW_N(c->arena, uint32_t, 2);
  list[0] = in, list[1] = out;
  xlm_instr *i = &c->instrs[c->r.n_instrs++];
  *i = (xlm_instr){.op = op,
                   .n_in = in != 0,
                   .n_out = out != 0,
                   .in = list,
                   .out = list + 1,
                   .line = line,
                   .scope = "block"};
  i->attrs.at = XLM_NEW_N(c->arena, xlm_attr, 4);
  c->segments[c->r.n_segments - 1].n++;
  return i;
}

static inline void hand_attr(xlm_instr *i, xlm_attr a) {
  xlm_attr *at = (xlm_attr *)(uintptr_t)i->attrs.at;
  int n = i->attrs.n++;
  for (; n > 0 && at[n - 1].key > a.key; n--) at[n] = at[n - 1];
  at[n] = a;
}

#define HAND_SIZES(...)                                                                                      \
  (xlm_ints) {                                                                                               \
    sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]) {                                        \
      __VA_ARGS__                                                                                            \
    }                                                                                                        \
  }
static const xlm_ints hand_no_sizes;

// The sizes must live as long as the plan.
static inline xlm_instr *hand_collective(hand_rank_plan *c, xlm_op_id op, uint32_t axes, xlm_ints sizes,
                                         uint32_t in, uint32_t out, uint32_t line) {
  xlm_instr *i = hand_op(c, op, in, out, line);
  hand_attr(i, (xlm_attr){.key = XLM_A_axes, .i = axes});
  if (sizes.n) hand_attr(i, (xlm_attr){.key = XLM_A_sizes, .n = sizes.n, .ints = sizes.at});
  return i;
}

static inline xlm_instr *hand_message(hand_rank_plan *c, xlm_op_id op, int64_t peer, int64_t tag,
                                      uint32_t tensor, uint32_t line) {
  bool send = op == XLM_OP_SEND;
  xlm_instr *i = hand_op(c, op, send ? tensor : 0, send ? 0 : tensor, line);
  hand_attr(i, (xlm_attr){.key = XLM_A_peer, .i = peer});
  hand_attr(i, (xlm_attr){.key = XLM_A_tag, .i = tag});
  return i;
}

static inline void hand_run(hand_rank_plan *c, uint32_t segment, int32_t microbatch, int32_t slot) {
  xlm_segment_run run = {segment, microbatch, {slot, -1, -1}};
  XLM_PUSH(c->arena, c->runs, c->r.n_schedule, c->cap_runs, run);
}

static inline void hand_slots(hand_rank_plan *c, int k, int32_t n, uint64_t bytes) { // all of one size
  uint64_t *at = XLM_NEW_N(c->arena, uint64_t, n + 1);
  for (int32_t i = 1; i <= n; i++) at[i] = at[i - 1] + bytes;
  c->r.slots[k] = (xlm_slots){n, at};
  c->r.area_bytes[XLM_FIRST_SLOT_AREA + k] = at[n];
}

static inline void hand_finish(hand_rank_plan *c) { // sizes of the areas
  xlm_rank_plan *r = &c->r;
  r->schedule = c->runs;
  for (int k = 0; k < XLM_SLOT_AREAS; k++) hand_slots(c, k, k ? 0 : c->n_slots, c->slot_bytes);
  r->arena_bytes = 0;
  for (int a = 0; a < XLM_AREAS; a++) {
    r->area_begin[a] = r->arena_bytes;
    r->arena_bytes += r->area_bytes[a];
  }
}

// axes: "pp", "dp", .. ; sizes: as many. Every rank gets rank plan 0 until rank_plan_of is changed.
static inline hand_plan *hand_plan_new(xlm_arena *a, int n_axes, const char *const *axes,
                                       const int32_t *sizes, int64_t microbatches) {
  hand_plan *h = XLM_NEW(a, hand_plan);
  h->arena = a;
  h->p =
      (xlm_plan){.model = "hand", .source_path = "m.xlm", .microbatches = microbatches, .batch = 1, .seq = 1};
  h->p.mesh.n = (uint8_t)n_axes;
  for (int i = 0; i < n_axes; i++) h->p.mesh.axis[i] = axes[i], h->p.mesh.size[i] = sizes[i];
  h->p.n_ranks = (uint32_t)xlm_mesh_ranks(&h->p.mesh);
  h->p.rank_plan_of = h->rank_plan_of = XLM_NEW_N(a, uint32_t, h->p.n_ranks);
  h->p.rank_plans = (xlm_rank_plan *const *)(uintptr_t)h->list;
  return h;
}

static inline hand_rank_plan *hand_add(hand_plan *h) {
  hand_rank_plan *c = h->rank_plan[h->p.n_rank_plans] = hand_rank_plan_new(h->arena);
  h->list[h->p.n_rank_plans++] = &c->r;
  return c;
}

static inline void hand_finish_all(hand_plan *h) {
  for (uint32_t c = 0; c < h->p.n_rank_plans; c++) hand_finish(h->rank_plan[c]);
}

// ---- the frame of a test

static xlm_arena *arena;

static inline int setup(void **state) {
  (void)state;
  arena = xlm_arena_new(0);
  return arena ? 0 : -1;
}

static inline int teardown(void **state) {
  (void)state;
  xlm_arena_free(arena);
  return 0;
}

static inline void assert_sound(hand_plan *h, int64_t operations) {
  hand_finish_all(h);
  xlm_plan_check c = xlm_plan_verify(&h->p, arena);
  if (c.text) fail_msg("%s", c.text);
  assert_int_equal(c.operations, operations);
}

#define WORDS(...) ((const char *[]){__VA_ARGS__, NULL})

static inline void assert_refused(hand_plan *h, const char *const *words) {
  hand_finish_all(h);
  xlm_plan_check c = xlm_plan_verify(&h->p, arena);
  assert_non_null(c.text);
  for (; *words; words++)
    if (!strstr(c.text, *words)) fail_msg("`%s` is not in: %s", *words, c.text);
}

#endif
