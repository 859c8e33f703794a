// Rough estimates of memory and time for many layouts from a few compiled ones, accurate to some tens of
// percent. They are used only to choose what to compile.
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/pass/pipeline.h"
#include "compiler/search/search_priv.h"
#include "runtime/plan/traffic.h"

static const char *const axis_names[XLM_SEARCH_AXES] = {"pp", "dp", "ep", "cp", "tp"};

static xlm_mesh mesh_of(const xlm_layout_choice *c) {
  xlm_mesh m = {0};
  for (int i = 0; i < XLM_SEARCH_AXES; i++)
    if (c->size[i] > 1) m.axis[m.n] = axis_names[i], m.size[m.n++] = c->size[i];
  return m;
}

xlm_compile_options xlm_choice_options(const xlm_compile_options *base, const xlm_layout_choice *c) {
  xlm_compile_options o = *base;
  o.mesh = mesh_of(c);
  o.settings.batch = c->micro * c->size[XLM_DP] * c->size[XLM_EP];
  o.train.microbatches = c->microbatches;
  o.schedule = c->schedule;
  o.schedule_csv = o.schedule_path = NULL;
  o.stage_rounds = NULL;
  o.n_stage_rounds = 0;
  o.chunks = c->chunks;
  o.zero = c->zero;
  o.reduce_each = c->reduce_each;
  if (c->full) o.recompute = XLM_RECOMPUTE_FULL;
  o.programs = XLM_WITH_TRAIN;
  return o;
}

// ---- measuring the model ----

static bool rule_names(const xlm_graph *g, const char *axis) {
  for (uint32_t i = 0; i < g->n_rules; i++)
    for (int k = 0; k < g->rules[i].n_axes; k++)
      if (!strcmp(g->rules[i].axis[k], axis)) return true;
  return false;
}

static int64_t smallest_split(const xlm_graph *g,
                              const char *axis) { // size of the smallest dimension that only this axis splits
  int64_t least = 0;
  for (uint32_t i = 0; i < g->n_rules; i++) {
    if (g->rules[i].n_axes != 1 || strcmp(g->rules[i].axis[0], axis)) continue;
    xlm_dim d = xlm_graph_dim_find(g, g->rules[i].dim, 0);
    if (d && (!least || g->dims[d].full < least)) least = g->dims[d].full;
  }
  return least;
}

static bool has_axis_dim(const xlm_graph *g, const xlm_type *t, const char *axis) {
  for (uint32_t i = 0; i < g->n_rules; i++)
    for (int k = 0; k < g->rules[i].n_axes; k++)
      for (int j = 0; j < t->rank && !strcmp(g->rules[i].axis[k], axis); j++)
        if (!strcmp(g->dims[t->dim[j]].name, g->rules[i].dim)) return true;
  return false;
}

static void read_graph(const xlm_graph *g, xlm_arena *a, xlm_rough *out) {
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (n->round >= out->rounds) out->rounds = n->round + 1;
    xlm_cost c;
    xlm_op_cost(g, id, &c);
    out->forward_flops += c.model_flops;
    if (!xlm_node_is(n, XLM_LEAF_PARAMETER)) continue;
    double elements = (double)xlm_type_elements(xlm_val_type(g, n->out), g->dims);
    out->parameters += elements;
    if (has_axis_dim(g, xlm_val_type(g, n->out), "ep")) out->expert_parameters += elements;
  }
  for (int i = 0; i < XLM_SEARCH_AXES; i++) out->uses[i] = rule_names(g, axis_names[i]);
  out->loops = xlm_pipeline_loops(g, a).n;
  out->uses[XLM_PP] = out->rounds > 1;
  out->experts = smallest_split(g, "ep");
  xlm_dim seq = xlm_graph_dim_find(g, "seq", 0);
  out->seq = seq ? g->dims[seq].full : 1;
}

static xlm_compiled compile_one(xlm_arena *a, const xlm_search_request *r, bool full, int axis,
                                xlm_error *err) { // over two ranks of `axis`, or one (-1)
  xlm_layout_choice c = {
      .size = {1, 1, 1, 1, 1}, .micro = 1, .microbatches = 2, .schedule = "1f1b", .chunks = 1, .full = full};
  if (axis >= 0) c.size[axis] = 2;
  xlm_compile_options o = xlm_choice_options(r->base, &c);
  xlm_diags d;
  xlm_diags_init(&d, a, r->source);
  xlm_compiled out = xlm_compile(a, r->source, &o, &d, NULL, NULL);
  if (out.plan) return out;
  xlm_text t = xlm_text_new(a);
  xlm_diag_render(&d, false, &t);
  (void)xlm_fail(err, XLM_USER, "the model cannot be planned:\n%.1800s", t.data);
  return out;
}

static double communicated(const xlm_plan *p) { // total size of the tensors passed through collectives,
                                                // unsplit
  double bytes = 0;
  const xlm_rank_plan *r = p->rank_plans[0];
  int axis;
  for (uint32_t i = 0; i < r->n_instrs; i++)
    bytes += 2 * (double)xlm_traffic_bytes(&p->mesh, r->coord, &r->instrs[i], r->tensors, r->dims, &axis);
  return bytes;
}

static double communicated_over(xlm_arena *a, const xlm_search_request *r, int axis) {
  xlm_error ignored;
  xlm_compiled two = compile_one(a, r, false, axis, &ignored); // the model may not be divisible by two
  return two.plan ? communicated(two.plan) : 0;
}

