// shift: y[t] = x[t - by] along a dimension, with zeros at the edge: the previous token, the taps of a causal
// convolution.
#include "compiler/ir/chunk.h"
#include "ops/cut_priv.h"

static bool infer(xlm_infer *x) {
  xlm_dim seq;
  if (!shape_single(x, XLM_A_seq)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_seq, 0, "seq", false, &seq) || !shape_not_packed(x, 0, seq)) return false;
  xlm_infer_set_int(x, XLM_A_start, xlm_attr_int(&x->attrs, XLM_A_start, 1));
  x->out[0] = *xlm_infer_type(x, 0);
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_attr_put_int(&l, XLM_A_start, -xlm_attr_int(shape_grad_attrs(x), XLM_A_start, 1));
  x->din[0] = xlm_emit(x->b, XLM_OP_SHIFT, &x->dout[0], 1, &l);
}

static xlm_dim of_size(xlm_graph *g, const char *name, int64_t size) {
  return xlm_graph_dim(g, xlm_arena_printf(g->arena, "%s.%lld", name, (long long)size), size);
}

static xlm_val of_all_pieces(const xlm_cut *x, xlm_dim seq, int64_t by) {
  xlm_attr_list l = xlm_attr_list_new(x->b->g->arena);
  xlm_val all = cut_gathered(x, x->in[0]);
  xlm_dim whole = xlm_graph_dim_find(x->b->g, x->b->g->dims[seq].name, 0);
  xlm_attr_put_dims(&l, XLM_A_seq, &whole, 1);
  xlm_attr_put_int(&l, XLM_A_start, by);
  return cut_own(x, xlm_emit(x->b, XLM_OP_SHIFT, &all, 1, &l));
}

// With n elements from the neighbour, of `size` here.
static xlm_val of_neighbour(const xlm_cut *x, xlm_dim seq, int64_t by, int64_t n, int64_t size) {
  xlm_dim end = of_size(x->b->g, "end", n), rest = size > n ? of_size(x->b->g, "rest", size - n) : 0;
  xlm_val edge = xlm_slice_to(x->b, x->in[0], seq, by > 0 ? size - n : 0, end);
  edge = cut_with(x->b, edge, cut_member(x));
  xlm_val in[2] = {cut_neighbour(x, edge, by < 0)}, out[2];
  xlm_dim dims[2] = {end, rest};
  if (rest) in[1] = xlm_slice_to(x->b, x->in[0], seq, by > 0 ? 0 : n, rest);
  bool swap = by < 0 && rest;
  out[0] = in[swap], out[1] = in[!swap];
  return xlm_join_to(x->b, out, (xlm_dim[]){dims[swap], dims[!swap]}, rest ? 2 : 1, seq);
}

// What moves in is the end of the piece before this one (by < 0: the beginning of that after it), if all
// pieces are as long.
static void cut(const xlm_cut *x) {
  int64_t by = xlm_attr_int(x->attrs, XLM_A_start, 1), n = by < 0 ? -by : by;
  xlm_dim seq = cut_along(x);
  int64_t size = x->b->g->dims[seq].size, least = size;
  for (uint32_t i = 0; i < x->sizes.n; i++) least = x->sizes.at[i] < least ? x->sizes.at[i] : least;
  if (!n)
    x->out[0] = cut_here(x, XLM_OP_SHIFT);
  else if (n > least || !xlm_dtype_is_float(xlm_val_type(x->b->g, x->in[0])->dtype))
    x->out[0] = of_all_pieces(x, seq, by);
  else
    x->out[0] = of_neighbour(x, seq, by, n, size);
}

static xlm_reach reach(const xlm_graph *g, xlm_node node, const bool *sequence) {
  const xlm_attrs *as = &xlm_node_at(g, node)->attrs;
  xlm_dim seq[XLM_MAX_RANK];
  int64_t by = xlm_attr_int(as, XLM_A_start, 1);
  xlm_attr_dims(as, XLM_A_seq, seq);
  if (!sequence[seq[0]] || by == 0) return (xlm_reach){.along = XLM_ALONG_LOCAL};
  if (by < 0) return (xlm_reach){.along = XLM_ALONG_AHEAD, .help = "a positive `by` looks back"};
  return (xlm_reach){.along = XLM_ALONG_BACK, .cached = 1, .back = by, .before = by};
}

static void chunk(xlm_chunk *c) {
  int64_t by = xlm_attr_int(&xlm_chunk_node(c)->attrs, XLM_A_start, 1) - c->late;
  xlm_attr_list l = xlm_attr_list_new(c->b->g->arena);
  if (c->late && !by) {
    c->out[0] = c->in[0];
    return;
  }
  if (!c->cache[0]) {
    xlm_chunk_emit(c, XLM_OP_SHIFT, c->in, c->n_in, &c->attrs);
    return;
  }
  xlm_dim own = cut_chunk_along(c), seq = xlm_chunk_along(c->all, own);
  xlm_attr_put_dims(&l, XLM_A_seq, &seq, 1);
  xlm_attr_put_int(&l, XLM_A_start, by);
  bool all = by >= c->b->g->dims[seq].size; // all rows are in the cache
  xlm_dim past = xlm_chunk_past(c, 0);
  if (all) xlm_attr_put_dims(&l, XLM_A_past, &past, 1);
  xlm_chunk_emit(c, XLM_OP_CACHE_ROWS, (xlm_val[]){c->cache[0], xlm_chunk_start(c->all, seq), c->in[0]}, all ? 2 : 3, &l);
  if (!c->wrong) c->out[0] = xlm_chunk_renamed(c->all, c->out[0], seq, own);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_seq, false},
                                   {"by", XLM_P_INT, XLM_A_start, false},
                                   {0}};

const xlm_op xlm_op_shift = {
    .name = "shift",
    .facts = {.linear = 1, .mixes = XLM_KEY(seq), .moves = true},
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_start, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST}),
    .layout = "[* seq] -> [* seq] | seq: place, *: linear",
    .infer = infer,
    .cut = cut,
    .cut_along = XLM_A_seq,
    .reach = reach,
    .chunk = chunk,
    .grad = grad,
    .doc = "`shift(x, over seq, by = 1)`: `y[t] = x[t - by]` along `seq` (the default dimension), zero where "
           "t - by lies "
           "outside. A negative `by` looks ahead.",
};
