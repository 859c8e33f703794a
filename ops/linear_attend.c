// linear_attend: attention without softmax, with a state that is a matrix. Per batch entry and head, with
// d[t] = e^log_decay[t]:
//
//   S[t] = d[t] S[t-1] + k[t] v[t]^T,   y[t] = q[t] S[t]
//
// which is linear attention (Katharopoulos et al., 2020) for d = 1, retention (Sun et al., "RetNet", 2023)
// for a constant d per head, and the state space duality of Mamba-2 (Dao & Gu, "Transformers are SSMs", 2024)
// for a decay that depends on the token: q is its C, k its B, v its x times dt, log_decay its A times dt.
// flash-linear-attention calls it simple_gla. Where log_decay has the dimension of the keys' vector, each of
// its channels decays by itself, d[t] being a diagonal matrix: gated linear attention (Yang et al., 2023),
// and the state of RWKV-6 (Peng et al., "Eagle and Finch", 2024).
//
// Kernels work in chunks. With G the running sum of log_decay within a chunk and S the state before it,
//
//   y[t] = e^G[t] q[t] S + sum over s <= t of e^(G[t] - G[s]) (q[t] . k[s]) v[s]
//   S'   = e^G[last] S + sum over s of e^(G[last] - G[s]) k[s] v[s]^T
//
// so that all is matrix products, and only the states between chunks are stored, in the workspace. The
// backward computes them again. With Z the gradient of the loss to the state after the chunk, D[t, s] = dy[t]
// . v[s], A[t, s] = q[t] . k[s] and E[t, s] = e^(G[t] - G[s]) where s <= t, else 0,
//
//   dv[s] = sum over t of A E [t, s] dy[t] + e^(G[last] - G[s]) k[s] Z
//   dq[t] = sum over s of D E [t, s] k[s]  + e^G[t] S dy[t]
//   dk[s] = sum over t of D E [t, s] q[t]  + e^(G[last] - G[s]) Z v[s]
//   Z'    = e^G[last] Z + sum over t of e^G[t] q[t] dy[t]^T
//
// The gradient to log_decay[r] is the sum of all paths from s < r to t >= r. Within a chunk these are the
// elements of A D E with s < r <= t, what enters with S and leaves by q[t], what k[s] v[s]^T leaves in the
// state, and e^G[last] <S, Z>: no difference of sums over the whole sequence, which would lose its digits.
//
// With a decay per channel G has the keys' vector: A E [t, s] is the sum over channels of q[t] k[s] e^(G[t] -
// G[s]), which factors of q and of k alone would give only with overflow. So a chunk is cut into parts of a
// few positions (Yang et al.'s secondary chunks): between parts, with R the sum up to the later one, e^(G[t]
// - R) and e^(R - G[s]) are at most 1; within a part pairs are computed one by one. Of dq and dk without
// pairs s = t, the gradient to log_decay[r] is q[t] dq[t] - k[t] dk[t], summed over t >= r in the chunk, and
// <S', Z>.
//
// Dimensions by name: q and k have the same; v has all of them but the keys' vector, and may have more: heads
// that share queries and keys, and one value vector. dq and dk are sums over the heads.
#include "ops/linear_attend_priv.h"
#include "runtime/plan/chunks.h"

enum { Q, K, V, DECAY, DOUT = 3, DECAY_BWD };

static bool infer_feature(xlm_infer *x, xlm_dim *feature) {
  const xlm_type *q = xlm_infer_type(x, Q), *v = xlm_infer_type(x, V);
  xlm_type own = shape_minus(q, v);
  if (!xlm_attr_find(&x->attrs, XLM_A_feature) && own.rank == 1)
    xlm_infer_set_dims(x, XLM_A_feature, own.dim, 1);
  *feature = shape_attr_dim(x, XLM_A_feature);
  if (own.rank == 1 && *feature == own.dim[0]) return true;
  if (own.rank == 0) {
    xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, V,
                   "the values %s have all dimensions of the queries %s: a state is a matrix of a key by a "
                   "value vector, whose dimensions need different names",
                   xlm_infer_dims_text(x, v), xlm_infer_dims_text(x, q));
    return xlm_infer_help(x,
                          "name the vectors of queries and keys otherwise: `dim key_head = %s`, and `param "
                          "wk[.., key_head]`",
                          shape_name(x, q->dim[q->rank - 1]));
  }
  xlm_dim lacks = own.dim[0] == *feature ? own.dim[1] : own.dim[0];
  return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, V,
                        "the values %s lack `%s` of the queries %s: only the keys' vector may be missing",
                        xlm_infer_dims_text(x, v), shape_name(x, lacks), xlm_infer_dims_text(x, q));
}

