// Bytes that every rank sends over every axis in a step, counted at run time, equal those of the plan. The
// bytes of experts depend on the routing: the plan assumes equally many rows per expert. Here a bias makes
// every token choose the same experts, so that the rows are known: if every rank has as many of these experts
// the plan is exact, and otherwise it is exact in everything but the rows.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/plan/traffic.h"
#include "tests/train/toy_team.h"

enum { STEPS = 2 };

typedef struct layout {
  const char *model;
  int pp, dp, ep, cp, tp, zero, chunks;
  const char *schedule;
  bool reduce_each, recompute;
  const char *chosen; // digits: the experts that every token chooses
} layout;

static const layout dense[] = {{"llama", 1, 2, 1, 1, 1, 0, 1, "1f1b", false, false, NULL},
                               {"llama", 1, 2, 1, 1, 1, 1, 1, "1f1b", false, false, NULL},
                               {"llama", 1, 2, 1, 1, 2, 3, 1, "1f1b", false, false, NULL},
                               {"llama", 1, 2, 1, 1, 1, 3, 1, "1f1b", true, false, NULL},
                               {"gpt2", 2, 1, 1, 1, 3, 0, 1, "zb-h1", false, false, NULL},
                               {"qwen3", 1, 1, 1, 2, 1, 0, 1, "1f1b", false, false, NULL},
                               {"gpt2", 1, 2, 1, 3, 2, 2, 1, "1f1b", false, false, NULL},
                               {"gpt2", 2, 2, 1, 1, 2, 2, 2, "interleaved", false, false, NULL},
                               {"gpt2", 2, 2, 1, 1, 2, 2, 2, "interleaved", true, false, NULL},
                               {"plt", 2, 1, 1, 1, 2, 0, 3, "interleaved", false, false, NULL},
                               {"llama", 4, 1, 1, 1, 2, 0, 1, "gpipe", false, false, NULL}};

// Six experts: three on each of two ranks, two on each of three, and 2, 2, 1, 1 on four.
static const layout experts[] = {{"deepseek", 1, 1, 2, 1, 1, 0, 1, "1f1b", false, false, "03"},
                                 {"deepseek", 1, 1, 2, 1, 1, 0, 1, "1f1b", false, true, "14"},
                                 {"deepseek", 1, 1, 2, 1, 1, 0, 1, "1f1b", false, false, "01"},
                                 {"deepseek", 1, 1, 3, 1, 1, 0, 1, "1f1b", false, false, "034"},
                                 {"deepseek", 1, 1, 4, 1, 1, 0, 1, "1f1b", false, true, "0345"},
                                 {"deepseek", 1, 2, 2, 1, 1, 2, 1, "1f1b", true, false, "25"},
                                 {"deepseek", 2, 1, 2, 1, 1, 0, 1, "1f1b", false, false, "45"}};

static xlm_mesh mesh_of(const layout *l) {
  const char *names[] = {"pp", "dp", "ep", "cp", "tp"};
  int sizes[] = {l->pp, l->dp, l->ep, l->cp, l->tp};
  xlm_mesh m = {0};
  for (int i = 0; i < 5; i++) {
    if (sizes[i] < 2) continue;
    m.axis[m.n] = names[i];
    m.size[m.n++] = sizes[i];
  }
  return m;
}

// ---- what moves of rows ----

static bool moves_rows(const xlm_instr *i) {
  return i->op == XLM_OP_SEND_ROWS || i->op == XLM_OP_COLLECT_ROWS;
}

static int chosen_among(const layout *l, xlm_piece own) {
  int n = 0;
  for (const char *c = l->chosen; *c; c++) n += *c - '0' >= own.offset && *c - '0' < own.offset + own.size;
  return n;
}

// Every token of this rank has one row for each chosen expert: the rows of other ranks' experts are sent
// there, and as many rows come back; the counts (4 bytes per expert) are always sent to the owners.
static uint64_t row_bytes(const layout *l, const xlm_plan *p, const xlm_rank_plan *r, const xlm_instr *i,
                          const int32_t coord[XLM_MAX_AXES]) {
  bool back = i->op == XLM_OP_COLLECT_ROWS;
  const xlm_type *home = &r->tensors[back ? i->out[0] : i->in[0]].type;
  uint32_t axes = (uint32_t)xlm_attr_int(&i->attrs, XLM_A_axes, 0);
  int64_t n = r->dims[home->dim[0]].full, members = xlm_mesh_group(&p->mesh, axes),
          here = (int64_t)strlen(l->chosen);
  int64_t tokens = r->dims[home->dim[1]].size / here; // each has a row per chosen expert
  xlm_dim_info split = {.full = n, .axes = axes};
  xlm_piece own = xlm_mesh_local(&p->mesh, &split, coord);
  int64_t width = r->dims[home->dim[2]].size * (int64_t)xlm_dtype_bytes(home->dtype),
          mine = chosen_among(l, own);
  int64_t rows = back ? tokens * mine * (members - 1) : tokens * (here - mine);
  return (uint64_t)(rows * width + (n - own.size) * 4);
}

