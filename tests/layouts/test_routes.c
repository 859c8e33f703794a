// The groups and routes of plans (runtime/plan/routes.h). That the room suffices and no two ranks wait for
// one another is shown by test_any_plan over NCCL (tests/fake_cuda), which finds a deadlock of any plan.
#include "runtime/plan/routes.h"
#include "tests/layouts/hand_plan.h"
#include "tests/layouts/ranks.h"
#include "tests/train/toy_team.h"

#define fail() _fail(__FILE__, __LINE__) // cmocka's again, for fail_msg: ranks.h takes it away

static const xlm_plan *plan_of(const char *model, const char *mesh, int microbatches, const char *schedule,
                               int chunks) {
  toy_options o = toy_defaults(model);
  o.batch = 8 / microbatches, o.microbatches = microbatches, o.sets = "layers=4";
  xlm_compile_options c = toy_compile_options(arena, &o);
  c.mesh = ranks_mesh(mesh), c.schedule = schedule, c.chunks = chunks;
  return toy_plan(arena, toy_source(arena, model), &c);
}

// ---- routes of real plans ----

// Every message has a route that its size fits; returns how many messages there are.
static int check_messages(const xlm_plan *p, const xlm_routes *routes) {
  int n = 0;
  for (uint32_t k = 0; k < p->n_rank_plans; k++)
    for (uint32_t i = 0; i < p->rank_plans[k]->n_instrs; i++) {
      const xlm_rank_plan *r = p->rank_plans[k];
      const xlm_instr *in = &r->instrs[i];
      if (!xlm_op_is_message(in->op)) continue;
      int64_t here = r->coord[xlm_mesh_axis(&p->mesh, "pp")],
              there = xlm_attr_int(&in->attrs, XLM_A_peer, -1), tag = xlm_attr_int(&in->attrs, XLM_A_tag, 0);
      bool sends = xlm_op_sends(in->op);
      const xlm_route *route = xlm_route_find(routes, sends ? here : there, sends ? there : here, tag);
      assert_non_null(route);
      assert_true(p->rank_plans[k]->tensors[sends ? in->in[0] : in->out[0]].bytes <= route->bytes);
      n++;
    }
  return n;
}

static void messages_have_routes(void **state) {
  (void)state;
  static const struct {
    const char *model, *mesh;
    int microbatches;
    const char *schedule;
    int chunks;
    uint32_t routes;
    bool tags; // some have their own route
  } plans[] = {{"llama", "pp 4 tp 2", 8, "1f1b", 1, 6, false},
               {"llama", "pp 4", 8, "gpipe", 1, 6, false},
               {"llama", "pp 4", 8, "zb-h1", 1, 6, false},
               {"llama", "pp 2 dp 2", 4, "interleaved", 2, 2, false},
               {"gpt2", "pp 2 tp 2", 4, "interleaved", 2, 5, true},
               {"deepseek", "pp 4", 4, "1f1b", 1, 10, true}};
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
    const xlm_plan *p =
        plan_of(plans[i].model, plans[i].mesh, plans[i].microbatches, plans[i].schedule, plans[i].chunks);
    xlm_routes r = xlm_plan_routes(p, arena);
    assert_int_equal(r.n, plans[i].routes);
    assert_true(check_messages(p, &r) > 0);
    bool tags = false;
    for (uint32_t k = 0; k < r.n; k++) {
      tags |= r.at[k].tag >= 0;
      assert_true(r.at[k].room >= 2 && r.at[k].from != r.at[k].to);
    }
    assert_int_equal(tags, plans[i].tags);
  }
}

// ---- by hand ----

static hand_plan *two_stages(void) {
  static const char *const axes[] = {"pp", "dp"};
  hand_plan *h = hand_plan_new(arena, 2, axes, (const int32_t[]){2, 2}, 1);
  for (int stage = 0; stage < 2; stage++) {
    hand_rank_plan *c = hand_add(h);
    c->r.coord[0] = stage;
    hand_run(c, hand_segment(c, XLM_SEG_F), 0, 0);
    for (int i = 0; i < 2; i++) h->rank_plan_of[2 * stage + i] = (uint32_t)stage;
  }
  return h;
}

