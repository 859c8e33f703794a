// linear_attend in decoding: some places of a sequence from a kept state on.
//
// Whole sequences are computed in chunks of XLM_LINEAR_CHUNK places (linear_attend.c), which begin at
// multiples of it, and decoding computes each place by the same sums: from the state before the chunk that
// the place is in, and from that chunk's keys, values and decays up to it. So it keeps that state, which
// changes once per chunk (linear_attend_put), and rings of the keys, values and decays of a chunk's places.
#include "ops/cache_priv.h"
#include "ops/linear_attend_priv.h"
#include "runtime/plan/chunks.h"

enum { Q, K, V, DECAY }; // of linear_attend
// Operands of linear_attend_from and of linear_attend_put; the last ones are the same.
enum { STATE, FROM_Q, FROM_K, FROM_V, FROM_START };
enum { PUT_K = 1, PUT_V, PUT_START, PUT_COUNT };
enum { PAST_K = 5, PAST_V, LOG, PAST_LOG };

// ---- what is kept

xlm_reach linear_attend_reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  xlm_reach r = cut_reach(g, n, sequence);
  const xlm_node_info *info = xlm_node_at(g, n);
  xlm_dim seq[XLM_MAX_RANK] = {0};
  if (r.along != XLM_ALONG_BACK) return r;
  xlm_attr_dims(&info->attrs, XLM_A_seq, seq);
  r.back = XLM_LINEAR_CHUNK;
  for (int i = K; i < info->n_in; i++)
    if (xlm_type_find(xlm_val_type(g, info->in[i]), seq[0]) >= 0) r.cached |= 1u << i;
  return r;
}

// Keys have the batch here, whether or not they had it: then it is none of the heads.
static void put_dims(xlm_chunk *c, xlm_dim seq) {
  xlm_dim over[XLM_MAX_RANK];
  xlm_attrs as = xlm_attr_freeze(&c->attrs);
  int n = xlm_attr_dims(&as, XLM_A_over, over), kept = 0;
  for (int i = 0; i < n; i++)
    if (xlm_type_find(xlm_val_type(c->b->g, c->in[K]), over[i]) < 0) over[kept++] = over[i];
  xlm_attr_put_dims(&c->attrs, XLM_A_over, over, kept);
  xlm_attr_put_dims(&c->attrs, XLM_A_seq, &seq, 1);
}

// [.., key, value]: the values' dimensions without the sequence, with the keys' vector before theirs.
static xlm_type state_type(const xlm_chunk *c, xlm_dim seq) {
  xlm_dim over[XLM_MAX_RANK], feature[XLM_MAX_RANK];
  xlm_attrs as = xlm_attr_freeze(&c->attrs);
  int n = xlm_attr_dims(&as, XLM_A_over, over);
  xlm_attr_dims(&as, XLM_A_feature, feature);
  const xlm_type *v = xlm_val_type(c->b->g, c->in[V]);
  xlm_type t = shape_without(v, seq);
  t = shape_without(&t, over[n - 1]);
  t.dim[t.rank++] = feature[0], t.dim[t.rank++] = over[n - 1];
  t.dtype = shape_wide(t.dtype);
  return t;
}

void linear_attend_chunk(xlm_chunk *c) {
  xlm_chunks *all = c->all;
  xlm_dim own = cut_chunk_along(c), seq = own ? xlm_chunk_along(all, own) : 0;
  if (!seq) {
    xlm_chunk_emit(c, XLM_OP_LINEAR_ATTEND, c->in, c->n_in, &c->attrs);
    return;
  }
  bool decays = c->n_in > DECAY, cached = decays && c->cache[DECAY];
  int n = decays ? cached ? PAST_LOG + 1 : LOG + 1 : LOG;
  put_dims(c, seq);
  xlm_type type = state_type(c, seq);
  xlm_val q = xlm_chunk_rows(all, xlm_chunk_renamed(all, c->in[Q], own, seq), seq),
          state = xlm_chunk_state(all, c->node, NULL, &type), log = decays ? c->in[DECAY] : 0,
          past_log = cached ? c->cache[DECAY] : 0, start = xlm_chunk_start(all, seq);
  xlm_val from[] = {state, q, c->in[K], c->in[V], start, c->cache[K], c->cache[V], log, past_log};
  xlm_chunk_emit(c, XLM_OP_LINEAR_ATTEND_FROM, from, n, &c->attrs);
  if (c->wrong) return;
  c->out[0] = xlm_chunk_renamed(all, c->out[0], seq, own);
  xlm_val put[] = {state,       c->in[K],    c->in[V], start,   xlm_chunk_count(all, seq),
                   c->cache[K], c->cache[V], log,      past_log};
  xlm_graph_update(c->b->g, state, xlm_emit(c->b, XLM_OP_LINEAR_ATTEND_PUT, put, n, &c->attrs));
}

