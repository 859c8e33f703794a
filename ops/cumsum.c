// cumsum: running sums along a dimension. The gradient of a running sum is the running sum from the other
// end. The result is f32 whatever the operand, as that of `sum`.
//
// Kernels may add up runs of XLM_CUMSUM_RUN elements from zero, and add each to the sum before it. Decoding
// (cumsum_from) keeps both of the last place, and begins runs at the same places.
#include "ops/cache_priv.h"
#include "ops/cut_priv.h"

enum { BEFORE, RUN, FROM_X, START };

static bool infer_of(xlm_infer *x, int of) {
  xlm_dim seq;
  if (!xlm_infer_is_float(x, of) || !shape_single(x, XLM_A_seq)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_seq, of, "seq", false, &seq) || !shape_not_packed(x, of, seq))
    return false;
  x->out[0] = *xlm_infer_type(x, of);
  x->out[0].dtype = shape_wide(x->out[0].dtype);
  return true;
}

static bool infer(xlm_infer *x) {
  return infer_of(x, 0);
}

static bool infer_from(xlm_infer *x) {
  xlm_dim past, of_run;
  if (!infer_of(x, FROM_X)) return false;
  xlm_dim seq = shape_attr_dim(x, XLM_A_seq);
  x->out[1] = x->out[0];
  if (!cache_check(x, BEFORE, &x->out[0], seq, &past) || !cache_check(x, RUN, &x->out[0], seq, &of_run))
    return false;
  if (past != of_run)
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, RUN, "the caches %s and %s are of different lengths",
                          xlm_infer_dims_text(x, xlm_infer_type(x, BEFORE)),
                          xlm_infer_dims_text(x, xlm_infer_type(x, RUN)));
  xlm_infer_set_dims(x, XLM_A_past, &past, 1);
  return cache_infer_places(x, START, FROM_X, "the places");
}

static void grad(xlm_grad *x) {
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_attr_put_int(&l, XLM_A_inverse, !xlm_attr_int(shape_grad_attrs(x), XLM_A_inverse, 0));
  x->din[0] = xlm_emit(x->b, XLM_OP_CUMSUM, &x->dout[0], 1, &l);
}

// The sum of the pieces before this one is added.
static void cut(const xlm_cut *x) {
  bool reverse = xlm_attr_int(x->attrs, XLM_A_inverse, 0);
  xlm_dim seq = cut_along(x);
  xlm_val y = cut_here(x, XLM_OP_CUMSUM);
  int64_t last = reverse ? 0 : x->b->g->dims[seq].size - 1;
  xlm_val before = cut_carried(x, xlm_slice_to(x->b, y, seq, last, cut_member(x)), 0, reverse);
  x->out[0] = cut_add(x->b, y, before);
}

static void chunk(xlm_chunk *c) {
  xlm_dim seq = cut_chunk_along(c);
  if (!seq) {
    xlm_chunk_emit(c, XLM_OP_CUMSUM, c->in, c->n_in, &c->attrs);
    return;
  }
  xlm_val x = xlm_chunk_rows(c->all, c->in[0], seq);
  xlm_type rows = *xlm_val_type(c->b->g, x);
  rows.dtype = shape_wide(rows.dtype);
  xlm_val before = xlm_chunk_ring(c->all, c->node, NULL, &rows, seq, 1),
          run = xlm_chunk_ring(c->all, c->node, "run", &rows, seq, 1);
  xlm_chunk_emit(c, XLM_OP_CUMSUM_FROM, (xlm_val[]){before, run, x, xlm_chunk_start(c->all, seq)}, 4, &c->attrs);
  if (c->wrong) return;
  xlm_val sums = c->out[0], own = sums + 1;
  xlm_chunk_store(c->all, before, sums, seq), xlm_chunk_store(c->all, run, own, seq);
  c->out[0] = xlm_op2(c->b, XLM_OP_ADD, sums, own);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) { // a result is like the operand
  out->flops = (double)xlm_type_elements(xlm_val_type(g, xlm_node_at(g, n)->out), g->dims);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_seq, false},
                                   {"reverse", XLM_P_FLAG, XLM_A_inverse, false},
                                   {0}};

const xlm_op xlm_op_cumsum = {
    .name = "cumsum",
    .facts = {.linear = 1, .mixes = XLM_KEY(seq)},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .in_place = 1,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_inverse, .low = 0, .high = 1, .may = true}),
    .layout = "[* seq] -> [* seq] | seq: place, *: linear",
    .cut = cut,
    .cut_along = XLM_A_seq,
    .reach = cut_reach,
    .chunk = chunk,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "`cumsum(x, over seq)`: running sums, `y[t] = x[0] + .. + x[t]` along `seq` (the default "
           "dimension); `reverse` begins "
           "at the end: `y[t] = x[t] + .. + x[n - 1]`. The result is f32, and its bits do not depend on the "
           "number of "
           "threads. Without its own element, a running sum is `shift(cumsum(x))`. Example, the number of "
           "the document "
           "at each position: `cumsum(f32(eq(f32(tokens), separator)))`. Where the "
           "sequence is split over ranks, they exchange their totals.",
};

const xlm_op xlm_op_cumsum_from = {
    .name = "cumsum_from",
    .facts = {.mixes = XLM_KEY(seq) | XLM_KEY(past)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 4,
    .max_in = 4,
    .n_out = 2,
    XLM_TAKES({XLM_A_seq, XLM_IN(2), 1, 1}, {XLM_A_past, XLM_IN(0), 1, 1}),
    .layout = "[* past], [* past], [* seq], [*] -> [* seq], [* seq] | seq: whole, past: whole",
    .infer = infer_from,
    .no_grad = "decoding is not differentiated",
    .cost = cost,
    .doc = "`cumsum_from(before, run, x, start)`: `cumsum` of some places, x[.., seq, ..] being those from "
           "place "
           "`start` on, for every sequence: at each place the sum of the runs of 64 places that are "
           "complete, and that "
           "of the run that the place is in, of which the sum is the running sum. `before` and `run` are "
           "caches of "
           "these results (`cache_put`), which are f32; where a sequence begins they are taken as 0.",
};
