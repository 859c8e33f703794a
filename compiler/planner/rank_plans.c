// Plans of all ranks, see rank_plans.h. Ranks whose graphs differ in offsets only share a plan, so the work grows with
// distinct stages and uneven pieces, not with ranks.
#include "compiler/planner/rank_plans.h"

#include <string.h>

#include "compiler/pass/partition.h"
#include "compiler/pass/pipeline.h"
#include "compiler/planner/lower.h"
#include "compiler/schedule/schedule.h"
#include "runtime/base/philox.h"

// The last partitioned graph: the stages of one coordinate share it, as nothing is split over pp.
typedef struct kept {
  xlm_graph *graph;
  uint64_t signature;
  int32_t coord[XLM_MAX_AXES]; // pp: 0
} kept;

typedef struct rank_planning {
  const xlm_graph *logical_train, *logical_eval;
  xlm_arena *a;
  const xlm_compile_options *o;
  xlm_diags *d;
  xlm_partitioning *train, *eval; // decided
  xlm_pipeline pipeline;          // stages 1 = none
  xlm_schedule_plan *schedule;
  kept kept_train, kept_eval;
  xlm_rank_plans *out;
} rank_planning;

static bool fail(rank_planning *s, xlm_diag_id id, xlm_span at, const char *text) {
  xlm_diag_push(s->d, id, at, "%s", text);
  return false;
}

static bool decide(rank_planning *s, const xlm_graph *g, xlm_partitioning **out) {
  xlm_partition_options po = {.mesh = s->o->mesh, .zero = s->o->zero, .reduce_each = s->o->reduce_each};
  xlm_partition_fault f;
  *out = xlm_partition_decide(g, s->a, &po, &f);
  if (*out) return true;
  xlm_diag *diag =
      xlm_diag_push(s->d, f.conflict ? XLM_E_MESH_CONFLICT : XLM_E_MESH_SIZE, f.span, "%s", f.text);
  if (f.other.end > f.other.begin) xlm_diag_label(s->d, diag, f.other, "split by this rule");
  if (f.help) xlm_diag_help(s->d, diag, "%s", f.help);
  return false;
}

// ---- the pipeline ----

static bool make_schedule(rank_planning *s, int stages, int chunks) {
  const xlm_compile_options *o = s->o;
  xlm_error err;
  xlm_status status;
  if (o->schedule_csv)
    status = xlm_schedule_read_csv(s->a, o->schedule_path, o->schedule_csv, strlen(o->schedule_csv), stages,
                                   chunks, o->train.microbatches, &s->schedule, &err);
  else
    status = xlm_schedule_make(s->a, o->schedule, stages, chunks, o->train.microbatches, &s->schedule, &err);
  if (status == XLM_OK) status = xlm_schedule_check(s->schedule, s->a, &err);
  return status == XLM_OK || fail(s, XLM_E_MESH_PIPELINE, (xlm_span){0, 0}, err.text);
}

static bool plan_pipeline(rank_planning *s, const xlm_graph *g) {
  int axis = xlm_mesh_axis(&s->o->mesh, "pp"), stages = axis < 0 ? 1 : s->o->mesh.size[axis];
  int chunks = s->o->chunks > 0 ? s->o->chunks : 1;
  s->pipeline = (xlm_pipeline){.stages = 1, .chunks = 1, .pp_axis = axis};
  if (stages == 1) return true;
  xlm_error err;
  if (xlm_pipeline_cut(g, s->a, stages, chunks, s->o->stage_rounds, s->o->n_stage_rounds, &s->pipeline,
                       &err) != XLM_OK)
    return fail(s, XLM_E_MESH_PIPELINE, (xlm_span){0, 0}, err.text);
  s->pipeline.pp_axis = axis;
  return !s->train || make_schedule(s, stages, chunks);
}

// ---- one rank plan ----

static xlm_graph *partitioned(rank_planning *s, const xlm_partitioning *p, const int32_t *coord, kept *k) {
  kept now = {.signature = xlm_partition_signature(p, coord)};
  memcpy(now.coord, coord, sizeof now.coord);
  if (s->pipeline.stages > 1) now.coord[s->pipeline.pp_axis] = 0;
  if (k->graph && k->signature == now.signature && !memcmp(k->coord, now.coord, sizeof now.coord))
    return k->graph;
  now.graph = xlm_partition_emit(p, coord);
  *k = now;
#ifdef XLM_CHECKED
  const char *broken = xlm_graph_verify(now.graph, s->a);
  XLM_ASSERT(!broken, "after partition: %s", broken);
#endif
  return now.graph;
}

