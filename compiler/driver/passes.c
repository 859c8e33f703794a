// The table of passes: what each needs, gives and breaks, and how it is called; see passes.h. Above it, the
// functions that hand a pass what it reads beside the graph, and turn its faults into diagnostics.
#include "compiler/driver/passes_priv.h"
#include "compiler/driver/whole_plan.h"
#include "compiler/pass/global_batch.h"
#include "compiler/pass/incremental.h"
#include "compiler/pass/lora.h"
#include "runtime/plan/mesh.h"

static const char *one_rank(const xlm_pass_context *c) {
  return xlm_mesh_ranks(&c->options->mesh) == 1 ? "there is one rank: give a mesh, as in --tp 2" : NULL;
}

static const char *one_chunk(const xlm_pass_context *c) {
  return c->options->loss_chunks == 1 ? "there is one chunk: give several, as in --loss-chunks 4" : NULL;
}

static const char *one_stage(const xlm_pass_context *c) {
  return xlm_stages_of(c) == 1 ? "there is one stage: give several, as in --pp 2" : NULL;
}

static bool decodes(const xlm_pass_context *c) {
  return c->program == XLM_PROGRAM_PREFILL || c->program == XLM_PROGRAM_DECODE ||
         c->program == XLM_PROGRAM_ENCODE;
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
  bool beside_training = c->program == XLM_PROGRAM_EVAL && xlm_compile_makes(o, XLM_PROGRAM_TRAIN);
  if (beside_training && !o->with_samples) g->outputs.n = 0; // evaluation uses losses and metrics
  if (o->outputs_only || decodes(c)) g->losses.n = g->metrics.n = 0;
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

static const char *may_change_weights(const xlm_pass_context *c) {
  uint32_t decode = XLM_WITH_PREFILL | XLM_WITH_DECODE;
  return c->options->programs & ~decode ? "the plan has other programs than those of decoding" : NULL;
}

static const char *no_decoding(const xlm_pass_context *c) {
  return decodes(c) ? NULL : "the program computes whole sequences";
}

// Of every sequence, at a time.
static int64_t places_of(const xlm_pass_context *c, const xlm_graph *g) {
  if (c->program == XLM_PROGRAM_ENCODE) return 0;
  return c->program == XLM_PROGRAM_DECODE ? 1 : xlm_compile_chunk(g, c->options);
}

static xlm_graph *incremental(xlm_pass_context *c, const xlm_graph *g) {
  xlm_incremental_options o = {.places = places_of(c, g), .last = !c->options->every_place};
  xlm_incremental_fault f;
  xlm_graph *out = xlm_pass_incremental(g, c->scratch, &o, &f);
  c->encodes |= out && xlm_incremental_encodes(g, c->scratch);
  if (out) return out;
  xlm_diag *diag = xlm_diag_push(c->diags, XLM_E_INCREMENTAL, f.span, "%s", f.text);
  if (f.help) xlm_diag_help(c->diags, diag, "%s", f.help);
  return NULL;
}

static const char *many_rows(const xlm_pass_context *c) {
  if (c->program != XLM_PROGRAM_DECODE) return "the program computes many rows at once";
  return xlm_stages_of(c) > 1 ? "there are several stages, each with its own part of the order" : NULL;
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

static xlm_graph *differentiate(xlm_pass_context *c, const xlm_graph *g) {
  if (!g->losses.n) xlm_diag_push(c->diags, XLM_E_NO_LOSS, (xlm_span){0, 0}, "the graph has no loss");
  if (!g->losses.n || !xlm_optimizer_check(g, &c->options->train, c->diags)) return NULL;
  return xlm_pass_differentiate(g, c->scratch, &c->options->train);
}

static xlm_graph *recompute(xlm_pass_context *c, const xlm_graph *g) {
  if (c->options->recompute == XLM_RECOMPUTE_AUTO)
    return xlm_pass_recompute_rounds(g, c->scratch, c->recompute_rounds);
  return xlm_pass_recompute(g, c->scratch, c->options->recompute);
}

// ---- passes on a rank ----

static xlm_graph *chunk_loss(xlm_pass_context *c, const xlm_graph *g) {
  return xlm_pass_chunk_loss(g, c->scratch, &c->options->mesh, c->options->loss_chunks);
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
    [XLM_PASS_NARROW_WEIGHTS] =
        {.name = "narrow_weights",
         .what = "parameters that are only read in another type are stored in it",
         .excludes = XLM_COUNTED | XLM_DIFFERENTIATED | XLM_PARTITIONED | XLM_FUSED,
         .breaks = XLM_SIMPLIFIED,
         .idle = may_change_weights,
         .of_graph = xlm_pass_narrow_weights},
    [XLM_PASS_SIMPLIFY] = {.name = "simplify",
                           .what = "folds constants, merges equal nodes, drops dead ones",
                           .gives = XLM_SIMPLIFIED,
                           .of_graph = xlm_pass_simplify},
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
         .of_graph = xlm_pass_stack_products},
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
                               .of_graph = xlm_pass_eval_weights},
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
                               .of_graph = xlm_pass_cast_weights},
    [XLM_PASS_LATE_LOSS] = {.name = "late_loss",
                            .what = "moves the logits and the loss to the beginning of the backward pass",
                            .needs = XLM_DIFFERENTIATED,
                            .excludes = XLM_RECOMPUTED | XLM_PARTITIONED | XLM_FUSED,
                            .of_graph = xlm_pass_late_loss},
    [XLM_PASS_REMATERIALIZE] =
        {.name = "rematerialize",
         .what = "computes cheap functions again where the backward pass reads what they are of",
         .needs = XLM_DIFFERENTIATED,
         .excludes = XLM_RECOMPUTED | XLM_PARTITIONED | XLM_FUSED,
         .breaks = XLM_SIMPLIFIED,
         .of_graph = xlm_pass_rematerialize},
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
                            .prepare = xlm_decide_layouts,
                            .run = xlm_partition_rank},
    [XLM_PASS_PIPELINE] = {.name = "pipeline",
                           .what = "the parts of one pipeline stage, with sends and receives",
                           .per_rank = true,
                           .needs = XLM_PARTITIONED,
                           .excludes = XLM_STAGED | XLM_FUSED,
                           .gives = XLM_STAGED,
                           .idle = one_stage,
                           .prepare = xlm_decide_stages,
                           .run = xlm_take_stage},
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
                             .of_graph = xlm_pass_merge_loss},
    [XLM_PASS_BIAS] = {.name = "bias",
                       .what = "products add their biases themselves",
                       .per_rank = true,
                       .excludes = XLM_FUSED,
                       .of_graph = xlm_pass_bias},
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