xlm_status xlm_rough_measure(xlm_arena *a, const xlm_search_request *r, xlm_rough *out, xlm_error *err) {
  *out = (xlm_rough){0};
  for (int full = 0; full < 2; full++) {
    xlm_compiled c = compile_one(a, r, full, -1, err);
    if (!c.plan) return XLM_USER;
    if (!full) read_graph(c.model, a, out);
    const uint64_t *bytes = c.plan->rank_plans[0]->category_bytes;
    out->activations[full] = (double)bytes[XLM_CATEGORY_ACTIVATION];
    out->optimizer_share =
        (double)bytes[XLM_CATEGORY_OPTIMIZER] / (double)(bytes[XLM_CATEGORY_PARAMETER] + 1);
  }
  out->tensor_bytes = out->uses[XLM_TP] ? communicated_over(a, r, XLM_TP) : 0;
  out->context_bytes =
      out->uses[XLM_CP] && out->seq >= 2 * XLM_SEARCH_TOKENS ? communicated_over(a, r, XLM_CP) : 0;
  return XLM_OK;
}

// ---- estimating a layout ----

static double parameters_of_rank(const xlm_rough *m, const xlm_layout_choice *c) {
  double dense = m->parameters - m->expert_parameters, parts = (double)c->size[XLM_TP] * c->size[XLM_PP];
  return dense / parts + m->expert_parameters / parts / c->size[XLM_EP];
}

static double
in_flight(const xlm_layout_choice *c) { // number of microbatches whose activations the first stage stores
  double pp = c->size[XLM_PP], chunks = c->chunks > 1 ? c->chunks : 1;
  double n = chunks > 1 ? pp + (pp - 1) / chunks : pp;
  return n < (double)c->microbatches ? n : (double)c->microbatches;
}

double xlm_rough_bytes(const xlm_rough *m, const xlm_layout_choice *c) {
  double p = parameters_of_rank(m, c), dp = c->size[XLM_DP], bytes = 0;
  const double size[] = {4, 4, 4 * m->optimizer_share}; // parameters, gradients, optimizer
  const int from[] = {3, c->reduce_each || c->microbatches == 1 ? 2 : 4, 1}; // ZeRO level; 4: never
  for (int i = 0; i < 3; i++) bytes += p * size[i] / (c->zero >= from[i] ? dp : 1);
  double samples = (double)c->micro * in_flight(c) / c->size[XLM_PP];
  bool split =
      !strcmp(c->schedule, "zb-h1"); // data for the gradients of weights is stored until W, recomputed or not
  double stored = split ? 1.2 * m->activations[0] : m->activations[c->full];
  return bytes + stored * samples / ((double)c->size[XLM_TP] * c->size[XLM_CP]);
}

static double bubble(const xlm_layout_choice *c) {
  double idle = c->size[XLM_PP] - 1, chunks = c->chunks > 1 ? c->chunks : 1;
  if (!strcmp(c->schedule, "zb-h1")) idle /= 3;
  return idle / ((double)c->microbatches * chunks + idle);
}

double xlm_rough_seconds(const xlm_rough *m, const xlm_search_request *r, const xlm_layout_choice *c) {
  const xlm_cluster *k = r->cluster;
  xlm_mesh mesh = mesh_of(c);
  double p = parameters_of_rank(m, c) * 4, n = (double)c->microbatches;
  double samples = (double)c->micro * n; // samples that pass through this rank
  double share = samples / ((double)c->size[XLM_TP] * c->size[XLM_PP] * c->size[XLM_CP]);
  double compute = share * m->forward_flops * (c->full ? 4 : 3) /
                   (xlm_cluster_peak(k, r->base->settings.dtype) * k->gemm_large);
  double tp = c->size[XLM_TP], cp = c->size[XLM_CP], dp_bytes = 2 * p;
  uint32_t dp_axis = 0, tp_axis = 0, cp_axis = 0;
  for (int i = 0; i < mesh.n; i++) {
    if (!strcmp(mesh.axis[i], "dp")) dp_axis = 1u << i;
    if (!strcmp(mesh.axis[i], "tp")) tp_axis = 1u << i;
    if (!strcmp(mesh.axis[i], "cp")) cp_axis = 1u << i;
  }
  double tensor = m->tensor_bytes * (c->full ? 1.3 : 1) * (tp - 1) / tp * samples / c->size[XLM_PP] / cp;
  double talk = tp_axis ? xlm_cluster_collective(k, xlm_cluster_span(k, &mesh, tp_axis), tensor, 1) : 0;
  double context = m->context_bytes * (c->full ? 1.3 : 1) * (cp - 1) / cp * samples / c->size[XLM_PP] / tp;
  if (cp_axis) talk += xlm_cluster_collective(k, xlm_cluster_span(k, &mesh, cp_axis), context, 1);
  double reductions = c->reduce_each ? n : 1;
  if (c->zero >= 2) dp_bytes = p * (1 + reductions);
  if (c->zero >= 3) dp_bytes = p * (2 * n + reductions);
  double data = dp_axis ? xlm_cluster_collective(k, xlm_cluster_span(k, &mesh, dp_axis), dp_bytes, 1) : 0;
  if (c->zero >= 2) data = data > compute / 2 ? data - compute / 2 : 0;
  return (compute + talk) / (1 - bubble(c)) + data;
}
