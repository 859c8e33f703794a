// See cut_priv.h. States are gathered by all members, and each computes the recurrence over all of them: they
// are few.
#include "ops/cut_priv.h"

xlm_dim cut_along(const xlm_cut *x) {
  xlm_dim d[XLM_MAX_RANK] = {0};
  xlm_attr_dims(x->attrs, XLM_A_seq, d);
  return d[0];
}

xlm_dim cut_members(const xlm_cut *x) {
  return xlm_graph_dim(x->b->g, xlm_arena_printf(x->b->g->arena, "members.%s", x->group), x->sizes.n);
}

xlm_dim cut_member(const xlm_cut *x) {
  xlm_dim all = cut_members(x); // which may move the table of dimensions
  const char *name = x->b->g->dims[all].name;
  xlm_dim have = xlm_graph_dim_find(x->b->g, name, x->axes);
  xlm_dim_info here = {.name = name, .size = 1, .full = x->sizes.n, .offset = x->member, .axes = x->axes};
  return have ? have : xlm_graph_dim_add(x->b->g, here);
}

xlm_val cut_here(const xlm_cut *x, xlm_op_id op) {
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, x->attrs);
  return xlm_emit(x->b, op, x->in, x->n_in, &l);
}

xlm_val cut_with(xlm_build *b, xlm_val v, xlm_dim d) {
  xlm_type t = *xlm_val_type(b->g, v);
  if (xlm_type_find(&t, d) >= 0) return v;
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  t.dim[t.rank++] = d;
  xlm_attr_put_dims(&l, XLM_A_dims, t.dim, t.rank);
  return xlm_emit(b, XLM_OP_BROADCAST, &v, 1, &l);
}

static xlm_val along(const xlm_cut *x, xlm_op_id op, const xlm_val *in, int n, xlm_attr_key key,
                     int64_t value) {
  xlm_attr_list l = xlm_attr_list_new(x->b->g->arena);
  xlm_dim members = cut_members(x);
  xlm_attr_put_dims(&l, XLM_A_seq, &members, 1);
  xlm_attr_put_int(&l, key, value);
  return xlm_emit(x->b, op, in, n, &l);
}

static xlm_val exchange(const xlm_cut *x, xlm_op_id op, xlm_val v, xlm_dim from, xlm_dim to, xlm_ints sizes) {
  xlm_attr_list l = xlm_attr_list_new(x->b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_from, &from, 1);
  xlm_attr_put_dims(&l, XLM_A_to, &to, 1);
  xlm_attr_put_int(&l, XLM_A_axes, x->axes);
  if (sizes.n) xlm_attr_put_ints(&l, XLM_A_sizes, sizes.at, sizes.n);
  return xlm_emit(x->b, op, &v, 1, &l);
}

static xlm_val of_members(const xlm_cut *x, xlm_val v) { // that of each
  int64_t *ones = XLM_NEW_N(x->b->g->arena, int64_t, x->sizes.n);
  for (uint32_t i = 0; i < x->sizes.n; i++) ones[i] = 1;
  xlm_dim one = cut_member(x), all = cut_members(x);
  return exchange(x, XLM_OP_ALL_GATHER, v, one, all, (xlm_ints){x->sizes.n, ones});
}

static xlm_val of_neighbour(const xlm_cut *x, xlm_val all, bool after) {
  xlm_val moved = along(x, XLM_OP_SHIFT, &all, 1, XLM_A_start, after ? -1 : 1);
  xlm_dim members = cut_members(x), one = cut_member(x);
  xlm_val mine = exchange(x, XLM_OP_LOCAL_SLICE, moved, members, one, (xlm_ints){0});
  return xlm_cast_to(x->b, xlm_sum_over(x->b, mine, &one, 1), xlm_val_type(x->b->g, all)->dtype);
}

xlm_val cut_neighbour(const xlm_cut *x, xlm_val v, bool after) {
  return of_neighbour(x, of_members(x, v), after);
}

xlm_val cut_carried(const xlm_cut *x, xlm_val total, xlm_val factor, bool after) {
  xlm_val all = of_members(x, total);
  xlm_val in[] = {factor ? of_members(x, factor) : 0, all};
  return of_neighbour(x,
                      factor ? along(x, XLM_OP_SCAN, in, 2, XLM_A_inverse, after)
                             : along(x, XLM_OP_CUMSUM, &all, 1, XLM_A_inverse, after),
                      after);
}

xlm_val cut_gathered(const xlm_cut *x, xlm_val v) {
  xlm_dim piece = cut_along(x);
  return exchange(x, XLM_OP_ALL_GATHER, v, piece, xlm_graph_dim_find(x->b->g, x->b->g->dims[piece].name, 0),
                  x->sizes);
}

xlm_val cut_own(const xlm_cut *x, xlm_val v) {
  xlm_dim piece = cut_along(x);
  return exchange(x, XLM_OP_LOCAL_SLICE, v, xlm_graph_dim_find(x->b->g, x->b->g->dims[piece].name, 0), piece,
                  (xlm_ints){0});
}

xlm_val cut_add(xlm_build *b, xlm_val sum, xlm_val more) {
  const xlm_type like = *xlm_val_type(b->g, sum);
  return xlm_cast_to(b, xlm_order_to(b, xlm_op2(b, XLM_OP_ADD, sum, more), &like), like.dtype);
}

xlm_val cut_running(xlm_build *b, xlm_val v, xlm_dim d, bool reverse, bool exclusive) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_seq, &d, 1);
  xlm_attr_list by = l;
  xlm_attr_put_int(&l, XLM_A_inverse, reverse);
  xlm_attr_put_int(&by, XLM_A_start, reverse ? -1 : 1);
  xlm_val sums = xlm_emit(b, XLM_OP_CUMSUM, &v, 1, &l);
  return exclusive ? xlm_emit(b, XLM_OP_SHIFT, &sums, 1, &by) : sums;
}

xlm_reach cut_reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  const xlm_attrs *as = &xlm_node_at(g, n)->attrs;
  xlm_dim seq[XLM_MAX_RANK] = {0};
  xlm_attr_dims(as, XLM_A_seq, seq);
  if (!sequence[seq[0]]) return (xlm_reach){.along = XLM_ALONG_LOCAL};
  if (xlm_attr_int(as, XLM_A_inverse, 0))
    return (xlm_reach){.along = XLM_ALONG_AHEAD, .help = "without `reverse` it begins at the first token"};
  return (xlm_reach){.along = XLM_ALONG_BACK};
}

xlm_dim cut_chunk_along(const xlm_chunk *c) {
  xlm_dim seq[XLM_MAX_RANK] = {0}, here[XLM_MAX_RANK] = {0};
  xlm_attrs as = xlm_attr_freeze(&c->attrs);
  xlm_attr_dims(&xlm_chunk_node(c)->attrs, XLM_A_seq, seq);
  xlm_attr_dims(&as, XLM_A_seq, here);
  return c->all->sequence[seq[0]] ? here[0] : 0;
}