// The schedule of a step, instruction by instruction: as planned, or with the rows that the routing gives.
static void planned_bytes(const layout *l, const xlm_plan *p, int64_t rank, bool routed,
                          uint64_t sent[XLM_MAX_AXES]) {
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[rank]];
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&p->mesh, rank, coord);
  memset(sent, 0, XLM_MAX_AXES * sizeof *sent);
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment *s = &r->segments[r->schedule[i].segment];
    for (uint32_t k = s->first; k < s->first + s->n; k++) {
      int axis;
      uint64_t bytes = xlm_traffic_bytes(&p->mesh, coord, &r->instrs[k], r->tensors, r->dims, &axis);
      if (routed && moves_rows(&r->instrs[k])) bytes = row_bytes(l, p, r, &r->instrs[k], coord);
      sent[axis] += bytes;
    }
  }
}

static bool is_even(const layout *l) { // as many chosen experts on every rank
  int64_t on_first = chosen_among(l, xlm_mesh_split((xlm_piece){0, 6}, 1, l->ep, 0));
  for (int64_t k = 0; k < l->ep; k++) {
    xlm_piece own = xlm_mesh_split((xlm_piece){0, 6}, 1, l->ep, k);
    if (6 % l->ep || chosen_among(l, own) != on_first) return false;
  }
  return true;
}

// Two exchanges in the forward and two in the backward pass: the rows of the forward are stored. With full
// recompute both of the forward are repeated.
static void check_exchanges(const layout *l, const xlm_plan *p) {
  int64_t dispatches = 0, exchanges = 0;
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[0]];
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment *s = &r->segments[r->schedule[i].segment];
    for (uint32_t k = s->first; k < s->first + s->n; k++) {
      dispatches += r->instrs[k].op == XLM_OP_DISPATCH;
      exchanges += moves_rows(&r->instrs[k]);
    }
  }
  assert_true(dispatches > 0);
  assert_int_equal(exchanges, dispatches * (l->recompute ? 3 : 4)); // twice the dispatches with recompute
}

// ---- runs ----

static void check(const layout *l, const xlm_plan *p, xlm_team *team) {
  uint64_t total = 0;
  for (int i = 0; i < xlm_team_size(team); i++) {
    uint64_t sent[XLM_MAX_AXES], planned[XLM_MAX_AXES];
    planned_bytes(l, p, i, l->chosen, sent);
    planned_bytes(l, p, i, false, planned);
    for (int a = 0; a < p->mesh.n; a++) {
      uint64_t counted = xlm_team_comm(team, i)->bytes_sent[a];
      total += counted;
      if (counted != STEPS * sent[a])
        fail_msg("%s pp=%d dp=%d ep=%d cp=%d tp=%d zero=%d %s: rank %d sent %" PRIu64
                 " bytes over %s, planned %" PRIu64,
                 l->model, l->pp, l->dp, l->ep, l->cp, l->tp, l->zero, l->chosen ? l->chosen : "", i, counted,
                 p->mesh.axis[a], STEPS * sent[a]);
      if (!l->chosen || is_even(l) || strcmp(p->mesh.axis[a], "ep"))
        assert_true(counted == STEPS * planned[a]);
    }
  }
  assert_true(total > 0);
}

// More than any score: every token chooses these experts, and no update changes that within two steps.
static void put_bias(const layout *l, const xlm_store *s) {
  float bias[6] = {0};
  int put = 0;
  for (const char *c = l->chosen; *c; c++) bias[*c - '0'] = 3;
  for (int i = 0; i < s->n; i++)
    if (strstr(s->at[i].name, ".moe.bias")) {
      assert_int_equal(xlm_store_put(s, &s->at[i], NULL, bias, NULL), XLM_OK);
      put++;
    }
  assert_true(put > 0);
}

static const char *sets_of(xlm_arena *a, const layout *l) {
  if (l->chosen)
    return xlm_arena_printf(
        a, "layers=4 heads=6 hidden=96 ffn=100 moe_ffn=20 experts=6 groups=1 nodes=1 mtp=0 active=%d",
        (int)strlen(l->chosen));
  return strcmp(l->model, "gpt2") ? "layers=4 heads=6 kv_heads=6 hidden=96 ffn=100"
                                  : "layers=4 heads=6 hidden=96 ffn=100";
}

static void run(const layout *l) {
  xlm_arena *a = xlm_arena_new(0);
  toy_options o = toy_defaults(l->model);
  o.batch = l->dp * l->ep > 2 ? l->dp * l->ep : 2, o.microbatches = 4, o.sets = sets_of(a, l);
  o.recompute = l->recompute ? XLM_RECOMPUTE_FULL : XLM_RECOMPUTE_NONE;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.mesh = mesh_of(l), c.zero = l->zero, c.schedule = l->schedule, c.chunks = l->chunks;
  c.reduce_each = l->reduce_each;
  const xlm_plan *p = toy_plan(a, toy_source(a, l->model), &c);
  toy_team *t = toy_team_open(p, l->model);
  if (l->chosen) put_bias(l, t->store), check_exchanges(l, p);
  for (int s = 0; s < STEPS; s++) toy_team_step(t, s, 1e-3);
  check(l, p, t->team);
  toy_team_close(t);
  xlm_arena_free(a);
}

static void sent_as_planned(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof dense / sizeof *dense; i++) run(&dense[i]);
}

static void rows_sent_as_routed(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) run(&experts[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sent_as_planned),
                                     cmocka_unit_test(rows_sent_as_routed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
