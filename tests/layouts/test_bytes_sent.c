// Bytes that every rank sends over every axis in a step, counted at run time, are those that the plan says.
// Models without dispatch: what experts send depends on the routing.
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/plan/traffic.h"
#include "tests/train/train_util.h"

enum { STEPS = 2 };

typedef struct layout {
  const char *model;
  int pp, dp, cp, tp, zero, chunks;
  const char *schedule;
} layout;

static const layout layouts[] = {
    {"llama", 1, 2, 1, 1, 0, 1, "1f1b"}, {"llama", 1, 2, 1, 1, 1, 1, "1f1b"},
    {"llama", 1, 2, 1, 2, 3, 1, "1f1b"}, {"gpt2", 2, 1, 1, 3, 0, 1, "zb-h1"},
    {"qwen3", 1, 1, 2, 1, 0, 1, "1f1b"}, {"gpt2", 2, 2, 1, 2, 2, 2, "interleaved"},
    {"llama", 4, 1, 1, 2, 0, 1, "gpipe"}};

static xlm_mesh mesh_of(const layout *l) {
  const char *names[] = {"pp", "dp", "cp", "tp"};
  int sizes[] = {l->pp, l->dp, l->cp, l->tp};
  xlm_mesh m = {0};
  for (int i = 0; i < 4; i++) {
    if (sizes[i] < 2) continue;
    m.axis[m.n] = names[i];
    m.size[m.n++] = sizes[i];
  }
  return m;
}

// The schedule of a step, instruction by instruction.
static void planned_bytes(const xlm_plan *p, int64_t rank, uint64_t sent[XLM_MAX_AXES]) {
  const xlm_rank_plan *r = p->classes[p->class_of[rank]];
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&p->mesh, rank, coord);
  memset(sent, 0, XLM_MAX_AXES * sizeof *sent);
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment *s = &r->segments[r->schedule[i].segment];
    for (uint32_t k = s->first; k < s->first + s->n; k++) {
      int axis;
      uint64_t bytes = xlm_traffic_bytes(&p->mesh, coord, &r->instrs[k], r->tensors, r->dims, &axis);
      sent[axis] += bytes;
    }
  }
}

static void check(const layout *l, const xlm_plan *p, xlm_team *team) {
  uint64_t total = 0;
  for (int i = 0; i < xlm_team_size(team); i++) {
    uint64_t sent[XLM_MAX_AXES];
    planned_bytes(p, i, sent);
    for (int a = 0; a < p->mesh.n; a++) {
      uint64_t counted = xlm_team_comm(team, i)->bytes_sent[a];
      total += counted;
      if (counted != STEPS * sent[a])
        fail_msg("%s pp=%d dp=%d cp=%d tp=%d zero=%d: rank %d sent %" PRIu64
                 " bytes over %s, planned %" PRIu64,
                 l->model, l->pp, l->dp, l->cp, l->tp, l->zero, i, counted, p->mesh.axis[a], STEPS * sent[a]);
    }
  }
  assert_true(total > 0);
}

static void run(const layout *l) {
  xlm_arena *a = xlm_arena_new(0);
  toy_options o = toy_defaults(l->model);
  xlm_error err = {0};
  xlm_team *team;
  xlm_store *store;
  xlm_data *data;
  xlm_samples samples;
  xlm_feeds feeds;
  o.batch = 2, o.microbatches = 4, o.sets = "layers=4 heads=6 hidden=96 ffn=100";
  if (strcmp(l->model, "gpt2")) o.sets = "layers=4 heads=6 kv_heads=6 hidden=96 ffn=100";
  xlm_compile_options c = toy_compile_options(a, &o);
  c.mesh = mesh_of(l), c.zero = l->zero, c.schedule = l->schedule, c.chunks = l->chunks;
  const xlm_plan *p = toy_plan(a, toy_source(a, l->model), &c);
  if (xlm_team_open(p, xlm_backend_cpu(), 1, XLM_LAUNCH_LOCAL, 20, &team, &err)) fail_msg("%s", err.text);
  assert_int_equal(xlm_store_new(p, xlm_team_state, team, &store, &err), XLM_OK);
  assert_int_equal(xlm_store_init(store, 7, true, NULL, &err), XLM_OK);
  assert_int_equal(xlm_data_synthetic(4000, 256, 5, &data, &err), XLM_OK);
  assert_int_equal(xlm_samples_open((xlm_data_part){data, 0, xlm_data_tokens(data)}, p->seq, 3, "synthetic",
                                    &samples, &err),
                   XLM_OK);
  assert_int_equal(xlm_feeds_open(team, &samples, false, &feeds, &err), XLM_OK);
  for (int s = 0; s < STEPS; s++)
    if (xlm_feeds_step(&feeds, 7, s, 1e-3, &err)) fail_msg("%s", err.text);
  check(l, p, team);
  xlm_feeds_close(&feeds);
  xlm_data_close(data);
  xlm_store_free(store);
  xlm_team_close(team);
  xlm_arena_free(a);
}

static void sent_as_planned(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) run(&layouts[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sent_as_planned)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
