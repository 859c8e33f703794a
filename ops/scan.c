// scan: the linear recurrence h[t] = a[t] h[t-1] + b[t], elementwise (Blelloch, "Prefix Sums and Their
// Applications", 1990: pairs (a, b) compose associatively, so it can be computed in parallel; in JAX,
// lax.associative_scan with that composition). With g the gradient of the loss to h[t] through all later
// elements,
//
//   g[t]  = dh[t] + a[t+1] g[t+1]     a scan from the other end
//   db[t] = g[t],  da[t] = g[t] h[t-1]
//
// Decoding (scan_from) keeps the state of the last place.
#include "ops/cache_priv.h"
#include "ops/cut_priv.h"

enum { A, B, PAST = 0, FROM_A, FROM_B, START };

static bool infer_of(xlm_infer *x, int factors, int terms) {
  xlm_dim seq;
  const xlm_type *a = xlm_infer_type(x, factors), *b = xlm_infer_type(x, terms);
  if (!xlm_infer_is_float(x, factors) || !xlm_infer_is_float(x, terms) || !shape_single(x, XLM_A_seq))
    return false;
  if (!xlm_infer_dim_attr(x, XLM_A_seq, terms, "seq", false, &seq) || !shape_not_packed(x, terms, seq))
    return false;
  xlm_type extra = shape_minus(a, b);
  if (extra.rank) {
    xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, factors,
                   "the factors %s have dimension `%s`, which the terms %s lack: each term has one state",
                   xlm_infer_dims_text(x, a), shape_name(x, extra.dim[0]), xlm_infer_dims_text(x, b));
    return xlm_infer_help(
        x, "write scan(a, b, ..) with the dimensions of a state in b; a may lack some of them");
  }
  x->out[0] = *b;
  if (a->dtype != b->dtype) x->out[0].dtype = XLM_F32;
  return true;
}

static bool infer(xlm_infer *x) {
  return infer_of(x, A, B);
}

static bool infer_from(xlm_infer *x) {
  xlm_dim past;
  if (!infer_of(x, FROM_A, FROM_B)) return false;
  x->out[0].dtype = shape_wide(x->out[0].dtype);
  if (!cache_check(x, PAST, &x->out[0], shape_attr_dim(x, XLM_A_seq), &past)) return false;
  xlm_infer_set_dims(x, XLM_A_past, &past, 1);
  return cache_infer_places(x, START, FROM_B, "the places");
}

// x, one place later (by 1) or earlier (by -1).
static xlm_val shifted(const xlm_grad *x, xlm_val v, int64_t by) {
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_attr_drop(&l, XLM_A_inverse);
  xlm_attr_put_int(&l, XLM_A_start, by);
  return xlm_emit(x->b, XLM_OP_SHIFT, &v, 1, &l);
}

static void grad(xlm_grad *x) {
  const xlm_attrs *as = shape_grad_attrs(x);
  bool reverse = xlm_attr_int(as, XLM_A_inverse, 0);
  int64_t next = reverse ? 1 : -1;
  xlm_dim seq[XLM_MAX_RANK];
  xlm_attr_dims(as, XLM_A_seq, seq);
  const xlm_type like = *xlm_val_type(x->b->g, x->in[A]);
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, as);
  xlm_attr_put_int(&l, XLM_A_inverse, !reverse);
  xlm_val a = xlm_type_find(&like, seq[0]) >= 0 ? shifted(x, x->in[A], next) : x->in[A];
  xlm_val g = xlm_emit(x->b, XLM_OP_SCAN, (xlm_val[]){a, shape_dout(x, 0)}, 2, &l);
  if (x->need[B]) x->din[B] = g;
  if (!x->need[A]) return;
  xlm_val before = shifted(x, x->out[0], -next);
  x->din[A] = xlm_sum_to(x->b, xlm_op2(x->b, XLM_OP_MUL, g, before), &like);
}

// The product of the factors from the piece's beginning: a scan whose only term is the first factor.
static xlm_val products(const xlm_cut *x, xlm_dim seq, int64_t first) {
  bool split = xlm_type_find(xlm_val_type(x->b->g, x->in[A]), seq) >= 0;
  xlm_val one = split ? xlm_slice_to(x->b, x->in[A], seq, first, cut_member(x))
                      : cut_with(x->b, x->in[A], cut_member(x));
  xlm_attr_list pad = xlm_attr_list_new(x->b->g->arena), l = xlm_attr_list_from(x->b->g->arena, x->attrs);
  xlm_dim member = cut_member(x);
  xlm_attr_put_dims(&pad, XLM_A_from, &member, 1);
  xlm_attr_put_dims(&pad, XLM_A_to, &seq, 1);
  xlm_attr_put_int(&pad, XLM_A_start, first);
  xlm_val in[] = {x->in[A], xlm_emit(x->b, XLM_OP_PAD, &one, 1, &pad)};
  return xlm_emit(x->b, XLM_OP_SCAN, in, 2, &l);
}

