// The collectives. The partitioner inserts them, after differentiation, where the layouts of producer and
// consumer differ; so they have no gradients and cannot be called in the language.
//
// `axes` is the group: the ranks that differ only along those mesh axes. `from` and `to` pair the dimensions
// that change: an unsplit one and the split one of the same name, both already in the graph. `sizes` lists
// the sizes of all members' pieces, in the order of the members.
#include "ops/moe_priv.h"
#include "ops/rules_priv.h"
#include "runtime/plan/mesh.h"
#include "runtime/plan/traffic.h"

#define NO_GRAD "made after differentiation"
#define AXES                                                                                                 \
  { XLM_A_axes, .low = 0, .high = 255 }
#define SIZES                                                                                                \
  { XLM_A_sizes, .least = 1, .low = 0, .high = XLM_ATTR_MOST }
#define REDUCTION                                                                                            \
  {                                                                                                          \
    XLM_A_kind, .may = true, .unset = XLM_REDUCTION_SUM,                                                     \
                .among = 1 << XLM_REDUCTION_SUM | 1 << XLM_REDUCTION_MAX | 1 << XLM_REDUCTION_LSE            \
  }

static bool sizes_fit(xlm_infer *x, int list, xlm_dim whole, xlm_dim piece) {
  xlm_ints sizes = xlm_piece_sizes(&x->attrs, xlm_comm_info_of(x->op->facts.comm), list);
  int64_t left = shape_size(x, whole);
  bool has = false, fit = true;
  for (uint32_t i = 0; i < sizes.n && fit; i++) {
    fit = sizes.at[i] >= 0 && sizes.at[i] <= left;
    left -= sizes.at[i];
    has |= sizes.at[i] == shape_size(x, piece);
  }
  if (fit && !left && has) return true;
  return xlm_infer_fail(
      x, XLM_FAULT_SIZE, -1, "`sizes` lists %u pieces of `%s` that do not make its %lld elements, %lld here",
      sizes.n, shape_name(x, whole), (long long)shape_size(x, whole), (long long)shape_size(x, piece));
}

