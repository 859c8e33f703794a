// The pipeline: parse, elaborate, simplify, differentiate, recompute, fuse, lower. One screen, nothing
// hidden.
#include "compiler/driver/compile.h"

#include <stdio.h>
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/planner/rank_plans.h"
#include "compiler/verify/verify_plan.h"
#include "runtime/base/philox.h"
#include "runtime/plan/mesh.h"

static const char *const passes[] = {"elaborate", "simplify", "differentiate", "recompute",
                                     "partition", "fuse",     "overlap"};

const char *const *xlm_compile_passes(int *n) {
  *n = (int)(sizeof passes / sizeof *passes);
  return passes;
}

xlm_compile_options xlm_compile_defaults(void) {
  return (xlm_compile_options){.settings = {.dtype = XLM_F32, .training = true},
                               .train = {.optimizer = XLM_ADAMW,
                                         .beta1 = 0.9,
                                         .beta2 = 0.95,
                                         .eps = 1e-8,
                                         .weight_decay = 0.01,
                                         .grad_clip = 1.0,
                                         .microbatches = 1},
                               .schedule = "1f1b",
                               .recompute = XLM_RECOMPUTE_MARKED,
                               .with_train = true,
                               .with_eval = true,
                               .threads = 1,
                               .seed = 1};
}

typedef struct pipeline {
  xlm_arena *a;
  const char *stop_after;
  const xlm_graph **dump;
  bool stopped;
} pipeline;

// Every pass hands its graph through here: verified in checked builds, kept when it is the one asked for.
static xlm_graph *after(pipeline *p, const char *pass, xlm_graph *g) {
#ifdef XLM_CHECKED
  const char *broken = xlm_graph_verify(g, p->a);
  XLM_ASSERT(!broken, "after %s: %s", pass, broken);
#endif
  if (p->stop_after && !strcmp(p->stop_after, pass)) {
    *p->dump = g;
    p->stopped = true;
  }
  return g;
}

static xlm_graph *forward_graph(pipeline *p, const xlm_ast *ast, const xlm_compile_options *o, bool training,
                                xlm_diags *d) {
  xlm_elaborate_options s = o->settings;
  s.training = training;
  xlm_graph *g = xlm_elaborate(p->a, ast, &s, d);
  if (!g || d->errors) return NULL;
  bool beside_training = !training && o->with_train && xlm_mesh_ranks(&o->mesh) > 1;
  if (beside_training)
    g->outputs.n = 0; // whole logits of all ranks are for nobody: evaluating means losses and metrics
  g = after(p, "elaborate", g);
  return p->stopped ? NULL : after(p, "simplify", xlm_pass_simplify(g, p->a));
}

static xlm_graph *train_graph(pipeline *p, const xlm_graph *model, const xlm_compile_options *o) {
  xlm_graph *g = xlm_pass_simplify(xlm_pass_differentiate(model, p->a, &o->train), p->a);
  return after(p, "differentiate", g);
}

static xlm_graph *recomputed(pipeline *p, const xlm_graph *g, const xlm_compile_options *o, int32_t rounds) {
  xlm_graph *r = o->recompute == XLM_RECOMPUTE_AUTO ? xlm_pass_recompute_rounds(g, p->a, rounds)
                                                    : xlm_pass_recompute(g, p->a, o->recompute);
  return after(p, "recompute", r);
}

// ---- the plan around the rank plan ----

static double count_parameters(const xlm_graph *g) {
  double n = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (g->nodes[id].op == XLM_OP_PARAM)
      n += (double)xlm_type_elements(xlm_val_type(g, g->nodes[id].out), g->dims);
  return n;
}

static double flops_per_token(const xlm_graph *g, int64_t tokens) {
  double flops = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    xlm_cost c;
    xlm_op_cost(g, id, &c);
    if (!xlm_phase_is_once(g->nodes[id].phase) && !g->nodes[id].recompute) flops += c.model_flops;
  }
  return tokens ? flops / (double)tokens : 0;
}