static const xlm_graph *rank_graph(rank_planning *s, const xlm_graph *logical, const xlm_partitioning *p,
                                   const int32_t *coord, kept *k) {
  if (!logical) return NULL;
  if (!s->out->first_partition) s->out->first_partition = logical;
  if (!p) return xlm_pass_fuse(logical, s->a); // one rank: nothing is communicated
  xlm_graph *g = partitioned(s, p, coord, k);
  if (s->pipeline.stages > 1) g = xlm_pass_pipeline(g, s->a, &s->pipeline, coord[s->pipeline.pp_axis]);
#ifdef XLM_CHECKED
  const char *broken = xlm_graph_verify(g, s->a);
  XLM_ASSERT(!broken, "after pipeline: %s", broken);
#endif
  if (s->out->first_partition == logical) s->out->first_partition = g;
  g = xlm_pass_fuse(g, s->a);
  if (!s->out->first_fused) s->out->first_fused = g;
  g = xlm_pass_overlap(g, s->a, s->schedule && s->schedule->split_weights);
#ifdef XLM_CHECKED
  broken = xlm_graph_verify(g, s->a);
  XLM_ASSERT(!broken, "after overlap: %s", broken);
#endif
  return g;
}

// The graphs of the rank that is to be shown, unless it is the first, whose graphs come up anyway.
static void show_rank(rank_planning *s) {
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&s->o->mesh, s->o->shown_rank, coord);
  s->out->first_train = rank_graph(s, s->logical_train, s->train, coord, &s->kept_train);
  s->out->first_eval = rank_graph(s, s->logical_eval, s->eval, coord, &s->kept_eval);
}

static xlm_rank_plan *plan_one(rank_planning *s, const int32_t *coord) {
  const xlm_graph *train = rank_graph(s, s->logical_train, s->train, coord, &s->kept_train),
                  *eval = rank_graph(s, s->logical_eval, s->eval, coord, &s->kept_eval);
  int stage = s->pipeline.stages > 1 ? coord[s->pipeline.pp_axis] : 0;
  xlm_lower_options lo = {.microbatches = s->o->train.microbatches,
                          .threads = s->o->threads,
                          .backend = s->o->backend,
                          .wide = s->o->settings.dtype == XLM_F64,
                          .schedule = s->train ? s->schedule : NULL,
                          .stage = stage};
  xlm_rank_plan *r = NULL;
  xlm_error err;
  if (!s->out->first_train && !s->out->first_eval) s->out->first_train = train, s->out->first_eval = eval;
  if (!lo.backend) return NULL; // only the graphs are wanted
  xlm_span at;
  xlm_status status = xlm_lower(s->a, train, eval, &lo, &r, &at, &err);
  if (status == XLM_ENV) xlm_arena_exhausted(s->a, 0);
  if (status != XLM_OK) return (void)xlm_diag_push(s->d, XLM_E_NO_KERNEL, at, "%s", err.text), NULL;
  r->stage = (int16_t)stage;
  memcpy(r->coord, coord, sizeof r->coord);
  return r;
}

static uint64_t signature(const rank_planning *s, const int32_t *coord) {
  uint64_t h = s->pipeline.stages > 1 ? xlm_hash_mix((uint64_t)coord[s->pipeline.pp_axis]) : 0;
  if (s->train) h = xlm_hash_mix(h ^ xlm_partition_signature(s->train, coord));
  if (s->eval) h = xlm_hash_mix(h ^ xlm_partition_signature(s->eval, coord));
  return h;
}

static bool plan_all(rank_planning *s) {
  xlm_rank_plans *out = s->out;
  uint64_t *known = NULL;
  uint32_t n_known = 0, cap_known = 0, cap = 0, errors = s->d->errors;
  for (uint32_t rank = 0; rank < out->n_ranks; rank++) {
    int32_t coord[XLM_MAX_AXES];
    xlm_mesh_coord(&s->o->mesh, rank, coord);
    uint64_t h = signature(s, coord);
    uint32_t c = 0;
    while (c < n_known && known[c] != h) c++;
    if (c == n_known) {
      XLM_PUSH(s->a, known, n_known, cap_known, h);
      xlm_rank_plan *r = plan_one(s, coord);
      if (s->d->errors > errors) return false;
      XLM_PUSH(s->a, out->rank_plans, out->n_rank_plans, cap, r);
    }
    out->rank_plan_of[rank] = c;
  }
  return true;
}

bool xlm_plan_ranks(xlm_arena *a, const xlm_graph *train, const xlm_graph *eval,
                     const xlm_compile_options *o, xlm_diags *d, xlm_rank_plans *out) {
  *out = (xlm_rank_plans){.n_ranks = (uint32_t)xlm_mesh_ranks(&o->mesh)};
  out->rank_plan_of = XLM_NEW_N(a, uint32_t, out->n_ranks);
  rank_planning s = {.a = a, .o = o, .d = d, .out = out};
  s.logical_train = train;
  s.logical_eval = eval;
  bool alone = out->n_ranks == 1; // nothing to partition
  if (!alone && train && !decide(&s, train, &s.train)) return false;
  if (!alone && eval && !decide(&s, eval, &s.eval)) return false;
  if (!plan_pipeline(&s, train ? train : eval)) return false;
  if (o->shown_rank) show_rank(&s);
  return plan_all(&s);
}
