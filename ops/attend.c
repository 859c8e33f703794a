// attend: softmax(scale q k^T) v without storing the score matrix (Dao et al., "FlashAttention"): kernels
// work in tiles and store one logsumexp per query, from which attend_bwd recomputes the probabilities.
#include <math.h>

#include "compiler/ir/op.h"

enum { Q, K, V, OUT, LSE, DOUT, DLSE };

static const char *name_of(const xlm_infer *x, xlm_dim d) {
  return x->g->dims[d].name;
}

// The only dim of t that `other` lacks and that is not one of `known`; 0 when there is none; *n = -1 when
// there are several.
static xlm_dim lone_dim(const xlm_type *t, const xlm_type *other, xlm_dim seq, xlm_dim feature, int *n) {
  xlm_dim found = 0;
  *n = 0;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    if (d == seq || d == feature || xlm_type_find(other, d) >= 0) continue;
    found = d;
    ++*n;
  }
  return found;
}

static bool infer_seqs(xlm_infer *x, xlm_dim *seq, xlm_dim *kv_seq) {
  if (!xlm_infer_dim_attr(x, XLM_A_seq, Q, "seq", false, seq)) return false;
  const xlm_type *k = xlm_infer_type(x, K);
  if (!xlm_attr_find(&x->attrs, XLM_A_kv_seq) && xlm_type_find(k, *seq) >= 0) {
    *kv_seq = *seq;
    xlm_infer_set_dims(x, XLM_A_kv_seq, kv_seq, 1);
    return true;
  }
  return xlm_infer_dim_attr(x, XLM_A_kv_seq, K, "kv_seq", false, kv_seq);
}

// Determines the head dims: the one of q that k lacks and the one of k that q lacks. If there are none, q and
// k have the same heads.
static bool infer_heads(xlm_infer *x, xlm_dim seq, xlm_dim kv_seq, xlm_dim feature) {
  const xlm_type *q = xlm_infer_type(x, Q), *k = xlm_infer_type(x, K);
  int n_q, n_k;
  xlm_dim heads = lone_dim(q, k, seq, feature, &n_q), kv = lone_dim(k, q, kv_seq, feature, &n_k);
  if (n_q > 1 || n_k > n_q) {
    xlm_infer_fail(x, n_q > 1 ? XLM_FAULT_MISSING_DIM : XLM_FAULT_EXTRA_DIM, K,
                   "queries %s and keys %s may differ in one dimension each (the heads) besides the sequence",
                   xlm_infer_dims_text(x, q), xlm_infer_dims_text(x, k));
    return xlm_infer_help(x, "queries are [.., seq, heads, head], keys and values [.., seq, kv_heads, head]");
  }
  if (xlm_attr_find(&x->attrs, XLM_A_heads)) {
    xlm_dim given[XLM_MAX_RANK] = {0};
    xlm_attr_dims(&x->attrs, XLM_A_heads, given);
    if (!xlm_infer_has(x, Q, given[0], "it is named as the query heads")) return false;
    if (heads && given[0] != heads)
      return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, K, "the keys lack `%s`, which is not the query heads",
                            name_of(x, heads));
    heads = given[0];
  }
  if (xlm_attr_find(&x->attrs, XLM_A_kv_heads)) {
    xlm_dim given[XLM_MAX_RANK] = {0};
    xlm_attr_dims(&x->attrs, XLM_A_kv_heads, given);
    if (!xlm_infer_has(x, K, given[0], "it is named as the key heads")) return false;
    if ((kv && given[0] != kv) || (!kv && given[0] != heads))
      return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, K,
                            "`%s` is not what keys have in the place of the query heads",
                            name_of(x, given[0]));
    kv = given[0];
  }
  if (heads) xlm_infer_set_dims(x, XLM_A_heads, &heads, 1);
  if (kv) xlm_infer_set_dims(x, XLM_A_kv_heads, &kv, 1);
  if (heads && kv && x->g->dims[heads].full % x->g->dims[kv].full) {
    xlm_infer_fail(x, XLM_FAULT_SIZE, K, "`%s` = %lld does not divide `%s` = %lld", name_of(x, kv),
                   (long long)x->g->dims[kv].full, name_of(x, heads), (long long)x->g->dims[heads].full);
    return xlm_infer_help(x, "every key head serves the same number of query heads");
  }
  return true;
}

static bool same_dims(xlm_infer *x, int a, int b, const char *what) {
  const xlm_type *s = xlm_infer_type(x, a), *t = xlm_infer_type(x, b);
  bool same = s->rank == t->rank;
  for (int i = 0; i < s->rank && same; i++) same = xlm_type_find(t, s->dim[i]) >= 0;
  return same || xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, b, "%s must have the same dimensions: %s and %s",
                                what, xlm_infer_dims_text(x, s), xlm_infer_dims_text(x, t));
}