// The dimensions of v that q lacks, in v's order, but that of the value vector last: the last one that
// log_decay lacks.
static bool infer_over(xlm_infer *x, const xlm_type *decay) {
  const xlm_type *v = xlm_infer_type(x, V);
  xlm_type more = shape_minus(v, xlm_infer_type(x, Q));
  int value = more.rank - 1;
  while (value >= 0 && decay && xlm_type_find(decay, more.dim[value]) >= 0) value--;
  if (value < 0) {
    xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, V,
                   "the values %s have no dimension of their own, that of a vector",
                   xlm_infer_dims_text(x, v));
    return xlm_infer_help(x,
                          "queries and keys are [.., seq, state], values [.., seq, heads, head], log_decay "
                          "[.., seq, heads]");
  }
  xlm_dim last = more.dim[value];
  for (int i = value; i + 1 < more.rank; i++) more.dim[i] = more.dim[i + 1];
  more.dim[more.rank - 1] = last;
  xlm_infer_set_dims(x, XLM_A_over, more.dim, more.rank);
  return true;
}

static bool check_decay(xlm_infer *x, int at, xlm_dim feature) {
  const xlm_type *decay = xlm_infer_type(x, at), *v = xlm_infer_type(x, V);
  if (!xlm_infer_is_float(x, at)) return false;
  xlm_type heads = shape_without(decay, feature), extra = shape_minus(&heads, v);
  return !extra.rank || xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, at,
                                       "log_decay %s has `%s`, which neither the keys' vector nor the values "
                                       "%s have",
                                       xlm_infer_dims_text(x, decay), shape_name(x, extra.dim[0]),
                                       xlm_infer_dims_text(x, v));
}

static bool infer_common(xlm_infer *x, int decay) {
  xlm_dim seq, feature;
  for (int i = Q; i <= V; i++)
    if (!xlm_infer_is_float(x, i)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_seq, V, "seq", false, &seq)) return false;
  if (!shape_match(x, K, xlm_infer_type(x, Q), "the keys") || !infer_feature(x, &feature)) return false;
  if (!xlm_infer_has(x, Q, seq, "which is the sequence") || !shape_not_packed(x, V, seq)) return false;
  bool has = decay < x->n_in;
  return (!has || check_decay(x, decay, feature)) && infer_over(x, has ? xlm_infer_type(x, decay) : NULL);
}

static bool infer(xlm_infer *x) {
  if (!infer_common(x, DECAY)) return false;
  x->out[0] = *xlm_infer_type(x, V);
  return true;
}

// The gradient to log_decay is that of a decay for every position and head, and channel if it has channels.
static bool infer_bwd(xlm_infer *x) {
  if (!infer_common(x, DECAY_BWD)) return false;
  if (!xlm_infer_is_float(x, DOUT) || !shape_match(x, DOUT, xlm_infer_type(x, V), "the gradient"))
    return false;
  for (int i = Q; i <= V; i++) x->out[i] = *xlm_infer_type(x, i);
  x->n_out = x->n_in > DECAY_BWD ? 4 : 3;
  xlm_dim over[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_over, over);
  xlm_dim feature = shape_attr_dim(x, XLM_A_feature);
  bool channels = x->n_out > 3 && xlm_type_find(xlm_infer_type(x, DECAY_BWD), feature) >= 0;
  x->out[3] = shape_without(xlm_infer_type(x, V), over[n - 1]);
  if (channels) x->out[3].dim[x->out[3].rank++] = feature;
  x->out[3].dtype = shape_wide(x->out[3].dtype);
  return true;
}

static void grad(xlm_grad *d) {
  bool decays = xlm_node_at(d->b->g, d->node)->n_in > DECAY;
  xlm_attr_list l = xlm_attr_list_from(d->b->g->arena, shape_grad_attrs(d));
  xlm_val in[] = {d->in[Q], d->in[K], d->in[V], d->dout[0], decays ? d->in[DECAY] : 0};
  xlm_val first = xlm_emit(d->b, XLM_OP_LINEAR_ATTEND_BWD, in, decays ? 5 : 4, &l);
  for (int i = Q; i <= V; i++)
    if (d->need[i]) d->din[i] = first + (xlm_val)i;
  if (decays && d->need[DECAY]) {
    xlm_type like = *xlm_val_type(d->b->g, d->in[DECAY]);
    d->din[DECAY] = xlm_sum_to(d->b, first + 3, &like);
  }
}

