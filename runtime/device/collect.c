// See collect.h.
#include "runtime/device/collect.h"

static uint32_t axes_of(const xlm_call *c) {
  return (uint32_t)xlm_attr_int(&c->instr->attrs, XLM_A_axes, 0);
}

xlm_ints xlm_collect_sizes(const xlm_call *c, int list) {
  return xlm_piece_sizes(&c->instr->attrs, xlm_comm_of(c->instr->op), list);
}

int64_t xlm_collect_largest(const xlm_call *c, int list) {
  xlm_ints sizes = xlm_collect_sizes(c, list);
  int64_t most = 0;
  for (uint32_t i = 0; i < sizes.n; i++) most = sizes.at[i] > most ? sizes.at[i] : most;
  return most;
}

int xlm_collect_runs(const xlm_call *c, xlm_dim part) {
  return c->dims[part].mirrored & axes_of(c) ? 2 : 1;
}

bool xlm_collect_ragged(const xlm_call *c, const xlm_type *t) {
  return t->rank > 1 && c->dims[t->dim[1]].ragged;
}

xlm_collect_piece xlm_collect_whole(const xlm_call *c, const xlm_type *t, xlm_dim d, int64_t rows) {
  int i = xlm_type_find(t, d);
  XLM_ASSERT(i >= 0, "%s: dimension `%s` is not in its operand", xlm_op_name(c->instr->op), c->dims[d].name);
  xlm_collect_piece p = {.outer = xlm_call_outer(c, t, i),
                         .whole = c->dims[d].size,
                         .inner = xlm_call_inner(c, t, i),
                         .size = c->dims[d].size};
  int64_t room = xlm_collect_ragged(c, t) ? xlm_call_size(c, t, 1) : 0;
  if (rows >= 0 && room) p.outer = p.outer / room * rows;
  return p;
}

static xlm_collect_piece part_of(const xlm_call *c, xlm_collect_piece all, xlm_dim whole, xlm_dim part,
                                 xlm_piece piece) {
  xlm_piece here;
  bool within = xlm_piece_within(xlm_dim_piece(&c->dims[whole]), piece, &here);
  XLM_ASSERT(within, "%s: a piece of `%s` is not in the whole", xlm_op_name(c->instr->op),
             c->dims[part].name);
  all.begin = here.offset, all.size = here.size, all.tail = here.tail, all.tail_begin = here.tail_offset;
  return all;
}

xlm_collect_piece xlm_collect_mine(const xlm_call *c, xlm_collect_piece all, xlm_dim whole, xlm_dim part) {
  return part_of(c, all, whole, part, xlm_dim_piece(&c->dims[part]));
}

xlm_collect_piece xlm_collect_member(const xlm_call *c, xlm_collect_piece all, xlm_dim whole, xlm_dim part,
                                     int64_t k) {
  const xlm_link *l = c->link;
  uint32_t axes = axes_of(c);
  int32_t coord[XLM_MAX_AXES];
  if (!l || k == xlm_mesh_member(&l->mesh, axes, l->coord)) return xlm_collect_mine(c, all, whole, part);
  xlm_mesh_coord(&l->mesh, xlm_mesh_member_rank(&l->mesh, axes, l->coord, k), coord);
  return part_of(c, all, whole, part, xlm_mesh_local(&l->mesh, &c->dims[part], coord));
}
