// The plans of all ranks; see rank_plans.h.
#include "compiler/driver/rank_plans.h"

#include <string.h>

#include "compiler/driver/times.h"
#include "compiler/planner/lower.h"
#include "runtime/base/clock.h"
#include "runtime/base/philox.h"
#include "runtime/plan/mesh.h"

static int stage_of(const xlm_pass_context *c) {
  return c->pipeline.stages > 1 ? c->coord[c->pipeline.pp_axis] : 0;
}

// Equal for ranks with equal plans.
static uint64_t signature(const xlm_pass_context *c) {
  uint64_t h = c->pipeline.stages > 1 ? xlm_hash_mix((uint64_t)stage_of(c)) : 0;
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (c->partitioning[p]) h = xlm_hash_mix(h ^ xlm_partition_signature(c->partitioning[p], c->coord));
  return h;
}

static bool run_passes(xlm_pass_context *c, const xlm_pass_id *passes,
                       const xlm_graph *const graphs[XLM_PROGRAMS], xlm_graph *out[XLM_PROGRAMS]) {
  for (int p = 0; p < XLM_PROGRAMS; p++) {
    if (!graphs[p]) continue;
    c->program = (xlm_program_id)p;
    if (!(out[p] = xlm_passes_run(c, passes, graphs[p]))) return false;
    XLM_ASSERT(out[p]->properties & XLM_FUSED, "what is lowered is fused");
  }
  return true;
}

static bool lower(xlm_pass_context *c, xlm_graph *const graphs[XLM_PROGRAMS], xlm_rank_plan **out) {
  const xlm_compile_options *o = c->options;
  xlm_lower_options lo = {.microbatches = o->train.microbatches,
                          .mesh = &o->mesh,
                          .target = o->target,
                          .backend = o->backend,
                          .wide = o->settings.dtype == XLM_F64,
                          .schedule = c->schedule,
                          .stage = stage_of(c)};
  xlm_span at;
  xlm_error err;
  double start = xlm_clock_seconds();
  xlm_status status = xlm_lower(c->arena, (const xlm_graph *const *)graphs, &lo, out, &at, &err);
  if (status == XLM_ENV) xlm_arena_exhausted(c->arena, 0);
  if (status != XLM_OK) {
    xlm_diag_push(c->diags, XLM_E_NO_KERNEL, at, "%s", err.text);
    return false;
  }
  xlm_times_add(o->times, "lower", 1, (*out)->n_instrs, xlm_clock_seconds() - start);
  (*out)->stage = (int16_t)stage_of(c);
  memcpy((*out)->coord, c->coord, sizeof(*out)->coord);
  return true;
}

xlm_rank_plan *xlm_rank_plan_make(xlm_pass_context *c, const xlm_pass_id *passes,
                                  const xlm_graph *const graphs[XLM_PROGRAMS]) {
  struct xlm_made made = {signature(c), c->recompute_rounds, NULL};
  xlm_graph *local[XLM_PROGRAMS] = {0};
  for (uint32_t i = 0; i < c->n_made; i++)
    if (c->made[i].signature == made.signature && c->made[i].recompute_rounds == made.recompute_rounds)
      return c->made[i].plan;
  if (!run_passes(c, passes, graphs, local) || !lower(c, local, &made.plan)) return NULL;
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (local[p] && local[p] != graphs[p]) xlm_passes_release(c, local[p]);
  XLM_PUSH(c->arena, c->made, c->n_made, c->cap_made, made);
  return made.plan;
}

static uint32_t find_place(const xlm_rank_place *at, uint32_t n, uint64_t h) {
  uint32_t i = 0;
  while (i < n && at[i].signature != h) i++;
  return i;
}

xlm_rank_place *xlm_rank_plans_distinct(xlm_pass_context *c, uint32_t *n) {
  xlm_rank_place *at = NULL;
  uint32_t cap = 0;
  *n = 0;
  for (int64_t rank = 0; rank < xlm_mesh_ranks(&c->options->mesh); rank++) {
    xlm_mesh_coord(&c->options->mesh, rank, c->coord);
    xlm_rank_place p = {.signature = signature(c)};
    memcpy(p.coord, c->coord, sizeof p.coord);
    if (find_place(at, *n, p.signature) == *n) XLM_PUSH(c->arena, at, *n, cap, p);
  }
  return at;
}

bool xlm_rank_plans_make(xlm_pass_context *c, const xlm_pass_id *passes,
                         const xlm_graph *const graphs[XLM_PROGRAMS], xlm_rank_plans *out) {
  *out = (xlm_rank_plans){.n_ranks = (uint32_t)xlm_mesh_ranks(&c->options->mesh)};
  const xlm_rank_place *at = xlm_rank_plans_distinct(c, &out->n_rank_plans);
  out->rank_plan_of = XLM_NEW_N(c->arena, uint32_t, out->n_ranks);
  out->rank_plans = XLM_NEW_N(c->arena, xlm_rank_plan *, out->n_rank_plans);
  for (uint32_t rank = 0; rank < out->n_ranks; rank++) {
    xlm_mesh_coord(&c->options->mesh, rank, c->coord);
    out->rank_plan_of[rank] = find_place(at, out->n_rank_plans, signature(c));
  }
  for (uint32_t i = 0; i < out->n_rank_plans; i++) {
    memcpy(c->coord, at[i].coord, sizeof c->coord);
    if (!(out->rank_plans[i] = xlm_rank_plan_make(c, passes, graphs))) return false;
  }
  return true;
}
