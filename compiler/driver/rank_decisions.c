// The passes partition and pipeline: what they decide once for all ranks, and what they store so that ranks
// share it. Every rank of a mesh has the same layouts, cut and schedule; the stages of a coordinate share
// their partitioned graph, and the assignment of its nodes to stages.
#include <string.h>

#include "compiler/driver/passes_priv.h"
#include "runtime/plan/mesh.h"

int xlm_stages_of(const xlm_pass_context *c) {
  int axis = xlm_mesh_axis(&c->options->mesh, "pp");
  return axis < 0 ? 1 : c->options->mesh.size[axis];
}

// ---- partition ----

bool xlm_decide_layouts(xlm_pass_context *c, const xlm_graph *g) {
  const xlm_compile_options *o = c->options;
  xlm_partition_options po = {.mesh = o->mesh, .zero = o->zero, .reduce_each = o->reduce_each};
  xlm_partition_fault f;
  c->partitioning[c->program] = xlm_partition_decide(g, c->arena, &po, &f);
  if (c->partitioning[c->program]) return true;
  xlm_diag *diag =
      xlm_diag_push(c->diags, f.conflict ? XLM_E_MESH_CONFLICT : XLM_E_MESH_SIZE, f.span, "%s", f.text);
  if (f.other.end > f.other.begin) xlm_diag_label(c->diags, diag, f.other, "split by this rule");
  if (f.help) xlm_diag_help(c->diags, diag, "%s", f.help);
  return false;
}

// Nothing is split over pp, so the stages of a coordinate share its partitioned graph.
xlm_graph *xlm_partition_rank(xlm_pass_context *c, const xlm_graph *g) {
  (void)g;
  const xlm_partitioning *p = c->partitioning[c->program];
  struct xlm_partitioned *last = &c->partitioned[c->program],
                         now = {.signature = xlm_partition_signature(p, c->coord)};
  int axis = xlm_mesh_axis(&c->options->mesh, "pp");
  memcpy(now.coord, c->coord, sizeof now.coord);
  if (axis >= 0) now.coord[axis] = 0;
  bool same = last->signature == now.signature && !memcmp(last->coord, now.coord, sizeof now.coord);
  if (last->graph && same) return last->graph;
  if (last->graph) xlm_graph_free(last->graph);
  now.graph = xlm_partition_emit(p, c->scratch, c->coord);
  *last = now;
  return now.graph;
}

// ---- pipeline ----

// loops: of which each has a part on every stage; 1: none
static bool refuse_pipeline(xlm_pass_context *c, const xlm_error *err, int32_t loops) {
  xlm_diag *g = xlm_diag_push(c->diags, XLM_E_MESH_PIPELINE, (xlm_span){0, 0}, "%s", err->text);
  if (loops > 1 && !c->options->chunks)
    xlm_diag_help(
        c->diags, g,
        "every stage has a part for each of the %d loops over its layers; with --virtual-stages 1 it "
        "has one part, and loops on several stages have copies of their weights",
        loops);
  return false;
}

static bool is_named(const xlm_compile_options *o, const char *schedule) {
  return !o->schedule_csv && !strcmp(o->schedule, schedule);
}

// Parts per stage. Not said: a part for each loop over the same layers, so that the stage has these once.
static int chunks_for(const xlm_compile_options *o, const xlm_loops *loops, int stages) {
  bool may = is_named(o, "1f1b") || is_named(o, "interleaved");
  if (o->chunks > 0) return o->chunks;
  if (may && loops->n > 1 && loops->rounds >= stages) return loops->n;
  return is_named(o, "interleaved") ? 2 : 1;
}

// 1f1b of several parts per stage is interleaved.
static xlm_status make_schedule(xlm_pass_context *c, int stages, int chunks, xlm_error *err) {
  const xlm_compile_options *o = c->options;
  bool interleave = !o->chunks && chunks > 1;
  if (o->schedule_csv)
    XLM_TRY(xlm_schedule_read_csv(c->arena, o->schedule_path, o->schedule_csv, strlen(o->schedule_csv),
                                  stages, chunks, o->train.microbatches, &c->schedule, err));
  else
    XLM_TRY(xlm_schedule_make(c->arena, interleave ? "interleaved" : o->schedule, stages, chunks,
                              o->train.microbatches, &c->schedule, err));
  return xlm_schedule_check(c->schedule, c->arena, err);
}

static void forget_stages(xlm_pass_context *c, xlm_program_id program) {
  if (c->staged[program].arena) xlm_arena_free(c->staged[program].arena);
  c->staged[program] = (struct xlm_staged){0};
}

// All programs are cut alike: by the training step if there is one.
bool xlm_decide_stages(xlm_pass_context *c, const xlm_graph *g) {
  const xlm_compile_options *o = c->options;
  int stages = xlm_stages_of(c);
  xlm_error err;
  if (c->pipeline.stages) return true;
  for (int p = 0; p < XLM_PROGRAMS; p++) forget_stages(c, (xlm_program_id)p); // of another cut
  xlm_round_costs costs = xlm_pipeline_costs(g, c->arena);
  int chunks = chunks_for(o, &costs.loops, stages), apart = chunks % costs.loops.n ? 1 : costs.loops.n;
  if (xlm_pipeline_cut(&costs, c->arena, stages, chunks, o->stage_rounds, o->n_stage_rounds, &c->pipeline,
                       &err) != XLM_OK)
    return refuse_pipeline(c, &err, apart);
  c->pipeline.pp_axis = xlm_mesh_axis(&o->mesh, "pp");
  if (c->program != XLM_PROGRAM_TRAIN) return true;
  return make_schedule(c, stages, chunks, &err) == XLM_OK || refuse_pipeline(c, &err, apart);
}

static xlm_graph *refuse_torn(xlm_pass_context *c, const xlm_graph *g, xlm_val state) {
  xlm_diag *d = xlm_diag_push(c->diags, XLM_E_MESH_PIPELINE, xlm_val_node(g, state)->span,
                              "several stages read `%s`, which exists on one", g->values[state].name);
  xlm_diag_help(c->diags, d,
                "layers that share keys and values belong on one stage: fewer stages (--pp), another cut "
                "(--stage-rounds), or tp in place of pp");
  return NULL;
}

// Decisions about a graph apply to all stages that share it.
xlm_graph *xlm_take_stage(xlm_pass_context *c, const xlm_graph *g) {
  struct xlm_staged *last = &c->staged[c->program];
  if (last->of != g) {
    forget_stages(c, c->program);
    last->of = g;
    last->arena = xlm_arena_child(c->arena);
    last->stages = xlm_pipeline_assign(g, last->arena, &c->pipeline);
    xlm_val torn = xlm_stages_torn_state(last->stages);
    if (torn) return refuse_torn(c, g, torn);
  }
  return xlm_pass_pipeline(last->stages, c->scratch, c->coord[c->pipeline.pp_axis]);
}

// ---- what is stored ----

void xlm_passes_release(const xlm_pass_context *c, xlm_graph *g) {
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (c->partitioned[p].graph == g) return;
  xlm_graph_free(g);
}

void xlm_passes_forget(xlm_pass_context *c, xlm_program_id program) {
  if (c->partitioning[program]) xlm_partition_free(c->partitioning[program]);
  if (c->partitioned[program].graph) xlm_graph_free(c->partitioned[program].graph);
  c->partitioning[program] = NULL;
  c->partitioned[program].graph = NULL;
  forget_stages(c, program);
}

void xlm_passes_forget_all(xlm_pass_context *c) {
  for (int p = 0; p < XLM_PROGRAMS; p++) xlm_passes_forget(c, (xlm_program_id)p);
}
