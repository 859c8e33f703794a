// The time of one instruction: for a kernel the larger of arithmetic and memory traffic, plus its launch; for
// a collective the time of the slowest link of its group for the bytes that the rank sends.
#include "compiler/cost/estimate.h"
#include "runtime/plan/traffic.h"

// Only packed rows have a bound instead of a size. With experts split over ranks, the bound covers the case
// that all tokens of all ranks choose this rank's experts.
double xlm_estimate_fill(const xlm_rank_plan *r, uint32_t tensor) {
  const xlm_type *t = &r->tensors[tensor].type;
  for (int i = 1; i < t->rank; i++) {
    const xlm_dim_info *experts = &r->dims[t->dim[i - 1]];
    if (r->dims[t->dim[i]].ragged && experts->full) return (double)experts->size / (double)experts->full;
  }
  return 1;
}

static double experts_of(const xlm_rank_plan *r, uint32_t tensor) {
  const xlm_type *t = &r->tensors[tensor].type;
  for (int i = 1; i < t->rank; i++)
    if (r->dims[t->dim[i]].ragged) return (double)r->dims[t->dim[i - 1]].size;
  return 1;
}

static double operand_fill(const xlm_rank_plan *r, const xlm_instr *in, double *groups) {
  double fill = 1;
  *groups = 1;
  for (int i = 0; i < in->n_in + in->n_out; i++) {
    uint32_t t = i < in->n_in ? in->in[i] : in->out[i - in->n_in];
    double f = xlm_estimate_fill(r, t), g = experts_of(r, t);
    if (f < fill) fill = f;
    if (g > *groups) *groups = g;
  }
  return fill;
}

// The type of the factors; an accumulator may be wider.
static xlm_dtype multiplied(const xlm_rank_plan *r, const xlm_instr *in) {
  for (int i = 0; i < in->n_in; i++)
    if (r->tensors[in->in[i]].type.dtype == XLM_BF16) return XLM_BF16;
  return XLM_F32;
}

static double kernel(const xlm_cluster *c, const xlm_rank_plan *r, const xlm_instr *in) {
  double groups, fill = operand_fill(r, in, &groups), flops = in->flops * fill,
                 memory = in->bytes * fill / c->memory_bandwidth;
  xlm_dtype t = multiplied(r, in);
  bool attends = xlm_op_facts_of(in->op)->product == XLM_PRODUCT_ATTENTION;
  double arithmetic = flops / c->vector_flops;
  if (in->model_flops > 0)
    arithmetic = attends ? flops / (xlm_cluster_peak(c, t) * c->attention)
                         : groups * xlm_cluster_product(c, t, flops / groups);
  return (arithmetic > memory ? arithmetic : memory) + c->launch;
}

double xlm_estimate_floor(const xlm_cluster *c, const xlm_rank_plan *r, const xlm_instr *in) {
  if (xlm_comm_of(in->op)) return 0;
  double groups, fill = operand_fill(r, in, &groups), peak = xlm_cluster_peak(c, multiplied(r, in)),
                 memory = in->bytes / c->best_bandwidth, rate = c->flops_f32;
  bool attends = xlm_op_facts_of(in->op)->product == XLM_PRODUCT_ATTENTION;
  if (in->model_flops > 0) rate = peak * (attends ? c->best_attention : c->best_gemm);
  double arithmetic = in->flops / rate;
  return fill * (arithmetic > memory ? arithmetic : memory);
}

double xlm_estimate_message(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                            const xlm_instr *in) {
  int axis, pp = xlm_mesh_axis(&p->mesh, "pp");
  if (pp < 0 || !xlm_op_sends(in->op)) return 0;
  double bytes = (double)xlm_traffic_bytes(&p->mesh, r->coord, in, r->tensors, r->dims, &axis);
  return xlm_cluster_message(c, xlm_cluster_span(c, &p->mesh, 1u << pp), bytes);
}

double xlm_estimate_instr(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                          const xlm_instr *in, bool *communication) {
  const xlm_comm_info *comm = xlm_comm_of(in->op);
  *communication = comm && comm->group;
  if (!comm) return kernel(c, r, in);
  if (!comm->group) return 0; // a message: xlm_estimate_message
  int axis;
  double bytes = (double)xlm_traffic_bytes(&p->mesh, r->coord, in, r->tensors, r->dims, &axis);
  xlm_span_of_ranks s = xlm_cluster_span(c, &p->mesh, (uint32_t)xlm_attr_int(&in->attrs, XLM_A_axes, 0));
  return c->launch + (comm->rounds ? xlm_cluster_collective(c, s, bytes, comm->rounds)
                                   : xlm_cluster_exchange(c, s, bytes));
}