static const char *hash_text(xlm_arena *a, const xlm_source *s, const xlm_graph *g) {
  uint64_t h = xlm_hash_text(s->text);
  for (uint32_t i = 0; i < g->n_config;
       i++) // the batch is the run's, not the model's: it changes with the layout
    if (strcmp(g->config[i].name, "batch"))
      h = xlm_hash_mix(h ^ xlm_hash_text(g->config[i].name) ^ (uint64_t)(int64_t)(g->config[i].value * 4096));
  return xlm_arena_printf(a, "%016llx", (unsigned long long)h);
}

static void copy_weights(xlm_plan *p, const xlm_graph *g, xlm_arena *a) {
  xlm_plan_weight *w = XLM_NEW_N(a, xlm_plan_weight, g->n_weights);
  for (uint32_t i = 0; i < g->n_weights; i++) {
    const xlm_weight_map *m = &g->weights[i];
    w[i] = (xlm_plan_weight){
        .param = m->param, .external = m->external, .each = m->each, .n_groups = m->n_groups};
    for (int k = 0; k < m->n_groups; k++) {
      w[i].group[k] =
          (xlm_plan_weight_group){.n = m->group[k].n, .part = m->group[k].part, .parts = m->group[k].parts};
      memcpy(w[i].group[k].dim, m->group[k].dim, sizeof m->group[k].dim);
    }
  }
  p->weights = w;
  p->n_weights = g->n_weights; // dims keep their indices: every rank's table begins with the model's
  p->weights_name = g->weights_name;
}

static void copy_config(xlm_plan *p, const xlm_graph *g, xlm_arena *a) {
  xlm_plan_config *c = XLM_NEW_N(a, xlm_plan_config, g->n_config);
  for (uint32_t i = 0; i < g->n_config; i++) {
    c[i] = (xlm_plan_config){.name = g->config[i].name,
                             .n_aliases = g->config[i].n_aliases,
                             .value = g->config[i].value,
                             .integer = g->config[i].integer};
    memcpy(c[i].alias, g->config[i].alias, sizeof c[i].alias);
  }
  p->config = c;
  p->n_config = g->n_config;
}

static int64_t dim_size(const xlm_graph *g, const char *name) {
  xlm_dim d = xlm_graph_dim_find(g, name, 0);
  return d ? g->dims[d].full : 1;
}

static xlm_plan *wrap(xlm_arena *a, const xlm_source *source, const xlm_graph *model,
                      const xlm_graph *counted, const xlm_rank_plans *ranks, const xlm_compile_options *o) {
  xlm_plan *p = XLM_NEW(a, xlm_plan);
  *p = (xlm_plan){.model = model->model,
                  .preset = model->preset,
                  .source_path = source->path,
                  .source_text = source->text,
                  .text_hash = hash_text(a, source, model),
                  .dtype = o->settings.dtype,
                  .batch = dim_size(model, "batch"),
                  .seq = dim_size(model, "seq"),
                  .microbatches = o->train.microbatches,
                  .threads = o->threads,
                  .seed = o->seed,
                  .mesh = o->mesh,
                  .n_ranks = ranks->n_ranks,
                  .n_rank_plans = ranks->n_rank_plans,
                  .rank_plan_of = ranks->rank_plan_of,
                  .rank_plans = ranks->rank_plans,
                  .n_settings = (uint32_t)o->n_asked,
                  .settings = o->asked,
                  .parameters = count_parameters(model)};
  p->model_flops_per_token = flops_per_token(counted, p->batch * p->seq);
  copy_weights(p, model, a);
  copy_config(p, model, a);
  return p;
}

