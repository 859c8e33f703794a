// What one instruction takes: a kernel the larger of arithmetic and memory traffic, and its launch; a
// collective what the slowest link of its group takes for the bytes that the rank sends.
#include <string.h>

#include "compiler/cost/estimate.h"
#include "runtime/plan/traffic.h"

typedef enum form { RING, EXCHANGE } form;

static const struct {
  xlm_op_id op;
  form form;
  int rounds;
} collectives[] = {{XLM_OP_ALL_REDUCE, RING, 2},    {XLM_OP_REDUCE_SCATTER, RING, 1},
                   {XLM_OP_ALL_GATHER, RING, 1},    {XLM_OP_ALL_TO_ALL, EXCHANGE, 1},
                   {XLM_OP_SEND_ROWS, EXCHANGE, 1}, {XLM_OP_COLLECT_ROWS, EXCHANGE, 1}};
enum { COLLECTIVES = sizeof collectives / sizeof *collectives };

// Only packed rows have a bound instead of a size. With the experts split over ranks, the bound holds for the
// case that all tokens of all ranks choose the experts of this one.
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

// An accumulator may be wider than what is multiplied.
static xlm_dtype multiplied(const xlm_rank_plan *r, const xlm_instr *in) {
  for (int i = 0; i < in->n_in; i++)
    if (r->tensors[in->in[i]].type.dtype == XLM_BF16) return XLM_BF16;
  return XLM_F32;
}

static double kernel(const xlm_cluster *c, const xlm_rank_plan *r, const xlm_instr *in) {
  double groups, fill = operand_fill(r, in, &groups), flops = in->flops * fill,
                 memory = in->bytes * fill / c->memory_bandwidth;
  xlm_dtype t = multiplied(r, in);
  bool attends = xlm_attr_find(&in->attrs, XLM_A_kv_seq) != NULL;
  double arithmetic = flops / c->vector_flops;
  if (in->model_flops > 0)
    arithmetic = attends ? flops / (xlm_cluster_peak(c, t) * c->attention)
                         : groups * xlm_cluster_product(c, t, flops / groups);
  return (arithmetic > memory ? arithmetic : memory) + c->launch;
}

static bool is_message(const xlm_instr *in) {
  return in->op == XLM_OP_SEND || in->op == XLM_OP_RECV;
}

double xlm_estimate_message(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                            const xlm_instr *in) {
  int axis, pp = xlm_mesh_axis(&p->mesh, "pp");
  if (pp < 0 || in->op != XLM_OP_SEND) return 0;
  double bytes = (double)xlm_traffic_bytes(&p->mesh, r->coord, in, r->tensors, r->dims, &axis);
  return xlm_cluster_message(c, xlm_cluster_span(c, &p->mesh, 1u << pp), bytes);
}

double xlm_estimate_instr(const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                          const xlm_instr *in, bool *communication) {
  *communication = false;
  if (is_message(in)) return 0;
  for (int i = 0; i < COLLECTIVES; i++) {
    if (collectives[i].op != in->op) continue;
    int axis;
    double bytes = (double)xlm_traffic_bytes(&p->mesh, r->coord, in, r->tensors, r->dims, &axis);
    xlm_span_of_ranks s = xlm_cluster_span(c, &p->mesh, (uint32_t)xlm_attr_int(&in->attrs, XLM_A_axes, 0));
    *communication = true;
    return c->launch + (collectives[i].form == RING
                            ? xlm_cluster_collective(c, s, bytes, collectives[i].rounds)
                            : xlm_cluster_exchange(c, s, bytes));
  }
  return kernel(c, r, in);
}
