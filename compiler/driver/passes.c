// The table of passes: what each needs, gives and breaks, and how it is called; see passes.h.
#include "compiler/driver/passes.h"

#include <string.h>

#include "compiler/driver/times.h"
#include "compiler/driver/whole_plan.h"
#include "compiler/pass/global_batch.h"
#include "compiler/pass/incremental.h"
#include "compiler/pass/lora.h"
#include "runtime/base/clock.h"
#include "runtime/plan/mesh.h"

static int stages_of(const xlm_pass_context *c) {
  int axis = xlm_mesh_axis(&c->options->mesh, "pp");
  return axis < 0 ? 1 : c->options->mesh.size[axis];
}

static const char *one_rank(const xlm_pass_context *c) {
  return xlm_mesh_ranks(&c->options->mesh) == 1 ? "there is one rank: give a mesh, as in --tp 2" : NULL;
}

static const char *one_chunk(const xlm_pass_context *c) {
  return c->options->loss_chunks == 1 ? "there is one chunk: give several, as in --loss-chunks 4" : NULL;
}

static const char *one_stage(const xlm_pass_context *c) {
  return stages_of(c) == 1 ? "there is one stage: give several, as in --pp 2" : NULL;
}

// ---- passes on the model ----

static xlm_graph *elaborate(xlm_pass_context *c, const xlm_graph *none) {
  (void)none;
  const xlm_compile_options *o = c->options;
  xlm_elaborate_options s = o->settings;
  s.training = c->program == XLM_PROGRAM_TRAIN;
  xlm_graph *g = xlm_elaborate(c->arena, c->ast, &s, c->diags);
  bool adapted = o->train.n_lora > 0; // then groups may be of parameters that the next pass adds
  if (!g || c->diags->errors || (!adapted && !xlm_optimizer_check(g, &o->train, c->diags))) return NULL;
  if (!c->options->settings.section && !xlm_config_check(g, c->diags)) return NULL;
  bool decodes = c->program == XLM_PROGRAM_PREFILL || c->program == XLM_PROGRAM_DECODE;
  bool beside_training = c->program == XLM_PROGRAM_EVAL && xlm_compile_makes(o, XLM_PROGRAM_TRAIN);
  if (beside_training && !o->with_samples) g->outputs.n = 0; // evaluation uses losses and metrics
  if (o->outputs_only || decodes) g->losses.n = g->metrics.n = 0;
  return g;
}

static const char *no_lora(const xlm_pass_context *c) {
  return c->options->train.n_lora ? NULL : "there are no adapters: give some, as in --lora match=PATTERN";
}

static xlm_graph *lora(xlm_pass_context *c, const xlm_graph *g) {
  const xlm_train_options *o = &c->options->train;
  xlm_lora_fault f;
  xlm_graph *out = xlm_pass_lora(g, c->scratch, o->lora, o->n_lora, &f);
  if (out) return xlm_optimizer_check(out, o, c->diags) ? out : NULL;
  xlm_diag *diag = xlm_diag_push(c->diags, XLM_E_LORA, f.span, "%s", f.text);
  xlm_diag_help(c->diags, diag, "%s", f.help);
  return NULL;
}

static xlm_graph *simplify(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_simplify(g, c->scratch);
}

static const char *no_decoding(const xlm_pass_context *c) {
  bool decodes = c->program == XLM_PROGRAM_PREFILL || c->program == XLM_PROGRAM_DECODE;
  return decodes ? NULL : "the program computes whole sequences";
}

static xlm_graph *incremental(xlm_pass_context *c, const xlm_graph *g) {
  xlm_incremental_options o = {.places =
                                   c->program == XLM_PROGRAM_DECODE ? 1 : xlm_compile_chunk(g, c->options)};
  xlm_incremental_fault f;
  xlm_graph *out = xlm_pass_incremental(g, c->scratch, &o, &f);
  if (out) return out;
  xlm_diag *diag = xlm_diag_push(c->diags, XLM_E_INCREMENTAL, f.span, "%s", f.text);
  if (f.help) xlm_diag_help(c->diags, diag, "%s", f.help);
  return NULL;
}

static const char *many_rows(const xlm_pass_context *c) {
  if (c->program != XLM_PROGRAM_DECODE) return "the program computes many rows at once";
  return stages_of(c) > 1 ? "there are several stages, each with its own part of the order" : NULL;
}

static xlm_graph *stack_products(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_stack_products(g, c->scratch);
}

