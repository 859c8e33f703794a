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
    model_passes[] = {XLM_PASS_ELABORATE, XLM_PASS_LORA, XLM_PASS_SIMPLIFY, XLM_PASS_END},
    // -> the training step
    train_passes[] = {XLM_PASS_GLOBAL_BATCH, XLM_PASS_DIFFERENTIATE, XLM_PASS_SIMPLIFY, XLM_PASS_CAST_WEIGHTS,
                      XLM_PASS_LATE_LOSS,    XLM_PASS_REMATERIALIZE, XLM_PASS_END},
    // -> the sums that evaluation computes
    eval_passes[] = {XLM_PASS_GLOBAL_BATCH, XLM_PASS_EVAL_WEIGHTS, XLM_PASS_END},
    // -> the same with recomputation
    memory_passes[] = {XLM_PASS_RECOMPUTE, XLM_PASS_END},
    // -> the graph of one rank, ready for lowering; for each distinct rank
    rank_passes[] = {XLM_PASS_PARTITION,  XLM_PASS_PIPELINE, XLM_PASS_CHUNK_LOSS,
                     XLM_PASS_MERGE_LOSS, XLM_PASS_BIAS,     XLM_PASS_RESIDUAL,
                     XLM_PASS_FUSE,       XLM_PASS_OVERLAP,  XLM_PASS_END};

xlm_compile_options xlm_compile_defaults(void) {
  return (xlm_compile_options){
      .settings = {.dtype = XLM_F32, .training = true},
      .train = {.optimizer = "adamw", .weight_decay = 0.01, .grad_clip = 1.0, .microbatches = 1},
      .schedule = "1f1b",
      .recompute = XLM_RECOMPUTE_MARKED,
      .with_train = true,
      .with_eval = true,
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

// The text was checked, with its warnings, when the training step was built.
static const xlm_graph *eval_graph(xlm_pass_context *p, const xlm_source *source) {
  xlm_diags *diags = p->diags, again;
  xlm_diags_init(&again, p->arena, source);
  p->program = XLM_PROGRAM_EVAL;
  p->diags = &again;
  xlm_graph *g = xlm_passes_run(p, model_passes, NULL), *eval;
  p->diags = diags;
  if (!g) return NULL;
  eval = xlm_passes_run(p, eval_passes, g);
  if (eval) xlm_graph_free(g);
  return eval;
}

static bool prepare(xlm_pass_context *p, int program, const xlm_graph *g) {
  p->program = program;
  return !g || xlm_passes_prepare(p, rank_passes, g);
}

static void show_rank(xlm_pass_context *p, const xlm_graph *train, const xlm_graph *eval) {
  xlm_mesh_coord(&p->options->mesh, p->options->shown_rank, p->coord);
  p->program = train ? XLM_PROGRAM_TRAIN : XLM_PROGRAM_EVAL;
  (void)xlm_passes_run(p, rank_passes, train ? train : eval);
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
  const xlm_graph *step = NULL, *eval = NULL;
  xlm_graph *train = NULL;

  p->ast = parse(p, source);
  if (p->diags->errors) return; // after syntax errors, further messages are not useful
  p->program = o->with_train ? XLM_PROGRAM_TRAIN : XLM_PROGRAM_EVAL;
  if (!(c->model = xlm_passes_run(p, model_passes, NULL))) return;
  if (o->with_train && !(step = xlm_passes_run(p, train_passes, c->model))) return;
  if (o->with_eval &&
      !(eval = o->with_train ? eval_graph(p, source) : xlm_passes_run(p, eval_passes, c->model)))
    return;

  p->program = XLM_PROGRAM_TRAIN;
  if (step && o->recompute == XLM_RECOMPUTE_AUTO)
    p->recompute_rounds = xlm_recompute_rounds(p, memory_passes, rank_passes, step, eval);
  if (step && !(train = xlm_passes_run(p, memory_passes, step))) return;

  if (!prepare(p, XLM_PROGRAM_TRAIN, train) || !prepare(p, XLM_PROGRAM_EVAL, eval)) return;
  if (p->stop_after) show_rank(p, train, eval);
  if (p->stop_after || !o->backend) return;
  xlm_rank_plans ranks;
  if (!xlm_rank_plans_make(p, rank_passes, train, eval, &ranks)) return;
  for (int k = 0; k < XLM_PROGRAMS; k++) xlm_passes_forget(p, k);
  if (train) xlm_graph_free(train);
  const xlm_plan *plan = xlm_whole_plan(p->arena, source, c->model, step ? step : eval, &ranks, o);
  if (verify(p, plan, c)) c->plan = plan;
}

// "simplify,2": the second run of simplify.
static void look_after(xlm_pass_context *p, const char *pass) {
  size_t n = strcspn(pass, ",");
  p->stop_after = xlm_pass_find(pass, n);
  p->stop_run = pass[n] ? atoi(pass + n + 1) : 1;
}

xlm_compiled xlm_compile(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o, xlm_diags *d,
                         const char *stop_after, const xlm_graph **dump) {
  xlm_compiled c = {.source = source};
  xlm_pass_context p = {.arena = a, .options = o, .diags = d};
  if (stop_after) look_after(&p, stop_after);
  compile(&p, source, &c);
  if (p.stopped) *dump = p.dump;
  return c;
}