// Fused graphs and plans of all ranks.
static void plan_as_given(pipeline *p, xlm_compiled *c, const xlm_graph *train, const xlm_graph *eval,
                          const xlm_compile_options *o, xlm_diags *d) {
  xlm_rank_plans ranks;
  if (!xlm_plan_ranks(p->a, train, eval, o, d, &ranks)) return;
  c->train = ranks.first_train;
  c->eval = ranks.first_eval;
  if (p->stop_after) { // of the shown rank
    const xlm_graph *last = c->train ? c->train : c->eval;
    const xlm_graph *fused = ranks.first_fused ? ranks.first_fused : last;
    *p->dump = !strcmp(p->stop_after, "partition") ? ranks.first_partition
               : !strcmp(p->stop_after, "fuse")    ? fused
                                                   : last;
    return;
  }
  if (!o->backend) return;
  const xlm_plan *plan = wrap(p->a, c->source, c->model, train ? train : eval, &ranks, o);
  xlm_plan_check check = plan->n_ranks > 1 ? xlm_plan_verify(plan, p->a) : (xlm_plan_check){0};
  if (check.text)
    xlm_diag_push(d, XLM_E_MESH_UNSOUND, (xlm_span){0, 0}, "%s", check.text);
  else
    c->plan = plan;
}

static uint64_t largest_arena(const xlm_plan *p) {
  uint64_t most = 0;
  for (uint32_t i = 0; i < p->n_rank_plans; i++)
    if (p->rank_plans[i]->arena_bytes > most) most = p->rank_plans[i]->arena_bytes;
  return most;
}

static int32_t count_rounds(const xlm_graph *g) {
  int32_t rounds = 0;
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].round >= rounds) rounds = g->nodes[n].round + 1;
  return rounds;
}

static void plan_ranks(pipeline *p, xlm_compiled *c, const xlm_graph *train, const xlm_graph *eval,
                       const xlm_compile_options *o, int32_t rounds, xlm_diags *d) {
  const xlm_graph *g = train ? recomputed(p, train, o, rounds) : NULL;
  if (!p->stopped) plan_as_given(p, c, g, eval, o, d);
}

// Recompute chosen by the planner: the fewest rounds with which every rank stays within the limit.
static void plan_within_limit(pipeline *p, xlm_compiled *c, const xlm_graph *train, const xlm_graph *eval,
                              const xlm_compile_options *o, xlm_diags *d) {
  int32_t low = 0, high = count_rounds(train);
  plan_ranks(p, c, train, eval, o, 0, d);
  if (!c->plan || !o->memory_limit || largest_arena(c->plan) <= o->memory_limit) return;
  while (high - low > 1) { // too much with low, not known with high
    int32_t middle = low + (high - low) / 2;
    plan_ranks(p, c, train, eval, o, middle, d);
    *(c->plan && largest_arena(c->plan) <= o->memory_limit ? &high : &low) = middle;
  }
  plan_ranks(p, c, train, eval, o, high, d);
}

xlm_compiled xlm_compile(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o, xlm_diags *d,
                         const char *stop_after, const xlm_graph **dump) {
  xlm_compiled c = {.source = source};
  pipeline p = {.a = a, .stop_after = stop_after, .dump = dump};
  const xlm_ast *ast = xlm_parse(a, source, d);
  if (d->errors) return c; // what does not parse is not worth more messages
  xlm_graph *model = forward_graph(&p, ast, o, o->with_train, d), *train = NULL, *eval = NULL;
  if (!model) return c;
  c.model = model;
  if (p.stopped || d->errors) return c;
  if (o->with_train) train = train_graph(&p, model, o);
  if (p.stopped) return c;
  xlm_diags again; // the same text was just found right; its warnings were given once
  xlm_diags_init(&again, a, source);
  if (o->with_eval) eval = o->with_train ? forward_graph(&p, ast, o, false, &again) : model;
  if (train && o->recompute == XLM_RECOMPUTE_AUTO)
    plan_within_limit(&p, &c, train, eval, o, d);
  else
    plan_ranks(&p, &c, train, eval, o, 0, d);
  return c;
}