static xlm_graph *global_batch(xlm_pass_context *c, const xlm_graph *g) {
  int64_t microbatches = c->program == XLM_PROGRAM_TRAIN ? c->options->train.microbatches : 1;
  xlm_batch_fault f;
  xlm_graph *out = xlm_pass_global_batch(g, c->scratch, microbatches, &f);
  if (out) return out;
  xlm_diag *diag = xlm_diag_push(c->diags, XLM_E_MICROBATCHES, f.loss, "%s", f.text);
  if (f.culprit.begin != f.loss.begin) xlm_diag_label(c->diags, diag, f.culprit, "here");
  xlm_diag_help(c->diags, diag, "%s", f.help);
  return NULL;
}

static xlm_graph *eval_weights(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_eval_weights(g, c->scratch);
}

static xlm_graph *differentiate(xlm_pass_context *c, const xlm_graph *g) {
  if (!g->losses.n) xlm_diag_push(c->diags, XLM_E_NO_LOSS, (xlm_span){0, 0}, "the graph has no loss");
  if (!g->losses.n || !xlm_optimizer_check(g, &c->options->train, c->diags)) return NULL;
  return xlm_pass_differentiate(g, c->scratch, &c->options->train);
}

static xlm_graph *cast_weights(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_cast_weights(g, c->scratch);
}

static xlm_graph *late_loss(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_late_loss(g, c->scratch);
}

static xlm_graph *rematerialize(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_rematerialize(g, c->scratch);
}

static xlm_graph *recompute(xlm_pass_context *c, const xlm_graph *g) {
  if (c->options->recompute == XLM_RECOMPUTE_AUTO)
    return xlm_pass_recompute_rounds(g, c->scratch, c->recompute_rounds);
  return xlm_pass_recompute(g, c->scratch, c->options->recompute);
}

// ---- passes on a rank ----