// ---- rules

// A ring of operand `of`'s rows; its dimension joins those of `past`.
static bool add_ring(xlm_infer *x, int ring, int of, xlm_dim seq, xlm_type *past) {
  xlm_dim d;
  if (!cache_check(x, ring, xlm_infer_type(x, of), seq, &d)) return false;
  if (xlm_type_find(past, d) < 0) past->dim[past->rank++] = d;
  return true;
}

static bool check_state(xlm_infer *x, int v, xlm_dim seq, xlm_dim feature) {
  const xlm_type *state = xlm_infer_type(x, STATE);
  xlm_type like = shape_without(xlm_infer_type(x, v), seq);
  like.dtype = shape_wide(like.dtype);
  if (!shape_append(x, &like, feature)) return false;
  if (state->dtype == like.dtype && shape_same_dims(state, &like)) return true;
  return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, STATE, "the state %s is not a matrix %s of each head",
                        xlm_infer_dims_text(x, state), xlm_infer_dims_text(x, &like));
}

// The dimensions of the values that the keys lack, that of their vector last.
static bool check_over(xlm_infer *x, int k, int v) {
  const xlm_attr *over = xlm_attr_find(&x->attrs, XLM_A_over);
  xlm_type own = shape_minus(xlm_infer_type(x, v), xlm_infer_type(x, k));
  bool same = over && over->n == own.rank && own.rank;
  for (int i = 0; same && i < own.rank; i++) same = xlm_type_find(&own, over->dims[i]) >= 0;
  return same ||
         xlm_infer_fail(x, XLM_FAULT_ATTR, v, "`over` is not what the values %s have and the keys lack",
                        xlm_infer_dims_text(x, xlm_infer_type(x, v)));
}

static bool infer_common(xlm_infer *x, int k, int v, int start) {
  xlm_dim seq, feature = shape_attr_dim(x, XLM_A_feature);
  xlm_type past = {0};
  for (int i = STATE; i < x->n_in; i++)
    if (i != start && !(start == PUT_START && i == PUT_COUNT) && !xlm_infer_is_float(x, i)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_seq, v, "seq", false, &seq) || !shape_not_packed(x, v, seq)) return false;
  if (!feature || xlm_type_find(xlm_infer_type(x, k), feature) < 0)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, k, "`feature` is not the dimension of a key's vector");
  if (!check_over(x, k, v) || !check_state(x, v, seq, feature)) return false;
  if (!cache_infer_places(x, start, k, "the places") || !add_ring(x, PAST_K, k, seq, &past) ||
      !add_ring(x, PAST_V, v, seq, &past))
    return false;
  bool along = x->n_in > LOG && xlm_type_find(xlm_infer_type(x, LOG), seq) >= 0;
  if (along != (x->n_in > PAST_LOG))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "decays of each place, and no others, have a cache");
  if (along && !add_ring(x, PAST_LOG, LOG, seq, &past)) return false;
  xlm_infer_set_dims(x, XLM_A_past, past.dim, past.rank);
  return true;
}

static bool infer_from(xlm_infer *x) {
  if (!infer_common(x, FROM_K, FROM_V, FROM_START)) return false;
  x->out[0] = *xlm_infer_type(x, FROM_V);
  return shape_match(x, FROM_Q, xlm_infer_type(x, FROM_K), "the queries");
}

static bool infer_put(xlm_infer *x) {
  if (!infer_common(x, PUT_K, PUT_V, PUT_START)) return false;
  x->out[0] = *xlm_infer_type(x, STATE);
  return cache_infer_places(x, PUT_COUNT, PUT_K, "the counts");
}

static double elements(const xlm_graph *g, const xlm_node_info *n, int operand) {
  return (double)xlm_type_elements(xlm_val_type(g, n->in[operand]), g->dims);
}