static bool pairs(xlm_infer *x, int n, xlm_dim from[XLM_MAX_RANK], xlm_dim to[XLM_MAX_RANK]) {
  int have_from = xlm_attr_dims(&x->attrs, XLM_A_from, from),
      have_to = xlm_attr_dims(&x->attrs, XLM_A_to, to);
  if (have_from != n || have_to != n)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` replaces %d dimensions, not %d by %d", x->op->name, n,
                          have_from, have_to);
  for (int i = 0; i < n; i++)
    if (!xlm_infer_has(x, 0, from[i], "which is to be replaced")) return false;
  return true;
}

// Output 0: the operand with every from[i] replaced by to[i], in the same storage order.
static bool replace(xlm_infer *x, const xlm_dim *from, const xlm_dim *to, int n) {
  const xlm_type *t = xlm_infer_type(x, 0);
  x->out[0].dtype = t->dtype;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    for (int k = 0; k < n; k++)
      if (t->dim[i] == from[k]) d = to[k];
    if (!shape_append(x, &x->out[0], d)) return false;
  }
  return true;
}

// ---- regular

static bool is_reducible(xlm_infer *x) {
  int kind = xlm_attr_enum(&x->attrs, XLM_A_kind, XLM_REDUCTION_SUM);
  return kind != XLM_REDUCTION_LSE || xlm_infer_is_float(x, 0);
}

static bool infer_reduce(xlm_infer *x) {
  x->out[0] = *xlm_infer_type(x, 0);
  return is_reducible(x);
}

const xlm_op xlm_op_all_reduce = {.name = "all_reduce",
                                  .facts = {.comm = XLM_COMM_REDUCE, .converts_layout = true},
                                  .flags = XLM_OPF_INTERNAL | XLM_OPF_OFFSETS,
                                  .min_in = 1,
                                  .max_in = 1,
                                  .n_out = 1,
                                  .in_place = 1,
                                  XLM_TAKES(REDUCTION, AXES),
                                  .layout = "[*] -> [*]",
                                  .infer = infer_reduce,
                                  .no_grad = NO_GRAD,
                                  .doc = "The sum (`kind`: or maximum, or `lse`: log of the sum of "
                                         "exponentials) over the members of the group, on each "
                                         "of them. Added in the order of the members, bf16 in f32 and "
                                         "rounded once, so that every member has the same "
                                         "bits, whatever the backend."};

static bool infer_scatter(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  return is_reducible(x) && pairs(x, 1, from, to) && shape_not_packed(x, 0, from[0]) &&
         sizes_fit(x, 0, from[0], to[0]) && replace(x, from, to, 1);
}

const xlm_op xlm_op_reduce_scatter = {
    .name = "reduce_scatter",
    .facts = {.comm = XLM_COMM_SCATTER, .converts_layout = true, .mixes = XLM_KEY(from) | XLM_KEY(to)},
    .flags = XLM_OPF_INTERNAL | XLM_OPF_OFFSETS,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 1, 1}, {XLM_A_to, XLM_OUT(0), 1, 1}, REDUCTION, SIZES, AXES),
    .layout = "[* from] -> [* to] | from: whole, to: whole",
    .infer = infer_scatter,
    .no_grad = NO_GRAD,
    .doc = "The piece of `all_reduce` along one dimension that this member owns, with the same bits."};

static bool infer_gather(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  return pairs(x, 1, from, to) && shape_not_packed(x, 0, from[0]) && sizes_fit(x, 0, to[0], from[0]) &&
         replace(x, from, to, 1);
}

const xlm_op xlm_op_all_gather = {
    .name = "all_gather",
    .facts = {.comm = XLM_COMM_GATHER, .converts_layout = true, .mixes = XLM_KEY(from) | XLM_KEY(to)},
    .flags = XLM_OPF_INTERNAL | XLM_OPF_OFFSETS,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 1, 1}, {XLM_A_to, XLM_OUT(0), 1, 1}, SIZES, AXES),
    .layout = "[* from] -> [* to] | from: whole, to: whole",
    .infer = infer_gather,
    .no_grad = NO_GRAD,
    .doc = "All members' pieces of one dimension, joined in the order of the members."};

static bool infer_exchange(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  return pairs(x, 2, from, to) && shape_not_packed(x, 0, from[0]) && shape_not_packed(x, 0, from[1]) &&
         sizes_fit(x, 0, to[0], from[0]) && sizes_fit(x, 1, from[1], to[1]) && replace(x, from, to, 2);
}

const xlm_op xlm_op_all_to_all = {
    .name = "all_to_all",
    .facts = {.comm = XLM_COMM_EXCHANGE, .converts_layout = true, .mixes = XLM_KEY(from) | XLM_KEY(to)},
    .flags = XLM_OPF_INTERNAL | XLM_OPF_OFFSETS,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 2, 2}, {XLM_A_to, XLM_OUT(0), 2, 2}, SIZES, AXES),
    .layout = "[* from] -> [* to] | from: whole, to: whole",
    .infer = infer_exchange,
    .no_grad = NO_GRAD,
    .doc = "Joins the pieces of one dimension and splits another: `from` and "
           "`to` name the joined dimension first, `sizes` "
           "has a list for each."};

static bool infer_local_slice(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  if (!pairs(x, 1, from, to) || !shape_not_packed(x, 0, from[0]) || !replace(x, from, to, 1)) return false;
  const xlm_dim_info *whole = &x->g->dims[from[0]], *part = &x->g->dims[to[0]];
  xlm_piece here;
  return xlm_piece_within(xlm_dim_piece(whole), xlm_dim_piece(part), &here) ||
         xlm_infer_fail(x, XLM_FAULT_SIZE, -1, "elements %lld .. of `%s` are not here",
                        (long long)part->offset, whole->name);
}

const xlm_op xlm_op_local_slice = {
    .name = "local_slice",
    .facts = {.converts_layout = true, .mixes = XLM_KEY(from) | XLM_KEY(to)},
    .flags = XLM_OPF_INTERNAL | XLM_OPF_OFFSETS,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 1, 1}, {XLM_A_to, XLM_OUT(0), 1, 1}, AXES),
    .layout = "[* from] -> [* to] | from: whole, to: whole",
    .infer = infer_local_slice,
    .no_grad = NO_GRAD,
    .doc = "This member's piece of one dimension, from what it holds already; nothing is sent."};

// ---- rows of experts

static bool rows_pairs(xlm_infer *x, xlm_dim from[XLM_MAX_RANK], xlm_dim to[XLM_MAX_RANK], int *experts) {
  const xlm_type *t = xlm_infer_type(x, 0);
  if (!pairs(x, 2, from, to)) return false;
  bool found = t->rank >= 2 && x->g->dims[t->dim[1]].ragged;
  *experts = from[0] == t->dim[0] ? 0 : 1;
  found = found && from[*experts] == t->dim[0] && from[1 - *experts] == t->dim[1] &&
          x->g->dims[to[1 - *experts]].ragged && !x->g->dims[to[*experts]].ragged;
  return found ||
         xlm_infer_fail(x, XLM_FAULT_ATTR, 0, "%s are not rows of experts", xlm_infer_dims_text(x, t));
}

static bool infer_send_rows(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int experts;
  if (!rows_pairs(x, from, to, &experts) || !sizes_fit(x, 0, from[experts], to[experts]) ||
      !replace(x, from, to, 2))
    return false;
  x->out[1] = (xlm_type){.dtype = XLM_I32, .rank = 1, .dim = {moe_offsets_dim(x, to[experts])}};
  x->ragged_by[0] = x->g->n_values + 1; // the second result of the node being emitted
  return true;
}

const xlm_op xlm_op_send_rows = {
    .name = "send_rows",
    .facts = {.comm = XLM_COMM_ROWS_OUT, .converts_layout = true, .mixes = XLM_KEY(from) | XLM_KEY(to)},
    .flags = XLM_OPF_INTERNAL | XLM_OPF_OFFSETS,
    .min_in = 1,
    .max_in = 1,
    .n_out = 2,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 2, 2}, {XLM_A_to, XLM_OUT(0), 2, 2}, SIZES, AXES),
    .layout = "[* from], [] -> [* to], [] | from: whole, to: whole",
    .infer = infer_send_rows,
    .no_grad = NO_GRAD,
    .doc = "Rows packed by expert (`dispatch`) go to the members that own the experts: member k owns a block "
           "of `sizes[k]` "
           "experts. There they are packed by expert, within an expert by the member they came from, then in "
           "its order. "
           "Only rows in use are sent. Second result: where the rows of each expert begin."};

static bool infer_collect_rows(xlm_infer *x) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int experts;
  if (!rows_pairs(x, from, to, &experts) || !sizes_fit(x, 0, to[experts], from[experts]) ||
      !replace(x, from, to, 2))
    return false;
  x->ragged_by[0] = x->in[2];
  return shape_is_index(x, 1, "the offsets here") && shape_is_index(x, 2, "the offsets at home");
}

const xlm_op xlm_op_collect_rows = {
    .name = "collect_rows",
    .facts = {.comm = XLM_COMM_ROWS_BACK, .converts_layout = true, .mixes = XLM_KEY(from) | XLM_KEY(to)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    XLM_TAKES({XLM_A_from, XLM_IN(0), 2, 2}, {XLM_A_to, XLM_OUT(0), 2, 2}, SIZES, AXES),
    .layout = "[* from], [], [] -> [* to] | from: whole, to: whole",
    .infer = infer_collect_rows,
    .no_grad = NO_GRAD,
    .doc = "`collect_rows(ys, offsets, home)`: the inverse of `send_rows`: every row returns to the member "
           "it came from. "
           "`offsets` are those of ys, `home` those of the rows before they were sent."};

// ---- messages between pipeline stages

static bool infer_send(xlm_infer *x) {
  x->n_out = 0;
  if (!xlm_val_at(x->g, x->in[0])->ragged_by) return true;
  return xlm_infer_fail(x, XLM_FAULT_ATTR, 0, "rows of experts cannot be sent to another stage");
}

const xlm_op xlm_op_send = {
    .name = "send",
    .facts = {.comm = XLM_COMM_SEND, .converts_layout = true},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 1,
    .max_in = 1,
    .n_out = 0,
    XLM_TAKES({XLM_A_peer, .low = 0, .high = XLM_ATTR_MOST}, {XLM_A_tag, .low = 0, .high = XLM_ATTR_MOST}),
    .layout = "[*] ->",
    .infer = infer_send,
    .no_grad = NO_GRAD,
    .doc = "Sends x to the rank with the same coordinates in pipeline stage `peer`, without waiting for it."};

const xlm_op xlm_op_recv = {.name = "recv",
                            .facts = {.comm = XLM_COMM_RECV, .converts_layout = true},
                            .flags = XLM_OPF_INTERNAL,
                            .min_in = 0,
                            .max_in = 0,
                            .n_out = 1,
                            XLM_TAKES({XLM_A_dims, XLM_OUT(0), 0, 8}, {XLM_A_dtype},
                                      {XLM_A_peer, .low = 0, .high = XLM_ATTR_MOST},
                                      {XLM_A_tag, .low = 0, .high = XLM_ATTR_MOST}),
                            .layout = "-> [*]",
                            .infer = xlm_rule_leaf,
                            .no_grad = NO_GRAD,
                            .doc = "What stage `peer` sent with `tag`; messages of one tag arrive in order. "
                                   "`dims` and `dtype` give the type."};
