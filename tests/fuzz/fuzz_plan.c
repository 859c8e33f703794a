// Fuzz target for saved plans: any input is read or rejected; what is read is found valid or rejected with a
// reason; and a valid plan for a machine like this one can be run, whatever its results. (Except plans with
// packed rows of experts, whose offsets are computed at run time.)
// tests/layouts/test_broken_plan.c runs it over mutants.
#include <stdlib.h>
#include <string.h>

#include "compiler/verify/verify_plan.h"
#include "runtime/state/store.h"
#include "runtime/exec/team.h"
#include "runtime/train/feed.h"

enum { MEMORY = 256 << 20, MOST_RANKS = 8, MOST_ARENA = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_read, fuzz_sound, fuzz_run; // how many inputs came how far
static bool fuzz_packed; // run plans with packed rows too: their tensors are as the compiler made them

typedef struct fuzz_team {
  xlm_team *team;
  xlm_store *store;
  xlm_data *data;
  xlm_samples samples;
  xlm_feeds feeds;
} fuzz_team;

static bool fuzz_has(const xlm_plan *p, xlm_program_id program) {
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (!xlm_plan_has(p->rank_plans[c], program)) return false;
  return true;
}

static xlm_status fuzz_step(fuzz_team *t, const xlm_plan *p, xlm_error *err) {
  XLM_TRY(xlm_data_synthetic(4 * p->seq + 1, (xlm_data_options){.vocab = 16}, 5, &t->data, err));
  xlm_data_part all = {t->data, 0, xlm_data_tokens(t->data)};
  XLM_TRY(xlm_samples_open(all, p->seq, 3, "synthetic", &t->samples, err));
  XLM_TRY(xlm_feeds_open(t->team, &t->samples, false, &t->feeds, err));
  return xlm_feeds_step(&t->feeds, 7, 0, 1e-3, err);
}

// A step, and the other programs on inputs that are zero.
static xlm_status fuzz_programs(fuzz_team *t, const xlm_plan *p, const xlm_backend *backend, xlm_error *err) {
  XLM_TRY(xlm_team_open(p, backend, 1, XLM_LAUNCH_LOCAL, 5, &t->team, err));
  XLM_TRY(xlm_store_new(p, xlm_team_states(t->team), &t->store, err));
  XLM_TRY(xlm_store_init(t->store, 7, true, NULL, err));
  if (fuzz_has(p, XLM_PROGRAM_TRAIN)) XLM_TRY(fuzz_step(t, p, err));
  fuzz_run++;
  for (int k = XLM_PROGRAM_TRAIN + 1; k < XLM_PROGRAMS; k++)
    if (fuzz_has(p, (xlm_program_id)k))
      XLM_TRY(xlm_team_run(t->team, (xlm_program_id)k, (xlm_step_env){.seed = 7}, err));
  return XLM_OK;
}

static bool fuzz_is_packed(const xlm_plan *p) {
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 1; i < p->rank_plans[c]->n_dims; i++)
      if (p->rank_plans[c]->dims[i].ragged) return true;
  return false;
}

static void fuzz_run_plan(const xlm_plan *p) {
  fuzz_team t = {0};
  xlm_error err = {0};
  const xlm_backend *backend;
  if (xlm_backend_check(&p->target, &backend, &err) != XLM_OK) return; // of another machine
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (p->rank_plans[c]->arena_bytes > MOST_ARENA) return;
  if (p->n_ranks > MOST_RANKS || (!fuzz_packed && fuzz_is_packed(p))) return;
  xlm_status status = fuzz_programs(&t, p, backend, &err);
  XLM_ASSERT(status == XLM_OK || *err.text, "a refusal says why");
  xlm_feeds_close(&t.feeds);
  xlm_data_close(t.data);
  xlm_store_free(t.store);
  xlm_team_close(t.team);
}

static void fuzz_check(xlm_arena *a, const char *text, size_t n) {
  const xlm_plan *p = NULL;
  xlm_error err = {0};
  xlm_status status = xlm_plan_read_json(a, text, n, &p, &err);
  XLM_ASSERT(status == XLM_OK || (status == XLM_USER && *err.text), "a refusal says why");
  if (status != XLM_OK) return;
  fuzz_read++;
  xlm_plan_check check = xlm_plan_verify_saved(p, a);
  if (check.text) return;
  fuzz_sound++;
  fuzz_run_plan(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  xlm_arena *a = xlm_arena_new(MEMORY);
  if (!a) return 0;
  if (XLM_ARENA_TRY(a)) fuzz_check(a, (const char *)data, size);
  xlm_arena_free(a);
  return 0;
}
