// The plan of all ranks: rank plans, and the properties of the whole run.
#include "compiler/driver/whole_plan.h"

#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/pass/incremental.h"
#include "runtime/base/philox.h"

static double count_parameters(const xlm_graph *g) {
  double n = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (xlm_node_is(&g->nodes[id], XLM_LEAF_PARAMETER))
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

// The texts of the files, but not their paths: a model is the same from every folder.
static uint64_t hash_files(xlm_arena *a, const xlm_source *s) {
  uint64_t h = 0;
  for (uint32_t i = 0; i < s->n_files; i++) {
    uint32_t begin = s->line_start[s->files[i].before < s->lines ? s->files[i].before : s->lines - 1];
    if (begin > s->files[i].end) begin = s->files[i].end;
    h = xlm_hash_mix(h ^ xlm_hash_text(xlm_arena_strndup(a, s->text + begin, s->files[i].end - begin)));
  }
  return h;
}

static const char *hash_text(xlm_arena *a, const xlm_source *s, const xlm_graph *g) {
  uint64_t h = s->n_files > 1 ? hash_files(a, s) : xlm_hash_text(s->text);
  for (uint32_t i = 0; i < g->n_config; i++) // the batch is a property of the run and changes with the layout
    if (strcmp(g->config[i].name, "batch"))
      h = xlm_hash_mix(h ^ xlm_hash_text(g->config[i].name) ^ (uint64_t)(int64_t)(g->config[i].value * 4096));
  return xlm_arena_printf(a, "%016llx", (unsigned long long)h);
}

static int64_t dim_size(const xlm_graph *g, const char *name) {
  xlm_dim d = xlm_graph_dim_find(g, name, 0);
  return d ? g->dims[d].full : 1;
}

int64_t xlm_compile_chunk(const xlm_graph *model, const xlm_compile_options *o) {
  int64_t seq = dim_size(model, "seq");
  return o->chunk < seq ? o->chunk : seq;
}

xlm_plan *xlm_whole_plan(xlm_arena *a, const xlm_source *source, const xlm_graph *model,
                         const xlm_graph *counted, int64_t places, const xlm_rank_plans *ranks,
                         const xlm_compile_options *o) {
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
                  .target = o->target,
                  .seed = o->seed,
                  .mesh = o->mesh,
                  .n_ranks = ranks->n_ranks,
                  .n_rank_plans = ranks->n_rank_plans,
                  .rank_plan_of = ranks->rank_plan_of,
                  .rank_plans = ranks->rank_plans,
                  .n_settings = (uint32_t)o->n_asked,
                  .settings = o->asked,
                  .parameters = count_parameters(model)};
  p->model_flops_per_token = flops_per_token(counted, p->batch * places);
  if (xlm_compile_makes(o, XLM_PROGRAM_PREFILL)) {
    p->chunk = xlm_compile_chunk(model, o);
    p->prefix = xlm_incremental_prefix(model, a);
  }
  p->weights = model->weights; // dims keep their indices, since every rank's table begins with the model's
  p->n_weights = model->n_weights;
  p->weights_name = model->weights_name;
  xlm_public_config(p, model, a);
  return p;
}