// ---- a sequence in pieces: see cut_priv.h. The state before a piece enters as a product with the queries,
// the gradient to the state after it as products with keys and values; each by the decays in between, which
// multiply the values, or with a decay per channel the keys' vectors.

typedef struct piece {
  const xlm_cut *x;
  xlm_build *b;
  xlm_dim seq, feature, over[XLM_MAX_RANK]; // over: the heads, then the value vector
  int n_over;
  bool channels;
  xlm_val from_start, to_end,
      whole; // of the decays: up to each position, after it, of all; 0: nothing decays
} piece;

static xlm_val wide(xlm_build *b, xlm_val v) {
  return xlm_cast_to(b, v, shape_wide(xlm_val_type(b->g, v)->dtype));
}

static piece piece_of(const xlm_cut *x, int decay) {
  piece p = {.x = x, .b = x->b, .seq = cut_along(x)};
  xlm_attr_dims(x->attrs, XLM_A_feature, p.over);
  p.feature = p.over[0];
  p.n_over = xlm_attr_dims(x->attrs, XLM_A_over, p.over);
  if (decay >= x->n_in) return p;
  p.channels = xlm_type_find(xlm_val_type(x->b->g, x->in[decay]), p.feature) >= 0;
  xlm_val log = cut_with(x->b, wide(x->b, x->in[decay]), p.seq);
  p.from_start = xlm_op1(x->b, XLM_OP_EXP, cut_running(x->b, log, p.seq, false, false));
  p.to_end = xlm_op1(x->b, XLM_OP_EXP, cut_running(x->b, log, p.seq, true, true));
  p.whole = xlm_op1(x->b, XLM_OP_EXP, xlm_sum_over(x->b, log, &p.seq, 1));
  return p;
}

static xlm_val times(const piece *p, xlm_val v, xlm_val decays) {
  return decays ? xlm_op2(p->b, XLM_OP_MUL, wide(p->b, v), decays) : wide(p->b, v);
}
static xlm_val times_keys(const piece *p, xlm_val keys, xlm_val decays) {
  return times(p, keys, p->channels ? decays : 0);
}
static xlm_val times_values(const piece *p, xlm_val values, xlm_val decays) {
  return times(p, values, p->channels ? 0 : decays);
}

static xlm_val product(const piece *p, xlm_val a, xlm_val b, const xlm_dim *over, int n) {
  return xlm_contract(p->b, wide(p->b, a), b, over, n, NULL, -1);
}

// What the other pieces leave here of states to which each adds the products of its keys and values.
static xlm_val carried(const piece *p, xlm_val keys, xlm_val values, bool after) {
  xlm_val total = product(p, keys, values, &p->seq, 1);
  xlm_dim member = cut_member(p->x);
  total = cut_with(p->b, total, member);
  xlm_val whole = p->whole ? cut_with(p->b, p->whole, member) : 0;
  return cut_carried(p->x, total, whole, after);
}

static void cut(const xlm_cut *x) {
  piece p = piece_of(x, DECAY);
  xlm_val y = cut_here(x, XLM_OP_LINEAR_ATTEND);
  xlm_val keys = times_keys(&p, x->in[K], p.to_end), queries = times_keys(&p, x->in[Q], p.from_start);
  xlm_val before = carried(&p, keys, times_values(&p, x->in[V], p.to_end), false);
  x->out[0] = cut_add(x->b, y, times_values(&p, product(&p, queries, before, &p.feature, 1), p.from_start));
}

// What paths from before the piece, to after it, and through all of it add to the gradient of log_decay;
// entered, left: of each position.
static xlm_val through(const piece *p, xlm_val entered, xlm_val left, xlm_val before, xlm_val after) {
  xlm_val in = cut_running(p->b, entered, p->seq, true, false);
  xlm_val out = cut_running(p->b, left, p->seq, false, true);
  xlm_val both = xlm_op2(p->b, XLM_OP_MUL, before, after);
  xlm_dim over[] = {p->over[p->n_over - 1], p->feature};
  xlm_val all = xlm_sum_over(p->b, both, over, p->channels ? 1 : 2);
  xlm_val ends = xlm_op2(p->b, XLM_OP_ADD, in, out);
  return xlm_op2(p->b, XLM_OP_ADD, ends, times(p, all, p->whole));
}