static bool check_numbers(xlm_infer *x) {
  int64_t window = xlm_attr_int(&x->attrs, XLM_A_window, 0);
  if (window < 0) return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "a window of %lld keys", (long long)window);
  if (window && !xlm_attr_int(&x->attrs, XLM_A_causal, 0)) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "a window looks back only, so attention must be causal");
    return xlm_infer_help(x, "write attend(q, k, v, causal, window = %lld)", (long long)window);
  }
  if (xlm_attr_float(&x->attrs, XLM_A_softcap, 0) < 0)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "softcap must be positive, or 0 for none");
  return true;
}

static bool infer_common(xlm_infer *x) {
  xlm_dim seq, kv_seq, feature;
  for (int i = Q; i <= V; i++)
    if (!xlm_infer_is_float(x, i)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_feature, Q, NULL, true, &feature) || !infer_seqs(x, &seq, &kv_seq))
    return false;
  if (feature == seq || feature == kv_seq) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, Q, "`%s` cannot be both the sequence and one head's vector",
                   name_of(x, feature));
    return xlm_infer_help(x, "name the dimension of one head's vector: attend(.., feature = ..)");
  }
  if (!xlm_infer_has(x, K, feature, "queries and keys are multiplied over it")) return false;
  if (!xlm_infer_has(x, V, feature, "values have the same feature dimension as queries and keys"))
    return false;
  if (!same_dims(x, K, V, "keys and values") || !infer_heads(x, seq, kv_seq, feature) || !check_numbers(x))
    return false;
  xlm_infer_set_float(x, XLM_A_scale,
                      xlm_attr_float(&x->attrs, XLM_A_scale, 1 / sqrt((double)x->g->dims[feature].full)));
  return true;
}

static bool infer(xlm_infer *x) {
  if (!infer_common(x)) return false;
  xlm_dim feature[XLM_MAX_RANK];
  xlm_attr_dims(&x->attrs, XLM_A_feature, feature);
  const xlm_type *q = xlm_infer_type(x, Q);
  xlm_type *lse = &x->out[1];
  x->out[0] = *q;
  *lse = (xlm_type){.dtype = q->dtype == XLM_F64 ? XLM_F64 : XLM_F32};
  for (int i = 0; i < q->rank; i++)
    if (q->dim[i] != feature[0]) lse->dim[lse->rank++] = q->dim[i];
  return true;
}

static bool infer_bwd(xlm_infer *x) {
  if (!infer_common(x) || !same_dims(x, Q, OUT, "queries and result") ||
      !same_dims(x, Q, DOUT, "queries and gradient"))
    return false;
  for (int i = Q; i <= V; i++) x->out[i] = *xlm_infer_type(x, i);
  return true;
}

static void grad(xlm_grad *d) {
  xlm_val dout = d->dout[0];
  if (!dout && !d->dout[1]) return;
  if (!dout) dout = xlm_scale(d->b, d->out[0], 0); // only the logsumexp is used
  xlm_val in[] = {d->in[Q], d->in[K], d->in[V], d->out[0], d->out[1], dout, d->dout[1]};
  xlm_attr_list l = xlm_attr_list_from(d->b->g->arena, &xlm_node_at(d->b->g, d->node)->attrs);
  xlm_val first = xlm_emit(d->b, XLM_OP_ATTEND_BWD, in, d->dout[1] ? 7 : 6, &l);
  for (int i = Q; i <= V; i++)
    if (d->need[i]) d->din[i] = first + (xlm_val)i;
}

// The sum over x in [begin, end) of x, but at least 0 and at most `most`.
static int64_t clamped_sum(int64_t begin, int64_t end, int64_t most) {
  int64_t below[] = {begin, end};
  for (int i = 0; i < 2; i++) {
    int64_t x = below[i] > 0 ? below[i] : 0, inside = x <= most ? x : most + 1;
    below[i] = inside * (inside - 1) / 2 + (x - inside) * most;
  }
  return below[1] - below[0];
}

// Of n consecutive queries, the first at position `at` relative to the first key. A query sees keys up to its own
// position that are within the window.
static int64_t visible_in_run(int64_t at, int64_t n, int64_t keys, int64_t window) {
  int64_t seen = clamped_sum(at + 1, at + 1 + n, keys);
  return window ? seen - clamped_sum(at + 1 - window, at + 1 - window + n, keys) : seen;
}

// Number of visible pairs (query, key) of one head.
static double visible(const xlm_graph *g, const xlm_node_info *n) {
  xlm_dim seq[XLM_MAX_RANK], kv_seq[XLM_MAX_RANK];
  xlm_attr_dims(&n->attrs, XLM_A_seq, seq);
  xlm_attr_dims(&n->attrs, XLM_A_kv_seq, kv_seq);
  const xlm_dim_info *q = &g->dims[seq[0]], *k = &g->dims[kv_seq[0]];
  if (!xlm_attr_int(&n->attrs, XLM_A_causal, 0)) return (double)q->size * (double)k->size;
  int64_t window = xlm_attr_int(&n->attrs, XLM_A_window, 0);
  return (double)(visible_in_run(q->offset - k->offset, q->size - q->tail, k->size, window) +
                  visible_in_run(q->tail_offset - k->offset, q->tail, k->size, window));
}