// Stage 0 sends seven messages before the one that stage 1 receives first: their order differs, so tags have
// routes of their own, and seven must find room.
static void room_is_what_the_order_needs(void **state) {
  (void)state;
  hand_plan *h = two_stages();
  uint32_t from = hand_tensor(h->rank_plan[0], "x", XLM_AREA_TEMP, 10);
  uint32_t to = hand_tensor(h->rank_plan[1], "x", XLM_AREA_TEMP, 10);
  uint32_t small = hand_tensor(h->rank_plan[0], "y", XLM_AREA_TEMP, 3);
  uint32_t there = hand_tensor(h->rank_plan[1], "y", XLM_AREA_TEMP, 3);
  for (int i = 0; i < 7; i++) hand_message(h->rank_plan[0], XLM_OP_SEND, 1, 5, from, 1);
  hand_message(h->rank_plan[0], XLM_OP_SEND, 1, 9, small, 2);
  hand_message(h->rank_plan[1], XLM_OP_RECV, 0, 9, there, 2);
  for (int i = 0; i < 7; i++) hand_message(h->rank_plan[1], XLM_OP_RECV, 0, 5, to, 1);
  hand_finish_all(h);
  xlm_routes r = xlm_plan_routes(&h->p, arena);
  assert_int_equal(r.n, 2);
  assert_true(r.at[0].tag == 5 && r.at[0].room == 7 && r.at[0].bytes == 40);
  assert_true(r.at[1].tag == 9 && r.at[1].room == 2 && r.at[1].bytes == 12);
  assert_null(xlm_route_find(&r, 1, 0, 5));
}

// The same in one order, through a collective of all stages: one route.
static void a_collective_of_all_stages_holds_senders_up(void **state) {
  (void)state;
  hand_plan *h = two_stages();
  uint32_t from = hand_tensor(h->rank_plan[0], "x", XLM_AREA_TEMP, 10);
  uint32_t to = hand_tensor(h->rank_plan[1], "x", XLM_AREA_TEMP, 10);
  for (int i = 0; i < 4; i++) hand_message(h->rank_plan[0], XLM_OP_SEND, 1, i % 2, from, 1);
  for (int stage = 0; stage < 2; stage++) {
    uint32_t x = hand_tensor(h->rank_plan[stage], "sum", XLM_AREA_TEMP, 1);
    hand_collective(h->rank_plan[stage], XLM_OP_ALL_REDUCE, 3, hand_no_sizes, x, x, 3);
  }
  for (int i = 0; i < 4; i++) hand_message(h->rank_plan[1], XLM_OP_RECV, 0, i % 2, to, 1);
  hand_finish_all(h);
  xlm_routes r = xlm_plan_routes(&h->p, arena);
  assert_true(r.n == 1 && r.at[0].tag == -1 && r.at[0].room == 4);
  assert_true(r.n_axes == 1 && r.axes[0] == 3);
}

// ---- what runs together ----

static bool together(const xlm_plan *p, uint32_t rank, xlm_segment_kind kind) { // all segments of the kind
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[rank]];
  for (uint32_t s = 0; s < r->n_segments; s++)
    if (r->segments[s].kind == kind && !xlm_plan_runs_together(p, rank, s)) return false;
  return true;
}

static void members_of_one_plan_run_together(void **state) {
  (void)state;
  const xlm_plan *flat = plan_of("llama", "dp 2 tp 2", 2, "1f1b", 1),
                 *stages = plan_of("llama", "pp 2 dp 2", 4, "zb-h1", 1),
                 *sends = plan_of("deepseek", "pp 4", 4, "1f1b", 1);
  for (uint32_t rank = 0; rank < flat->n_ranks; rank++)
    for (int kind = XLM_SEG_F; kind <= XLM_SEG_STEP; kind++)
      assert_true(together(flat, rank, (xlm_segment_kind)kind));
  for (uint32_t rank = 0; rank < stages->n_ranks; rank++) {
    assert_false(together(stages, rank, XLM_SEG_F)); // messages
    assert_true(together(stages, rank, XLM_SEG_W));
    assert_true(together(stages, rank, XLM_SEG_STEP)); // all stages run it once
  }
  for (uint32_t rank = 0; rank < sends->n_ranks; rank++) // one stage's step has a message: none is captured
    assert_false(together(sends, rank, XLM_SEG_STEP));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(messages_have_routes, setup, teardown),
      cmocka_unit_test_setup_teardown(room_is_what_the_order_needs, setup, teardown),
      cmocka_unit_test_setup_teardown(a_collective_of_all_stages_holds_senders_up, setup, teardown),
      cmocka_unit_test_setup_teardown(members_of_one_plan_run_together, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