// rows . state over the value vector, by the decays: the gradient to queries or keys, of each head.
static xlm_val to_keys(const piece *p, xlm_val rows, xlm_val state, xlm_val decays) {
  return times(p, product(p, rows, state, &p->over[p->n_over - 1], 1), decays);
}
static xlm_val of_heads(const piece *p, xlm_val v) {
  return p->n_over > 1 ? xlm_sum_over(p->b, v, p->over, p->n_over - 1) : v;
}

static void cut_bwd_channels(const xlm_cut *x, const piece *p) {
  xlm_val first = cut_here(x, XLM_OP_LINEAR_ATTEND_BWD);
  xlm_val keys = times(p, x->in[K], p->to_end), queries = times(p, x->in[Q], p->from_start);
  xlm_val v = wide(x->b, x->in[V]), dy = wide(x->b, x->in[DOUT]);
  xlm_val before = carried(p, keys, v, false), after = carried(p, queries, dy, true);
  xlm_val dq = to_keys(p, dy, before, p->from_start), dk = to_keys(p, v, after, p->to_end);
  x->out[Q] = cut_add(x->b, first, of_heads(p, dq));
  x->out[K] = cut_add(x->b, first + 1, of_heads(p, dk));
  x->out[V] = cut_add(x->b, first + 2, product(p, keys, after, &p->feature, 1));
  xlm_val entered = times(p, x->in[Q], dq), left = times(p, x->in[K], dk);
  x->out[3] = cut_add(x->b, first + 3, through(p, entered, left, before, after));
}

static void cut_bwd_heads(const xlm_cut *x, const piece *p) {
  xlm_val first = cut_here(x, XLM_OP_LINEAR_ATTEND_BWD);
  xlm_val values = times(p, x->in[V], p->to_end), dy = times(p, x->in[DOUT], p->from_start);
  xlm_val before = carried(p, x->in[K], values, false), after = carried(p, x->in[Q], dy, true);
  xlm_val dv = times(p, product(p, x->in[K], after, &p->feature, 1), p->to_end);
  x->out[Q] = cut_add(x->b, first, product(p, dy, before, p->over, p->n_over));
  x->out[K] = cut_add(x->b, first + 1, product(p, values, after, p->over, p->n_over));
  x->out[V] = cut_add(x->b, first + 2, dv);
  if (x->n_in <= DECAY_BWD) return;
  xlm_dim value = p->over[p->n_over - 1];
  xlm_val entered = xlm_op2(x->b, XLM_OP_MUL, product(p, x->in[Q], before, &p->feature, 1), dy);
  xlm_val left = xlm_op2(x->b, XLM_OP_MUL, dv, wide(x->b, x->in[V]));
  entered = xlm_sum_over(x->b, entered, &value, 1), left = xlm_sum_over(x->b, left, &value, 1);
  x->out[3] = cut_add(x->b, first + 3, through(p, entered, left, before, after));
}

static void cut_bwd(const xlm_cut *x) {
  piece p = piece_of(x, DECAY_BWD);
  if (p.channels)
    cut_bwd_channels(x, &p);
  else
    cut_bwd_heads(x, &p);
}

static int64_t heads_of(const xlm_graph *g, const xlm_node_info *info) { // that share queries and keys
  xlm_dim over[XLM_MAX_RANK];
  int64_t heads = 1;
  for (int i = xlm_attr_dims(&info->attrs, XLM_A_over, over) - 2; i >= 0; i--) heads *= g->dims[over[i]].size;
  return heads;
}

// Multiply-adds of products: `states` times a position with a state, `pairs` times a pair of positions of one
// chunk with a value vector, `scores` of them with a key. Of the pairs of a chunk half count. Heads that
// share queries and keys share their scores, but not with decays per channel.
static void cost_of(const xlm_graph *g, xlm_node n, int decay, double states, double pairs, double scores,
                    xlm_cost *out) {
  const xlm_node_info *info = xlm_node_at(g, n);
  xlm_dim feature[XLM_MAX_RANK];
  xlm_attr_dims(&info->attrs, XLM_A_feature, feature);
  double values = (double)xlm_type_elements(xlm_val_type(g, info->in[V]), g->dims);
  double keys = (double)xlm_type_elements(xlm_val_type(g, info->in[K]), g->dims);
  if (decay < info->n_in && xlm_type_find(xlm_val_type(g, info->in[decay]), feature[0]) >= 0)
    keys *= (double)heads_of(g, info);
  out->flops = 2 * (states * values * (double)g->dims[feature[0]].size +
                    pairs * values * XLM_LINEAR_CHUNK / 2 + scores * keys * XLM_LINEAR_CHUNK / 2);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_of(g, n, DECAY, 2, 1, 1, out);
  out->model_flops = out->flops;
}