static void cost_products(const xlm_graph *g, xlm_node node, double products, xlm_cost *out) {
  const xlm_node_info *n = &g->nodes[node];
  xlm_dim seq[XLM_MAX_RANK];
  xlm_attr_dims(&n->attrs, XLM_A_seq, seq);
  const xlm_type *q = xlm_val_type(g, n->in[Q]);
  double per_pair =
      (double)xlm_type_elements(q, g->dims) / (double)g->dims[seq[0]].size; // batch * heads * feature
  out->flops = 2 * products * per_pair * visible(g, n);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_products(g, n, 2, out);
  out->model_flops = out->flops;
}

static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_products(g, n, 5, out);
  out->model_flops = out->flops * 4 / 5; // excludes the recomputed scores
}

static const xlm_param params[] = {{"q", XLM_P_TENSOR, 0, true},
                                   {"k", XLM_P_TENSOR, 0, true},
                                   {"v", XLM_P_TENSOR, 0, true},
                                   {"causal", XLM_P_FLAG, XLM_A_causal, false},
                                   {"window", XLM_P_INT, XLM_A_window, false},
                                   {"scale", XLM_P_FLOAT, XLM_A_scale, false},
                                   {"softcap", XLM_P_FLOAT, XLM_A_softcap, false},
                                   {"seq", XLM_P_DIM, XLM_A_seq, false},
                                   {"kv_seq", XLM_P_DIM, XLM_A_kv_seq, false},
                                   {"heads", XLM_P_DIM, XLM_A_heads, false},
                                   {"kv_heads", XLM_P_DIM, XLM_A_kv_heads, false},
                                   {"feature", XLM_P_DIM, XLM_A_feature, false},
                                   {NULL}};

const xlm_op xlm_op_attend = {
    .name = "attend",
    .facts = {.product = XLM_PRODUCT_ATTENTION, .mixes = XLM_KEY(kv_seq) | XLM_KEY(feature)},
    .min_in = 3,
    .max_in = 3,
    .n_out = 2,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_kv_seq, XLM_IN(1), 1, 1}, {XLM_A_feature, XLM_IN(0), 1, 1},
              {XLM_A_heads, XLM_IN(0), 1, 1, .may = true}, {XLM_A_kv_heads, XLM_IN(1), 1, 1, .may = true},
              {XLM_A_causal, .low = 0, .high = 1, .may = true},
              {XLM_A_window, .low = 0, .high = XLM_ATTR_MOST, .may = true}, {XLM_A_scale},
              {XLM_A_softcap, .low = 0, .high = XLM_ATTR_MOST, .may = true}),
    .layout = "[* seq heads feature], [* kv_seq kv_heads feature], [* kv_seq kv_heads feature] -> "
              "[* seq heads feature], [* seq heads] | seq: place, kv_seq: whole, kv_heads: match heads, "
              "feature: whole",
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .doc = "Attention: softmax over the keys of scale * (q . k), times v. q is [.., seq, heads, head]; k and "
           "v are "
           "[.., seq, kv_heads, head], where the sequence may be a renamed one (`kv_seq`) and kv_heads, the "
           "dimension "
           "that q lacks, may be fewer than heads: query head h uses key head h * kv_heads / heads. With "
           "`causal` a "
           "query at position p sees the keys at positions <= p; with `window = w` only the last w of them, "
           "its own "
           "included. scale = 1 / sqrt(head) unless given; `softcap = c` turns a score s into c * tanh(s / "
           "c). The "
           "result has q's dimensions; a second result is the logsumexp of the scores. The score matrix is "
           "never "
           "stored."};

const xlm_op xlm_op_attend_bwd = {
    .name = "attend_bwd",
    .facts = {.product = XLM_PRODUCT_ATTENTION, .mixes = XLM_KEY(seq) | XLM_KEY(kv_seq) | XLM_KEY(feature)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 6,
    .max_in = 7,
    .n_out = 3,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_kv_seq, XLM_IN(1), 1, 1}, {XLM_A_feature, XLM_IN(0), 1, 1},
              {XLM_A_heads, XLM_IN(0), 1, 1, .may = true}, {XLM_A_kv_heads, XLM_IN(1), 1, 1, .may = true},
              {XLM_A_causal, .low = 0, .high = 1, .may = true},
              {XLM_A_window, .low = 0, .high = XLM_ATTR_MOST, .may = true}, {XLM_A_scale},
              {XLM_A_softcap, .low = 0, .high = XLM_ATTR_MOST, .may = true}),
    .layout = "[* seq heads feature], [* kv_seq kv_heads feature], [* kv_seq kv_heads feature], [* seq heads "
              "feature], "
              "[* seq heads], [* seq heads feature], [* seq heads] -> [* seq heads feature], "
              "[* kv_seq kv_heads feature], [* kv_seq kv_heads feature] | seq: sum, kv_seq: whole, "
              "kv_heads: match heads, feature: whole",
    .infer = infer_bwd,
    .no_grad = "second derivatives are not built",
    .cost = cost_bwd,
    .doc = "Gradients of attend to q, k and v, from its operands, result and logsumexp and the gradients of "
           "both. The "
           "probabilities are computed again, tile by tile."};
