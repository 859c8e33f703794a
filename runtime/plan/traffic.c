// See traffic.h.
#include "runtime/plan/traffic.h"

#include <string.h>

const char *const xlm_all_reduce_names[] = {"oneshot", "twoshot", NULL};

bool xlm_all_reduce_is_small(int64_t members, size_t bytes) {
  return bytes <= XLM_SMALL_ALL_REDUCE / (size_t)members;
}

typedef struct query {
  const xlm_mesh *mesh;
  const xlm_instr *instr;
  const xlm_tensor *tensors;
  const xlm_dim_info *dims;
  int64_t n, me; // members of the group; this rank's index in it
} query;

static const xlm_tensor *operand(const query *q) {
  return &q->tensors[q->instr->in[0]];
}
static int64_t elements(const query *q, const xlm_tensor *t) {
  return xlm_type_elements(&t->type, q->dims);
}
static int64_t element_bytes(const query *q) {
  return (int64_t)xlm_dtype_bytes(operand(q)->type.dtype);
}

static int64_t own_size(const query *q, int list) { // this member's entry of the sizes attribute
  xlm_ints sizes = xlm_piece_sizes(&q->instr->attrs, xlm_comm_of(q->instr->op), list);
  return q->me < sizes.n ? sizes.at[q->me] : 0;
}

static xlm_dim dim_of(const query *q, xlm_attr_key key, int i) {
  xlm_dim d[XLM_MAX_RANK];
  XLM_ASSERT(xlm_attr_dims(&q->instr->attrs, key, d) > i, "`%s` lacks a dimension",
             xlm_op_name(q->instr->op));
  return d[i];
}

static int64_t reduce(const query *q) { // twoshot, unless the plan names the other
  int64_t n = elements(q, operand(q)), bytes = element_bytes(q);
  const char *variant = q->instr->variant ? q->instr->variant : "";
  if (!strcmp(variant, xlm_all_reduce_names[XLM_ALL_REDUCE_ONESHOT])) return (q->n - 1) * n * bytes;
  int64_t mine = xlm_mesh_split((xlm_piece){0, n}, 1, q->n, q->me).size;
  return (n - mine + (q->n - 1) * mine) * bytes;
}

// All of list k's dimension except this member's piece.
static int64_t others(const query *q, int k) {
  int64_t whole = q->dims[dim_of(q, XLM_A_from, k)].size, n = elements(q, operand(q));
  return whole ? n / whole * (whole - own_size(q, k)) * element_bytes(q) : 0;
}

static int64_t to_each(const query *q) {
  return (q->n - 1) * elements(q, operand(q)) * element_bytes(q);
}

static int64_t rows_width(const query *q) { // bytes of a row of [experts, routed, ..]
  const xlm_type *t = &operand(q)->type;
  int64_t bytes = element_bytes(q);
  for (int i = 2; i < t->rank; i++) bytes *= q->dims[t->dim[i]].size;
  return bytes;
}

// Each member sends the rows of experts it does not own, and their counts.
static int64_t rows_out(const query *q) {
  int64_t experts = q->dims[operand(q)->type.dim[0]].size, away = experts - own_size(q, 0);
  int64_t rows = q->dims[operand(q)->type.dim[1]].size;
  return experts ? (int64_t)((double)rows * (double)away / (double)experts) * rows_width(q) + away * 4 : 0;
}

// The owner sends the rows of its experts back to the others; the counts go the other way.
static int64_t rows_back(const query *q) {
  const xlm_type *home = &q->tensors[q->instr->out[0]].type;
  int64_t experts = q->dims[home->dim[0]].size, own = own_size(q, 0), rows = q->dims[home->dim[1]].size;
  double share = experts ? (double)rows * (double)own / (double)experts : 0; // rows per member
  return (int64_t)(share * (double)(q->n - 1)) * rows_width(q) + (experts - own) * 4;
}

static int64_t bytes_of(const query *q, const xlm_comm_info *c) {
  if (!c->group) return elements(q, operand(q)) * element_bytes(q);
  if (c->rows) return c->takes ? rows_out(q) : rows_back(q);
  for (int k = 0; k < c->lists; k++)
    if (c->takes >> k & 1) return others(q, k);
  return c->gives ? to_each(q) : reduce(q);
}

static int axis_of(const xlm_mesh *mesh, uint32_t axes) {
  for (int i = 0; i < mesh->n; i++)
    if (axes >> i & 1 && mesh->size[i] > 1) return i;
  return 0;
}

uint64_t xlm_traffic_bytes(const xlm_mesh *mesh, const int32_t coord[XLM_MAX_AXES], const xlm_instr *instr,
                           const xlm_tensor *tensors, const xlm_dim_info *dims, int *axis) {
  const xlm_comm_info *c = xlm_comm_of(instr->op);
  bool message = c && !c->group;
  uint32_t axes = (uint32_t)xlm_attr_int(&instr->attrs, XLM_A_axes, 0);
  query q = {mesh, instr, tensors, dims, xlm_mesh_group(mesh, axes), xlm_mesh_member(mesh, axes, coord)};
  int pp = xlm_mesh_axis(mesh, "pp");
  bool own = message && pp >= 0 && xlm_attr_int(&instr->attrs, XLM_A_peer, -1) == coord[pp];
  *axis = message ? (pp > 0 ? pp : 0) : axis_of(mesh, axes);
  if (!c || xlm_op_receives(instr->op) || (q.n == 1 && !message) || own) return 0;
  return (uint64_t)bytes_of(&q, c);
}
