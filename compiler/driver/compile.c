// From model text to plan. The lists below and `compile` are the whole pipeline: which passes run, on what,
// and in which order. passes.c has what each needs, gives and breaks.
#include "compiler/driver/compile.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/driver/recompute_rounds.h"
#include "compiler/driver/times.h"
#include "compiler/driver/whole_plan.h"
#include "compiler/verify/verify_plan.h"
#include "runtime/base/clock.h"
#include "runtime/plan/mesh.h"

static const xlm_pass_id
    // text -> model graph, for each program
    model_passes[] = {XLM_PASS_ELABORATE, XLM_PASS_LORA, XLM_PASS_NARROW_WEIGHTS, XLM_PASS_SIMPLIFY,
                      XLM_PASS_END},
    // -> the training step
    train_passes[] = {XLM_PASS_GLOBAL_BATCH, XLM_PASS_DIFFERENTIATE, XLM_PASS_SIMPLIFY, XLM_PASS_CAST_WEIGHTS,
                      XLM_PASS_LATE_LOSS,    XLM_PASS_REMATERIALIZE, XLM_PASS_END},
    // -> the sums that evaluation computes
    eval_passes[] = {XLM_PASS_GLOBAL_BATCH, XLM_PASS_EVAL_WEIGHTS, XLM_PASS_END},
    // -> the outputs at the next positions of every sequence
    decode_passes[] = {XLM_PASS_INCREMENTAL, XLM_PASS_SIMPLIFY, XLM_PASS_STACK_PRODUCTS, XLM_PASS_END},
    // -> what prefill and decode read that is computed once per sequence
    encode_passes[] = {XLM_PASS_INCREMENTAL, XLM_PASS_SIMPLIFY, XLM_PASS_END},
    // -> the same with recomputation
    memory_passes[] = {XLM_PASS_RECOMPUTE, XLM_PASS_END},
    // -> the graph of one rank, ready for lowering; for each distinct rank
    rank_passes[] = {XLM_PASS_PARTITION,  XLM_PASS_PIPELINE, XLM_PASS_CHUNK_LOSS,
                     XLM_PASS_MERGE_LOSS, XLM_PASS_BIAS,     XLM_PASS_RESIDUAL,
                     XLM_PASS_FUSE,       XLM_PASS_OVERLAP,  XLM_PASS_END};

static const xlm_pass_id *const passes_of[XLM_PROGRAMS] = {[XLM_PROGRAM_TRAIN] = train_passes,
                                                           [XLM_PROGRAM_EVAL] = eval_passes,
                                                           [XLM_PROGRAM_PREFILL] = decode_passes,
                                                           [XLM_PROGRAM_DECODE] = decode_passes,
                                                           [XLM_PROGRAM_ENCODE] = encode_passes};

xlm_compile_options xlm_compile_defaults(void) {
  return (xlm_compile_options){
      .settings = {.dtype = XLM_F32, .training = true},
      .train = {.optimizer = "adamw", .weight_decay = 0.01, .grad_clip = 1.0, .microbatches = 1},
      .schedule = "1f1b",
      .recompute = XLM_RECOMPUTE_MARKED,
      .programs = XLM_WITH_TRAIN | XLM_WITH_EVAL,
      .target = {.threads = 1},
      .seed = 1};
}

// ---- steps that are not passes ----

static const xlm_ast *parse(xlm_pass_context *p, const xlm_source *source) {
  double start = xlm_clock_seconds();
  const xlm_ast *ast = xlm_parse(p->arena, source, p->diags);
  xlm_times_add(p->options->times, "parse", 1, 0, xlm_clock_seconds() - start);
  return ast;
}

// The text was checked, with its warnings, when the model of the first program was built.
static xlm_graph *model_again(xlm_pass_context *p, const xlm_source *source) {
  xlm_diags *diags = p->diags, again;
  xlm_diags_init(&again, p->arena, source);
  p->diags = &again;
  xlm_graph *g = xlm_passes_run(p, model_passes, NULL);
  p->diags = diags;
  return g;
}

// Builds the graphs of all programs, of all ranks; *model becomes that of the first of them.
static bool build(xlm_pass_context *p, const xlm_source *source, const xlm_graph **model,
                  const xlm_graph *graphs[XLM_PROGRAMS]) {
  for (int k = 0; k < XLM_PROGRAMS; k++) {
    bool added = k == XLM_PROGRAM_ENCODE && p->encodes;
    if (!added && !xlm_compile_makes(p->options, (xlm_program_id)k)) continue;
    p->program = (xlm_program_id)k;
    xlm_graph *g = *model ? model_again(p, source) : xlm_passes_run(p, model_passes, NULL);
    if (!*model) *model = g;
    if (!g || !(graphs[k] = xlm_passes_run(p, passes_of[k], g))) return false;
    if (g != *model && g != graphs[k]) xlm_graph_free(g);
  }
  return true;
}

static bool prepare(xlm_pass_context *p, const xlm_graph *const graphs[XLM_PROGRAMS]) {
  for (int k = 0; k < XLM_PROGRAMS; k++) {
    p->program = (xlm_program_id)k;
    if (graphs[k] && !xlm_passes_prepare(p, rank_passes, graphs[k])) return false;
  }
  return true;
}

static xlm_program_id first_of(const xlm_graph *const graphs[XLM_PROGRAMS]) {
  int k = 0;
  while (!graphs[k]) k++;
  return (xlm_program_id)k;
}