static double size_of(const xlm_graph *g, const xlm_node_info *n, xlm_attr_key key) {
  xlm_dim d[XLM_MAX_RANK] = {0};
  xlm_attr_dims(&n->attrs, key, d);
  return (double)g->dims[d[0]].size;
}

// As of linear_attend: a place with the state, and half of the pairs of a chunk; scores of each head.
static void cost_from(const xlm_graph *g, xlm_node node, xlm_cost *out) {
  const xlm_node_info *n = xlm_node_at(g, node);
  double values = elements(g, n, FROM_V), keys = elements(g, n, FROM_K);
  out->flops = 2 * (values * size_of(g, n, XLM_A_feature) + (values + keys) * XLM_LINEAR_CHUNK / 2);
  out->model_flops = out->flops;
}

// Once for each chunk that is complete.
static void cost_put(const xlm_graph *g, xlm_node node, xlm_cost *out) {
  const xlm_node_info *n = xlm_node_at(g, node);
  double times = size_of(g, n, XLM_A_seq) / XLM_LINEAR_CHUNK;
  out->flops = 2 * elements(g, n, PUT_V) * size_of(g, n, XLM_A_feature);
  out->model_flops = out->flops;
  out->bytes = 2 * times * (double)xlm_type_bytes(xlm_val_type(g, n->in[STATE]), g->dims);
}

const xlm_op xlm_op_linear_attend_from = {
    .name = "linear_attend_from",
    .facts = {.product = XLM_PRODUCT_ATTENTION, .mixes = XLM_KEY(seq) | XLM_KEY(past) | XLM_KEY(feature)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 7,
    .max_in = 9,
    .n_out = 1,
    XLM_TAKES({XLM_A_seq, XLM_IN(3), 1, 1}, {XLM_A_feature, XLM_IN(1), 1, 1}, {XLM_A_over, XLM_IN(3), 1, 8},
              {XLM_A_past, XLM_ANYWHERE, 1, 3}),
    .layout =
        "[* over feature], [* seq feature], [* seq feature], [* seq over], [*], [* past feature], "
        "[* past over], [* seq over feature], [* past over feature] -> [* seq over] | seq: whole, past: "
        "whole, feature: sum",
    .infer = infer_from,
    .no_grad = "decoding is not differentiated",
    .cost = cost_from,
    .doc =
        "`linear_attend_from(state, q, k, v, start, past_k, past_v, log_decay, past_log_decay)`: "
        "`linear_attend` of "
        "some places, q[.., seq, ..], k and v being those from place `start` on, for every sequence. Whole "
        "sequences are computed in chunks of 64 places, and this has the same sums: `state` is the state "
        "before the chunk "
        "that place `start` is in, as `linear_attend_put` left it, and the caches (`cache_put`) have the "
        "chunk's earlier places. Where a sequence begins the state is taken as 0. log_decay may be left out, "
        "and has no cache if it is the same at "
        "all places."};

const xlm_op xlm_op_linear_attend_put = {
    .name = "linear_attend_put",
    .facts = {.product = XLM_PRODUCT_ATTENTION, .mixes = XLM_KEY(seq) | XLM_KEY(past)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 7,
    .max_in = 9,
    .n_out = 1,
    .n_alias = 1,
    XLM_TAKES({XLM_A_seq, XLM_IN(2), 1, 1}, {XLM_A_feature, XLM_IN(1), 1, 1}, {XLM_A_over, XLM_IN(2), 1, 8},
              {XLM_A_past, XLM_ANYWHERE, 1, 3}),
    .layout = "[* over feature], [* seq feature], [* seq over], [*], [*], [* past feature], [* past over], "
              "[* seq over feature], [* past over feature] -> [* over feature] | seq: whole, past: whole",
    .infer = infer_put,
    .no_grad = "decoding is not differentiated",
    .cost = cost_put,
    .doc = "`linear_attend_put(state, k, v, start, count, past_k, past_v, log_decay, past_log_decay)`: the "
           "state of "
           "`linear_attend` before the chunk of 64 places that place `start` is in becomes, in place, the "
           "one before "
           "that of place `start` + `count`: it changes when a chunk is complete. Operands are those of "
           "`linear_attend_from`."};