// The state that the pieces before this one leave reaches each element by the product of the factors up to
// it.
static void cut(const xlm_cut *x) {
  bool reverse = xlm_attr_int(x->attrs, XLM_A_inverse, 0);
  xlm_dim seq = cut_along(x);
  int64_t end = x->b->g->dims[seq].size - 1, first = reverse ? end : 0, last = reverse ? 0 : end;
  xlm_val h = cut_here(x, XLM_OP_SCAN), product = products(x, seq, first);
  xlm_val total = xlm_slice_to(x->b, h, seq, last, cut_member(x));
  xlm_val factor = xlm_slice_to(x->b, product, seq, last, cut_member(x));
  xlm_val before = cut_carried(x, total, factor, reverse);
  x->out[0] = cut_add(x->b, h, xlm_op2(x->b, XLM_OP_MUL, product, before));
}

static void chunk(xlm_chunk *c) {
  xlm_dim seq = cut_chunk_along(c);
  if (!seq) {
    xlm_chunk_emit(c, XLM_OP_SCAN, c->in, c->n_in, &c->attrs);
    return;
  }
  xlm_val b = xlm_chunk_rows(c->all, c->in[B], seq);
  xlm_dtype result = xlm_val_type(c->all->g, xlm_chunk_node(c)->out)->dtype;
  xlm_type rows = *xlm_val_type(c->b->g, b);
  rows.dtype = shape_wide(result);
  xlm_val past = xlm_chunk_ring(c->all, c->node, NULL, &rows, seq, 1);
  xlm_chunk_emit(c, XLM_OP_SCAN_FROM, (xlm_val[]){past, c->in[A], b, xlm_chunk_start(c->all, seq)}, 4, &c->attrs);
  if (c->wrong) return;
  xlm_chunk_store(c->all, past, c->out[0], seq);
  c->out[0] = xlm_cast_to(c->b, c->out[0], result);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) { // the terms are like the result
  out->flops = 2 * (double)xlm_type_elements(xlm_val_type(g, xlm_node_at(g, n)->out), g->dims);
}

static const xlm_param params[] = {{"a", XLM_P_TENSOR, 0, true},
                                   {"b", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_seq, false},
                                   {"reverse", XLM_P_FLAG, XLM_A_inverse, false},
                                   {0}};

const xlm_op xlm_op_scan = {
    .name = "scan",
    .facts = {.linear = 2, .mixes = XLM_KEY(seq)},
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .in_place = 2,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(1), 1, 1}, {XLM_A_inverse, .low = 0, .high = 1, .may = true}),
    .layout = "[* seq], [* seq] -> [* seq] | seq: place",
    .cut = cut,
    .cut_along = XLM_A_seq,
    .reach = cut_reach,
    .chunk = chunk,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc =
        "`scan(a, b, over seq)`: the linear recurrence `h[t] = a[t] h[t-1] + b[t]`, elementwise, with `h = "
        "0` before the "
        "first element; `seq` is the default dimension. `a` may lack dimensions of `b`, also `seq`: then "
        "it is the same "
        "along them. `reverse` begins at the end: `h[t] = a[t] h[t+1] + b[t]`. States are f32 inside; "
        "the result has "
        "the operands' type. Example, an exponential average: `scan(keep, (1 - keep) * x)`. States that "
        "are matrices: "
        "`linear_attend`. Where the sequence is split over "
        "ranks, they exchange their last states.",
};

const xlm_op xlm_op_scan_from = {
    .name = "scan_from",
    .facts = {.mixes = XLM_KEY(seq) | XLM_KEY(past)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 4,
    .max_in = 4,
    .n_out = 1,
    XLM_TAKES({XLM_A_seq, XLM_IN(2), 1, 1}, {XLM_A_past, XLM_IN(0), 1, 1}),
    .layout = "[* past], [* seq], [* seq], [*] -> [* seq] | seq: whole, past: whole",
    .infer = infer_from,
    .no_grad = "decoding is not differentiated",
    .cost = cost,
    .doc = "`scan_from(past, a, b, start)`: `scan` of some places, b[.., seq, ..] being those from place "
           "`start` "
           "on, for every sequence. `past` is a cache of its results (`cache_put`), of which the last one is "
           "the "
           "state; where a sequence begins it is 0. The result is f32, whatever the operands.",
};