// Of which the plan says the FLOPs per token: prefill has its outputs at some places only.
static xlm_program_id counted_of(const xlm_graph *const graphs[XLM_PROGRAMS]) {
  xlm_program_id p = first_of(graphs);
  return p == XLM_PROGRAM_PREFILL && graphs[XLM_PROGRAM_DECODE] ? XLM_PROGRAM_DECODE : p;
}

// Of every sequence, in one run of the program.
static int64_t places_of(const xlm_graph *model, const xlm_compile_options *o, xlm_program_id p) {
  xlm_dim seq = xlm_graph_dim_find(model, "seq", 0);
  if (p == XLM_PROGRAM_PREFILL) return xlm_compile_chunk(model, o);
  return p == XLM_PROGRAM_DECODE || !seq ? 1 : model->dims[seq].full;
}

static void show_rank(xlm_pass_context *p, const xlm_graph *const graphs[XLM_PROGRAMS]) {
  xlm_mesh_coord(&p->options->mesh, p->options->shown_rank, p->coord);
  p->program = first_of(graphs);
  (void)xlm_passes_run(p, rank_passes, graphs[p->program]);
}

static void report_unsound(xlm_pass_context *p, const char *why) {
  const xlm_compile_options *o = p->options;
  xlm_diag *g = xlm_diag_push(p->diags, XLM_E_MESH_UNSOUND, (xlm_span){0, 0}, "%s", why);
  if (o->schedule_csv)
    xlm_diag_help(
        p->diags, g,
        "all stages must exchange their microbatches in the same order: correct the entries of `%s`, or "
        "use a built-in schedule (gpipe, 1f1b, interleaved, zb-h1)",
        o->schedule_path);
  else
    xlm_diag_help(
        p->diags, g,
        "this is a bug of xlm, and nothing was run; until it is mended another cut (--stage-rounds), "
        "--pipeline-schedule gpipe or another mesh may do");
}

static bool verify(xlm_pass_context *p, const xlm_plan *plan, xlm_compiled *c) {
  if (plan->n_ranks == 1 || p->options->figures_only) return true;
  double start = xlm_clock_seconds();
  xlm_arena *scratch = xlm_arena_child(p->arena);
  xlm_plan_check check = xlm_plan_verify(plan, scratch);
  xlm_times_add(p->options->times, "verify", 1, 0, xlm_clock_seconds() - start);
  if (check.text) report_unsound(p, check.text);
  xlm_arena_free(scratch);
  c->operations = check.operations;
  return !check.text;
}

// ---- the pipeline ----

static void compile(xlm_pass_context *p, const xlm_source *source, xlm_compiled *c) {
  const xlm_compile_options *o = p->options;
  const xlm_graph *graphs[XLM_PROGRAMS] = {0};
  xlm_graph *train = NULL;

  p->ast = parse(p, source);
  if (p->diags->errors) return; // after syntax errors, further messages are not useful
  if (!build(p, source, &c->model, graphs)) return;

  p->program = XLM_PROGRAM_TRAIN;
  const xlm_graph *step = graphs[XLM_PROGRAM_TRAIN], *counted = graphs[counted_of(graphs)];
  int64_t places = places_of(c->model, o, counted_of(graphs));
  if (step && o->recompute == XLM_RECOMPUTE_AUTO)
    p->recompute_rounds = xlm_recompute_rounds(p, memory_passes, rank_passes, step, graphs);
  if (step && !(graphs[XLM_PROGRAM_TRAIN] = train = xlm_passes_run(p, memory_passes, step))) return;

  if (!prepare(p, graphs)) return;
  if (p->stop_after) show_rank(p, graphs);
  if (p->stop_after || !o->backend) return;
  xlm_rank_plans ranks;
  if (!xlm_rank_plans_make(p, rank_passes, graphs, &ranks)) return;
  xlm_passes_forget_all(p);
  if (train) xlm_graph_free(train);
  const xlm_plan *plan = xlm_whole_plan(p->arena, source, c->model, counted, places, &ranks, o);
  if (verify(p, plan, c)) c->plan = plan;
}

// "simplify,2": the second run of simplify.
static void look_after(xlm_pass_context *p, const char *pass) {
  size_t n = strcspn(pass, ",");
  p->stop_after = xlm_pass_find(pass, n);
  p->stop_run = pass[n] ? atoi(pass + n + 1) : 1;
}

static xlm_compiled compile_once(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o,
                                 xlm_diags *d, const char *stop_after, const xlm_graph **dump) {
  xlm_compiled c = {.source = source};
  xlm_pass_context p = {.arena = a, .options = o, .diags = d};
  if (stop_after) look_after(&p, stop_after);
  compile(&p, source, &c);
  if (p.stopped) *dump = p.dump;
  return c;
}

// Samples are written by the programs of decoding; where there are none (the model looks ahead, the backend
// lacks a kernel), evaluation has the model's outputs.
xlm_compiled xlm_compile(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o, xlm_diags *d,
                         const char *stop_after, const xlm_graph **dump) {
  if (!o->with_samples || !xlm_compile_makes(o, XLM_PROGRAM_TRAIN))
    return compile_once(a, source, o, d, stop_after, dump);
  xlm_compile_options steps = *o;
  xlm_diags quiet;
  steps.programs |= XLM_WITH_PREFILL | XLM_WITH_DECODE, steps.with_samples = false;
  xlm_diags_init(&quiet, a, source);
  xlm_compiled c = compile_once(a, source, &steps, &quiet, stop_after, dump);
  if (quiet.errors) return compile_once(a, source, o, d, stop_after, dump);
  *d = quiet; // warnings
  return c;
}