static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  xlm_cost again;
  cost_of(g, n, DECAY_BWD, 5, 2, 3, out);
  cost_of(g, n, DECAY_BWD, 1, 0, 1, &again);
  out->model_flops = out->flops - again.flops; // excludes the states and scores that are computed again
}

static const xlm_param params[] = {{"q", XLM_P_TENSOR, 0, true},
                                   {"k", XLM_P_TENSOR, 0, true},
                                   {"v", XLM_P_TENSOR, 0, true},
                                   {"log_decay", XLM_P_TENSOR, 0, false},
                                   {"seq", XLM_P_DIM, XLM_A_seq, false},
                                   {"feature", XLM_P_DIM, XLM_A_feature, false},
                                   {0}};

#define TAKES                                                                                                \
  XLM_TAKES({XLM_A_seq, XLM_IN(2), 1, 1}, {XLM_A_feature, XLM_IN(0), 1, 1}, {XLM_A_over, XLM_IN(2), 1, 8})

const xlm_op xlm_op_linear_attend = {
    .name = "linear_attend",
    .facts = {.product = XLM_PRODUCT_ATTENTION, .linear = 7, .mixes = XLM_KEY(seq) | XLM_KEY(feature)},
    .min_in = 3,
    .max_in = 4,
    .n_out = 1,
    .params = params,
    TAKES,
    .layout = "[* seq feature], [* seq feature], [* seq over], [* seq over feature] -> [* seq over] | seq: "
              "place, feature: sum",
    .infer = infer,
    .cut = cut,
    .cut_along = XLM_A_seq,
    .reach = linear_attend_reach,
    .chunk = linear_attend_chunk,
    .grad = grad,
    .cost = cost,
    .doc =
        "Linear attention with decay: `S[t] = e^log_decay[t] S[t-1] + k[t] v[t]^T`, `y[t] = q[t] S[t]`, "
        "from S = 0, per batch entry and head. The state S is a matrix of a key by a value vector. q and k "
        "are [.., seq, heads, state], v is [.., seq, heads, head]; q and k may lack dimensions of v, "
        "usually the heads, and are shared along them. log_decay may lack any dimension, and has not that "
        "of the value vector: [heads] is RetNet's retention, [batch, seq, heads] the state space layer of "
        "Mamba-2 (q = C, k = B, v = x dt, log_decay = A dt). With the dimension of the keys' vector, "
        "[batch, seq, heads, state], each channel of the keys decays by itself: row i of S by "
        "`e^log_decay[t, i]`, which is gated linear attention, and the state of RWKV-6. Without log_decay "
        "nothing decays. It should not be positive; a very negative one ends what came before, at the "
        "beginning of a document for instance. The result has v's dimensions; scores are not scaled: scale "
        "q. It is computed in chunks, by matrix products, in time and memory linear in the sequence. Where "
        "the sequence is split over ranks, they exchange the states at the ends of their pieces."};

const xlm_op xlm_op_linear_attend_bwd = {
    .name = "linear_attend_bwd",
    .facts = {.product = XLM_PRODUCT_ATTENTION, .mixes = XLM_KEY(seq) | XLM_KEY(feature) | XLM_KEY(over)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 4,
    .max_in = 5,
    .n_out = 4,
    TAKES,
    .layout =
        "[* seq feature], [* seq feature], [* seq over], [* seq over], [* seq over feature] -> "
        "[* seq feature], [* seq feature], [* seq over], [* seq over feature] | seq: place, feature: sum, "
        "over: sum",
    .infer = infer_bwd,
    .cut = cut_bwd,
    .cut_along = XLM_A_seq,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost_bwd,
    .doc = "`linear_attend_bwd(q, k, v, dy, log_decay)`: gradients of linear_attend to q, k, v and a "
           "log_decay for every position and head, and for every channel if log_decay has the keys' vector. "
           "States and scores are computed again, chunk by chunk."};