static bool decide_layouts(xlm_pass_context *c, const xlm_graph *g) {
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
static xlm_graph *partition(xlm_pass_context *c, const xlm_graph *g) {
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
static bool cut_pipeline(xlm_pass_context *c, const xlm_graph *g) {
  const xlm_compile_options *o = c->options;
  int stages = stages_of(c);
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
static xlm_graph *pipeline(xlm_pass_context *c, const xlm_graph *g) {
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

static xlm_graph *chunk_loss(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_chunk_loss(g, c->scratch, &c->options->mesh, c->options->loss_chunks);
}

static xlm_graph *merge_loss(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_merge_loss(g, c->scratch);
}

static xlm_graph *bias(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_bias(g, c->scratch);
}

static xlm_graph *residual(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_residual(g, c->scratch, c->schedule && c->schedule->split_weights);
}

static xlm_graph *fuse(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_fuse(g, c->scratch, &c->options->mesh, c->schedule && c->schedule->split_weights);
}

static xlm_graph *overlap(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_overlap(g, c->scratch, c->schedule && c->schedule->split_weights);
}

const xlm_pass xlm_pass_table[XLM_PASS_COUNT] = {
    [XLM_PASS_ELABORATE] = {.name = "elaborate",
                            .what =
                                "the model text as a graph: blocks inlined, repeats unrolled, types inferred",
                            .run = elaborate},
    [XLM_PASS_LORA] = {.name = "lora",
                       .what = "adds the product of two small matrices to those of the chosen parameters",
                       .excludes = XLM_COUNTED | XLM_DIFFERENTIATED | XLM_PARTITIONED | XLM_FUSED,
                       .idle = no_lora,
                       .run = lora},
    [XLM_PASS_SIMPLIFY] = {.name = "simplify",
                           .what = "folds constants, merges equal nodes, drops dead ones",
                           .gives = XLM_SIMPLIFIED,
                           .run = simplify},
    [XLM_PASS_INCREMENTAL] =
        {.name = "incremental",
         .what = "the graph of some places of the sequence at a time, with caches of what is before them",
         .needs = XLM_SIMPLIFIED,
         .excludes = XLM_COUNTED | XLM_DIFFERENTIATED | XLM_PARTITIONED | XLM_FUSED,
         .breaks = XLM_SIMPLIFIED,
         .idle = no_decoding,
         .run = incremental},
    [XLM_PASS_STACK_PRODUCTS] =
        {.name = "stack_products",
         .what = "independent products of the same weights become one, of their rows together",
         .needs = XLM_SIMPLIFIED,
         .excludes = XLM_COUNTED | XLM_DIFFERENTIATED | XLM_PARTITIONED | XLM_FUSED,
         .idle = many_rows,
         .run = stack_products},
    [XLM_PASS_GLOBAL_BATCH] = {.name = "global_batch",
                               .what =
                                   "losses that are those of the whole batch, whatever microbatches it has",
                               .excludes = XLM_COUNTED | XLM_DIFFERENTIATED | XLM_PARTITIONED | XLM_FUSED,
                               .gives = XLM_COUNTED,
                               .breaks = XLM_SIMPLIFIED,
                               .run = global_batch},
    [XLM_PASS_EVAL_WEIGHTS] = {.name = "eval_weights",
                               .what = "losses in parts, each with what it is a mean over",
                               .needs = XLM_COUNTED,
                               .excludes = XLM_DIFFERENTIATED | XLM_PARTITIONED | XLM_FUSED,
                               .breaks = XLM_SIMPLIFIED,
                               .run = eval_weights},
    [XLM_PASS_DIFFERENTIATE] = {.name = "differentiate",
                                .what = "adds the backward pass and the optimizer",
                                .excludes = XLM_DIFFERENTIATED | XLM_PARTITIONED | XLM_FUSED,
                                .gives = XLM_DIFFERENTIATED,
                                .breaks = XLM_SIMPLIFIED,
                                .run = differentiate},
    [XLM_PASS_CAST_WEIGHTS] = {.name = "cast_weights",
                               .what = "casts the weights of products once per step",
                               .needs = XLM_DIFFERENTIATED,
                               .excludes = XLM_RECOMPUTED | XLM_PARTITIONED | XLM_FUSED,
                               .run = cast_weights},
    [XLM_PASS_LATE_LOSS] = {.name = "late_loss",
                            .what = "moves the logits and the loss to the beginning of the backward pass",
                            .needs = XLM_DIFFERENTIATED,
                            .excludes = XLM_RECOMPUTED | XLM_PARTITIONED | XLM_FUSED,
                            .run = late_loss},
    [XLM_PASS_REMATERIALIZE] =
        {.name = "rematerialize",
         .what = "computes cheap functions again where the backward pass reads what they are of",
         .needs = XLM_DIFFERENTIATED,
         .excludes = XLM_RECOMPUTED | XLM_PARTITIONED | XLM_FUSED,
         .breaks = XLM_SIMPLIFIED,
         .run = rematerialize},
    [XLM_PASS_RECOMPUTE] = {.name = "recompute",
                            .what = "computes activations again in the backward pass instead of keeping them",
                            .needs = XLM_DIFFERENTIATED,
                            .excludes = XLM_RECOMPUTED | XLM_PARTITIONED | XLM_FUSED,
                            .gives = XLM_RECOMPUTED,
                            .breaks = XLM_SIMPLIFIED,
                            .run = recompute},
    [XLM_PASS_PARTITION] = {.name = "partition",
                            .what = "the graph of one rank of the mesh: local sizes, collectives",
                            .per_rank = true,
                            .excludes = XLM_PARTITIONED | XLM_FUSED,
                            .gives = XLM_PARTITIONED,
                            .breaks = XLM_SIMPLIFIED,
                            .idle = one_rank,
                            .prepare = decide_layouts,
                            .run = partition},
    [XLM_PASS_PIPELINE] = {.name = "pipeline",
                           .what = "the parts of one pipeline stage, with sends and receives",
                           .per_rank = true,
                           .needs = XLM_PARTITIONED,
                           .excludes = XLM_STAGED | XLM_FUSED,
                           .gives = XLM_STAGED,
                           .idle = one_stage,
                           .prepare = cut_pipeline,
                           .run = pipeline},
    [XLM_PASS_CHUNK_LOSS] = {.name = "chunk_loss",
                             .what =
                                 "computes logits, loss and their gradients for some of the rows at a time",
                             .per_rank = true,
                             .excludes = XLM_CHUNKED | XLM_FUSED,
                             .gives = XLM_CHUNKED,
                             .breaks = XLM_SIMPLIFIED,
                             .idle = one_chunk,
                             .run = chunk_loss},
    [XLM_PASS_MERGE_LOSS] = {.name = "merge_loss",
                             .what = "the loss and its gradient go over the logits together",
                             .per_rank = true,
                             .excludes = XLM_FUSED,
                             .run = merge_loss},
    [XLM_PASS_BIAS] = {.name = "bias",
                       .what = "products add their biases themselves",
                       .per_rank = true,
                       .excludes = XLM_FUSED,
                       .run = bias},
    [XLM_PASS_RESIDUAL] = {.name = "residual",
                           .what = "products that are added to a value add it themselves",
                           .per_rank = true,
                           .excludes = XLM_FUSED,
                           .run = residual},
    [XLM_PASS_FUSE] = {.name = "fuse",
                       .what =
                           "elementwise chains become one node; products add to what they are summed into",
                       .per_rank = true,
                       .excludes = XLM_FUSED,
                       .gives = XLM_FUSED,
                       .run = fuse},
    [XLM_PASS_OVERLAP] = {.name = "overlap",
                          .what = "orders nodes so that communication runs beside kernels",
                          .per_rank = true,
                          .needs = XLM_PARTITIONED | XLM_FUSED,
                          .excludes = XLM_OVERLAPPED,
                          .gives = XLM_OVERLAPPED,
                          .idle = one_rank,
                          .run = overlap},
};

// ---- running passes ----

xlm_pass_id xlm_pass_find(const char *name, size_t n) {
  for (int i = XLM_PASS_END + 1; i < XLM_PASS_COUNT; i++)
    if (strlen(xlm_pass_table[i].name) == n && !strncmp(xlm_pass_table[i].name, name, n))
      return (xlm_pass_id)i;
  return XLM_PASS_END;
}

static const char *who_gives(uint32_t properties, xlm_arena *a) {
  xlm_text t = xlm_text_new(a);
  for (int i = XLM_PASS_END + 1; i < XLM_PASS_COUNT; i++)
    if (xlm_pass_table[i].gives & properties)
      xlm_text_printf(&t, "%s`%s`", t.n ? ", " : "", xlm_pass_table[i].name);
  return t.data;
}

const char *xlm_pass_unmet(xlm_pass_id id, const xlm_graph *g, xlm_arena *a) {
  const xlm_pass *p = &xlm_pass_table[id];
  uint32_t has = g ? g->properties : 0, missing = p->needs & ~has, wrong = p->excludes & has;
  if (!g != (id == XLM_PASS_ELABORATE))
    return xlm_arena_printf(a, g ? "`%s` takes a model text, not a graph" : "`%s` takes a graph", p->name);
  if (missing)
    return xlm_arena_printf(a, "`%s` needs a graph that is %s; first run %s", p->name,
                            xlm_properties_text(a, missing, " and "), who_gives(missing, a));
  if (wrong)
    return xlm_arena_printf(a, "`%s` cannot take a graph that is already %s", p->name,
                            xlm_properties_text(a, wrong, " and "));
  return NULL;
}

bool xlm_passes_prepare(xlm_pass_context *c, const xlm_pass_id *list, const xlm_graph *g) {
  for (; *list; list++) {
    const xlm_pass *p = &xlm_pass_table[*list];
    double start = xlm_clock_seconds();
    if (!p->prepare || (p->idle && p->idle(c))) continue;
    if (!p->prepare(c, g)) return false;
    xlm_times_add(c->options->times, p->name, 0, 0, xlm_clock_seconds() - start);
  }
  return true;
}

static xlm_graph *run(xlm_pass_context *c, xlm_pass_id id, const xlm_graph *g) {
  const xlm_pass *p = &xlm_pass_table[id];
  const char *unmet = xlm_pass_unmet(id, g, c->arena);
  XLM_ASSERT(!unmet, "%s", unmet);
  double start = xlm_clock_seconds();
  c->scratch = xlm_arena_child(c->arena);
  xlm_graph *out = p->run(c, g);
  xlm_arena_free(c->scratch);
  if (!out) return NULL;
  xlm_times_add(c->options->times, p->name, 1, out->n_nodes, xlm_clock_seconds() - start);
  uint32_t properties = ((g ? g->properties : 0) | p->gives) & ~p->breaks;
#ifdef XLM_CHECKED
  bool again = p->per_rank && out->properties == properties; // of another rank: already verified
  xlm_arena *scratch = xlm_arena_child(c->arena);
  const char *broken = again || c->options->figures_only ? NULL : xlm_graph_verify(out, scratch);
  XLM_ASSERT(!broken, "after %s: %s", p->name, broken);
  xlm_arena_free(scratch);
#endif
  out->properties = properties;
  return out;
}

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

xlm_graph *xlm_passes_run(xlm_pass_context *c, const xlm_pass_id *list, const xlm_graph *g) {
  xlm_graph *now = (xlm_graph *)(uintptr_t)g; // result of an empty list
  for (; *list; list++) {
    const xlm_pass *p = &xlm_pass_table[*list];
    if (!(p->idle && p->idle(c))) {
      xlm_graph *out = run(c, *list, now);
      if (now != g) xlm_passes_release(c, now);
      if (!(now = out)) return NULL;
    }
    if (*list != c->stop_after || ++c->runs != c->stop_run) continue;
    c->dump = now; // a pass with nothing to do leaves the graph unchanged
    c->stopped = true;
    return NULL;
  }
  return now;
}
