// attend: softmax(scale q k^T) v without storing the score matrix (Dao et al., "FlashAttention"): kernels
// work in tiles and store one logsumexp per query, from which attend_bwd recomputes the probabilities. What
// operands may be: attend_infer.c.
#include <math.h>
#include <string.h>

#include "compiler/ir/chunk.h"
#include "ops/attend_priv.h"

enum { Q, K, V, OUT, LSE, DOUT };

static bool same_dims(xlm_infer *x, const xlm_type *s, int b, const char *what) {
  const xlm_type *t = xlm_infer_type(x, b);
  bool same = s->rank == t->rank;
  for (int i = 0; i < s->rank && same; i++) same = xlm_type_find(t, s->dim[i]) >= 0;
  return same || xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, b, "%s must have the same dimensions: %s and %s",
                                what, xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, s));
}

static bool infer(xlm_infer *x) {
  xlm_dim v_feature;
  if (!xlm_attend_infer(x, &v_feature)) return false;
  x->out[0] = xlm_attend_result(x, v_feature), x->out[1] = xlm_attend_result(x, 0);
  if (x->out[1].dtype != XLM_F64) x->out[1].dtype = XLM_F32;
  return true;
}

static bool infer_backward(xlm_infer *x) {
  xlm_dim v_feature;
  if (!xlm_attend_infer(x, &v_feature)) return false;
  xlm_type out = xlm_attend_result(x, v_feature);
  return same_dims(x, &out, OUT, "result and queries") && same_dims(x, &out, DOUT, "gradient and queries");
}

static bool infer_bwd(xlm_infer *x) {
  if (!infer_backward(x)) return false;
  for (int i = Q; i <= V; i++) x->out[i] = *xlm_infer_type(x, i);
  return true;
}

enum { ALONG_QUERIES = 1, ALONG_KEYS = 2 };

static bool infer_bias_bwd(xlm_infer *x) {
  xlm_dim dims[XLM_MAX_RANK], seq[XLM_MAX_RANK];
  if (!infer_backward(x)) return false;
  xlm_type *out = &x->out[0];
  int n = xlm_attr_dims(&x->attrs, XLM_A_batch, dims);
  int64_t along = xlm_attr_int(&x->attrs, XLM_A_along, 0);
  *out = (xlm_type){.dtype = xlm_infer_type(x, Q)->dtype == XLM_F64 ? XLM_F64 : XLM_F32};
  for (int i = 0; i < n; i++) out->dim[out->rank++] = dims[i];
  if (along & ALONG_QUERIES && xlm_attr_dims(&x->attrs, XLM_A_seq, seq)) out->dim[out->rank++] = seq[0];
  if (along & ALONG_KEYS && xlm_attr_dims(&x->attrs, XLM_A_kv_seq, seq)) out->dim[out->rank++] = seq[0];
  return true;
}

// ---- gradient

typedef struct backward { // a call of attend_bwd or attend_bias_bwd
  xlm_val in[16];
  int n;
  xlm_attr_list attrs;
} backward;

static backward backward_of(xlm_grad *d, xlm_val dout) {
  const xlm_node_info *n = xlm_node_at(d->b->g, d->node);
  backward b = {.in = {d->in[Q], d->in[K], d->in[V], d->out[0], d->out[1], dout},
                .n = 6,
                .attrs = xlm_attr_list_from(d->b->g->arena, &n->attrs)};
  int64_t given[XLM_OPERANDS];
  uint32_t count = 0;
  for (int what = 0; what < XLM_OPERANDS; what++) {
    int at = xlm_attr_operand(&n->attrs, n->n_in, (xlm_operand)what);
    xlm_val v = what == XLM_OPERAND_DLSE ? d->dout[1] : at >= 0 ? d->in[at] : 0;
    if (!v || what == XLM_OPERAND_SINK) continue;
    b.in[b.n++] = v;
    given[count++] = what;
  }
  xlm_attr_drop(&b.attrs, XLM_A_operands);
  if (count) xlm_attr_put_ints(&b.attrs, XLM_A_operands, given, count);
  return b;
}

// Of a bias with both sequences its own dimensions, which it has in memory anyway; of others all but one
// sequence, and the rest is summed, so that the kernel has work for many threads.
static xlm_val bias_gradient(xlm_grad *d, backward b, xlm_val bias, bool distance) {
  const xlm_graph *g = d->b->g;
  const xlm_type t = *xlm_val_type(g, bias), *q = xlm_val_type(g, d->in[Q]);
  xlm_attrs as = xlm_attr_freeze(&b.attrs);
  xlm_dim seq[XLM_MAX_RANK], kv_seq[XLM_MAX_RANK], feature[XLM_MAX_RANK], dims[XLM_MAX_RANK];
  xlm_attr_dims(&as, XLM_A_seq, seq), xlm_attr_dims(&as, XLM_A_kv_seq, kv_seq);
  xlm_attr_dims(&as, XLM_A_feature, feature);
  bool keys = xlm_type_find(&t, kv_seq[0]) >= 0,
       queries = seq[0] != kv_seq[0] && xlm_type_find(&t, seq[0]) >= 0;
  int n = 0;
  for (int i = 0; i < q->rank; i++) {
    bool is_sequence = q->dim[i] == seq[0] || q->dim[i] == feature[0];
    if (!is_sequence && (!(keys && queries) || xlm_type_find(&t, q->dim[i]) >= 0)) dims[n++] = q->dim[i];
  }
  xlm_attr_put_dims(&b.attrs, XLM_A_batch, dims, n);
  xlm_attr_put_int(&b.attrs, XLM_A_along,
                   (queries ? ALONG_QUERIES : 0) | (keys || !queries ? ALONG_KEYS : 0));
  xlm_attr_put_int(&b.attrs, XLM_A_distance, distance);
  return xlm_sum_to(d->b, xlm_emit(d->b, XLM_OP_ATTEND_BIAS_BWD, b.in, b.n, &b.attrs), &t);
}

// Of the sink's score: its share p of the softmax times (dlse - dout . out), since its value is 0.
static xlm_val sink_gradient(xlm_grad *d, xlm_val sink, xlm_val dout) {
  xlm_build *b = d->b;
  const xlm_type lse = *xlm_val_type(b->g, d->out[1]), t = *xlm_val_type(b->g, sink);
  xlm_val score = xlm_cast_to(b, sink, lse.dtype);
  xlm_val p = xlm_op1(b, XLM_OP_EXP, xlm_op2(b, XLM_OP_SUB, score, d->out[1]));
  xlm_val out = xlm_cast_to(b, d->out[0], lse.dtype);
  dout = xlm_cast_to(b, dout, lse.dtype);
  xlm_val sum = xlm_sum_to(b, xlm_op2(b, XLM_OP_MUL, out, dout), &lse);
  xlm_val of_score = d->dout[1] ? xlm_op2(b, XLM_OP_SUB, d->dout[1], sum) : xlm_scale(b, sum, -1);
  return xlm_sum_to(b, xlm_op2(b, XLM_OP_MUL, p, of_score), &t);
}

static void grad(xlm_grad *d) {
  xlm_val dout = d->dout[0];
  if (!dout && !d->dout[1]) return;
  if (!dout) dout = xlm_scale(d->b, d->out[0], 0); // only the logsumexp is used
  const xlm_node_info n = *xlm_node_at(d->b->g, d->node);
  backward b = backward_of(d, dout);
  if (d->need[Q] || d->need[K] || d->need[V]) {
    xlm_val first = xlm_emit(d->b, XLM_OP_ATTEND_BWD, b.in, b.n, &b.attrs);
    for (int i = Q; i <= V; i++)
      if (d->need[i]) d->din[i] = first + (xlm_val)i;
  }
  int bias = xlm_attr_operand(&n.attrs, n.n_in, XLM_OPERAND_BIAS);
  int slopes = xlm_attr_operand(&n.attrs, n.n_in, XLM_OPERAND_SLOPES);
  int sink = xlm_attr_operand(&n.attrs, n.n_in, XLM_OPERAND_SINK);
  if (bias >= 0 && d->need[bias]) d->din[bias] = bias_gradient(d, b, d->in[bias], false);
  if (slopes >= 0 && d->need[slopes]) d->din[slopes] = bias_gradient(d, b, d->in[slopes], true);
  if (sink >= 0 && d->need[sink]) d->din[sink] = sink_gradient(d, d->in[sink], dout);
}

// ---- cost: masks and documents, whose contents are not known here, do not count

// The sum over x in [begin, end) of x, but at least 0 and at most `most`.
static int64_t clamped_sum(int64_t begin, int64_t end, int64_t most) {
  int64_t below[] = {begin, end};
  for (int i = 0; i < 2; i++) {
    int64_t x = below[i] > 0 ? below[i] : 0, inside = x <= most ? x : most + 1;
    below[i] = inside * (inside - 1) / 2 + (x - inside) * most;
  }
  return below[1] - below[0];
}

// Of n consecutive queries, the first at position `at` relative to the first key. A query sees keys up to its
// own position that are within the window.
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
  xlm_dim past[XLM_MAX_RANK];
  if (xlm_attr_dims(&n->attrs, XLM_A_past, past)) { // as if the caches were full
    int64_t before = g->dims[past[0]].size;
    return (double)visible_in_run(before, q->size, before + k->size, window);
  }
  return (double)(visible_in_run(q->offset - k->offset, q->size - q->tail, k->size, window) +
                  visible_in_run(q->tail_offset - k->offset, q->tail, k->size, window));
}

// Products over one head's vector of queries and keys, and of values.
static void cost_products(const xlm_graph *g, xlm_node node, double products, double of_values,
                          xlm_cost *out) {
  const xlm_node_info *n = &g->nodes[node];
  xlm_dim seq[XLM_MAX_RANK], feature[XLM_MAX_RANK], v_feature[XLM_MAX_RANK];
  xlm_attr_dims(&n->attrs, XLM_A_seq, seq), xlm_attr_dims(&n->attrs, XLM_A_feature, feature);
  if (!xlm_attr_dims(&n->attrs, XLM_A_v_feature, v_feature)) v_feature[0] = feature[0];
  double size = (double)g->dims[feature[0]].size, v_size = (double)g->dims[v_feature[0]].size;
  double rows =
      (double)xlm_type_elements(xlm_val_type(g, n->in[Q]), g->dims) / (double)g->dims[seq[0]].size / size;
  out->flops = 2 * (products * size + of_values * v_size) * rows * visible(g, n); // rows: batch * heads
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_products(g, n, 1, 1, out);
  out->model_flops = out->flops;
}

static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_products(g, n, 2, 2, out);
  out->model_flops = out->flops; // excludes the recomputed scores
  cost_products(g, n, 3, 2, out);
}

static void cost_bias_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) { // all of it recomputed
  cost_products(g, n, 1, 1, out);
}

// ---- decoding: attention over the keys of earlier places

static xlm_dim sequence_of(const xlm_node_info *n, xlm_attr_key key) {
  xlm_dim d[XLM_MAX_RANK] = {0};
  xlm_attr_dims(&n->attrs, key, d);
  return d[0];
}

static xlm_reach reach(const xlm_graph *g, xlm_node node, const bool *sequence) {
  const xlm_node_info *n = xlm_node_at(g, node);
  if (!sequence[sequence_of(n, XLM_A_kv_seq)]) return (xlm_reach){.along = XLM_ALONG_LOCAL};
  bool causal = xlm_attr_int(&n->attrs, XLM_A_causal, 0) && sequence[sequence_of(n, XLM_A_seq)];
  if (!causal)
    return (xlm_reach){.along = XLM_ALONG_AHEAD,
                       .help = "write attend(q, k, v, causal): a query then sees keys up to its own place"};
  if (xlm_attr_operand(&n->attrs, n->n_in, XLM_OPERAND_PREFIX) >= 0)
    return (xlm_reach){.along = XLM_ALONG_AHEAD,
                       .help = "leave `prefix` out: its keys are seen by queries before them"};
  return (xlm_reach){
      .along = XLM_ALONG_BACK, .cached = 1u << K | 1u << V, .back = xlm_attr_int(&n->attrs, XLM_A_window, 0)};
}

// Is it what the data says of documents? Then decoding is in one document.
static bool is_of_data(const xlm_graph *g, xlm_val v) {
  const xlm_node_info *n = xlm_val_node(g, v);
  while (n->n_in == 1) n = xlm_val_node(g, n->in[0]);
  return xlm_node_is(n, XLM_LEAF_INPUT) && !strcmp(xlm_attr_text(&n->attrs, XLM_A_source, ""), "documents");
}

// A bias or mask numbers keys from the beginning, so its keys' dimension is not made of tokens here.
static const char *wrong_term(const xlm_chunk *c, int at) {
  const xlm_node_info *n = xlm_chunk_node(c);
  const xlm_graph *g = c->b->g;
  const xlm_type *t = xlm_val_type(g, c->in[at]);
  xlm_dim queries = sequence_of(n, XLM_A_seq);
  bool one = queries == sequence_of(n, XLM_A_kv_seq);
  for (xlm_dim d = 1; d < c->all->g->n_dims; d++)
    if (c->all->dim[d] && xlm_type_find(t, c->all->dim[d]) >= 0 && (one || d != queries))
      return "has a bias or mask that is computed for each key";
  return NULL;
}

// Row i of queries and of keys is the same place.
static bool same_places(xlm_chunk *c) {
  const xlm_node_info *n = xlm_chunk_node(c);
  const int64_t *before = c->all->before;
  if (before[sequence_of(n, XLM_A_seq)] == before[sequence_of(n, XLM_A_kv_seq)]) return true;
  c->wrong = "is causal, and its queries and keys do not begin with the same place";
  c->help = "give the queries the places of what stands before the text, too: concat before the products";
  return false;
}

static void chunk(xlm_chunk *c) {
  const xlm_node_info *n = xlm_chunk_node(c);
  xlm_val in[16] = {0, c->in[K], c->in[V]};
  int64_t given[XLM_OPERANDS];
  uint32_t count = 0;
  if (!c->cache[K]) {
    xlm_chunk_emit(c, n->op, c->in, c->n_in, &c->attrs);
    return;
  }
  if (!same_places(c)) return;
  xlm_dim own = c->all->dim[sequence_of(n, XLM_A_seq)], seq = xlm_chunk_along(c->all, own);
  in[Q] = xlm_chunk_renamed(c->all, c->in[Q], own, seq);
  for (int what = 0; what < XLM_OPERANDS; what++) {
    int at = xlm_attr_operand(&n->attrs, n->n_in, (xlm_operand)what);
    bool documents = what == XLM_OPERAND_DOCUMENTS || what == XLM_OPERAND_KV_DOCUMENTS;
    if (at >= 0 && documents && is_of_data(c->all->g, n->in[at])) continue;
    if (at >= 0 && documents) c->wrong = "has documents that the model computes";
    if (what == XLM_OPERAND_BIAS || what == XLM_OPERAND_MASK)
      c->wrong = at < 0 ? c->wrong : wrong_term(c, at);
    xlm_val v = what == XLM_OPERAND_PAST_K   ? c->cache[K]
                : what == XLM_OPERAND_PAST_V ? c->cache[V]
                : what == XLM_OPERAND_START  ? xlm_chunk_start(c->all, seq)
                : at >= 0                    ? xlm_chunk_renamed(c->all, c->in[at], own, seq)
                                             : 0;
    if (!v) continue;
    in[3 + count] = v;
    given[count++] = what;
  }
  if (c->wrong) {
    c->help = "in decoding, what is said of keys may depend on their places, not on their tokens; documents "
              "come from the "
              "data: `input ids[batch, seq] of seq from documents`";
    return;
  }
  xlm_attr_put_dims(&c->attrs, XLM_A_seq, &seq, 1);
  xlm_attr_put_dims(&c->attrs, XLM_A_kv_seq, &seq, 1);
  xlm_attr_put_ints(&c->attrs, XLM_A_operands, given, count);
  xlm_chunk_emit(c, n->op, in, 3 + (int)count, &c->attrs);
  for (int i = 0; !c->wrong && i < n->n_out; i++) c->out[i] = xlm_chunk_renamed(c->all, c->out[i], seq, own);
}

static const xlm_param params[] = {{"q", XLM_P_TENSOR, 0, true},
                                   {"k", XLM_P_TENSOR, 0, true},
                                   {"v", XLM_P_TENSOR, 0, true},
                                   {"causal", XLM_P_FLAG, XLM_A_causal, false},
                                   {"window", XLM_P_INT, XLM_A_window, false},
                                   {"scale", XLM_P_FLOAT, XLM_A_scale, false},
                                   {"softcap", XLM_P_FLOAT, XLM_A_softcap, false},
                                   {"bias", XLM_P_NAMED, 0, false},
                                   {"slopes", XLM_P_NAMED, 0, false},
                                   {"sink", XLM_P_NAMED, 0, false},
                                   {"mask", XLM_P_NAMED, 0, false},
                                   {"documents", XLM_P_NAMED, 0, false},
                                   {"kv_documents", XLM_P_NAMED, 0, false},
                                   {"prefix", XLM_P_NAMED, 0, false},
                                   {"seq", XLM_P_DIM, XLM_A_seq, false},
                                   {"kv_seq", XLM_P_DIM, XLM_A_kv_seq, false},
                                   {"heads", XLM_P_DIM, XLM_A_heads, false},
                                   {"kv_heads", XLM_P_DIM, XLM_A_kv_heads, false},
                                   {"feature", XLM_P_DIM, XLM_A_feature, false},
                                   {NULL}};

enum {
  MASKS = 1 << XLM_OPERAND_BIAS | 1 << XLM_OPERAND_SLOPES | 1 << XLM_OPERAND_MASK |
          1 << XLM_OPERAND_DOCUMENTS | 1 << XLM_OPERAND_KV_DOCUMENTS | 1 << XLM_OPERAND_PREFIX,
  CACHES = 1 << XLM_OPERAND_PAST_K | 1 << XLM_OPERAND_PAST_V | 1 << XLM_OPERAND_START
};

#define COMMON                                                                                               \
  {XLM_A_seq, XLM_IN(0), 1, 1}, {XLM_A_kv_seq, XLM_IN(1), 1, 1}, {XLM_A_feature, XLM_IN(0), 1, 1},           \
      {XLM_A_v_feature, XLM_IN(2), 1, 1, .may = true, .without = "`feature`"},                               \
      {XLM_A_heads, XLM_IN(0), 1, 1, .may = true}, {XLM_A_kv_heads, XLM_IN(1), 1, 1, .may = true},           \
      {XLM_A_causal, .low = 0, .high = 1, .may = true},                                                      \
      {XLM_A_window, .low = 0, .high = XLM_ATTR_MOST, .may = true}, {XLM_A_scale}, {                         \
    XLM_A_softcap, .low = 0, .high = XLM_ATTR_MOST, .may = true                                              \
  }
#define Q_K_V "[* seq heads feature], [* kv_seq kv_heads feature], [* kv_seq kv_heads v_feature], "
#define RESULTS "[* seq heads v_feature], [* seq heads], [* seq heads v_feature], " // out, lse, dout
#define BIAS_SLOPES "[* seq kv_seq heads], [* heads], "
#define DOCUMENTS "[* seq], [* kv_seq], [*]" // documents, kv_documents, prefix
#define MASK_AND_ON "[* seq kv_seq heads], " DOCUMENTS
#define WHOLE "kv_seq: whole, kv_heads: match heads, feature: whole, v_feature: whole"
#define PAST ", [* past kv_heads feature], [* past kv_heads v_feature], [*]" // past_k, past_v, start

const xlm_op xlm_op_attend = {
    .name = "attend",
    .facts = {.product = XLM_PRODUCT_ATTENTION,
              .mixes =
                  XLM_KEY(kv_seq) | XLM_KEY(past) | XLM_KEY(keys) | XLM_KEY(feature) | XLM_KEY(v_feature)},
    .min_in = 3,
    .max_in = 13,
    .n_out = 2,
    .params = params,
    XLM_TAKES(COMMON, {XLM_A_operands, .may = true, .among = MASKS | 1 << XLM_OPERAND_SINK | CACHES},
              {XLM_A_past, XLM_ANYWHERE, 1, 1, .may = true, .without = "no caches"},
              {XLM_A_keys, XLM_ANYWHERE, 1, 1, .may = true, .without = "no caches"}),
    .layout =
        Q_K_V "[* seq kv_seq keys heads], [* heads], [* heads], [* seq kv_seq keys heads], " DOCUMENTS PAST
              " -> [* seq heads v_feature], [* seq heads] | seq: place, past: whole, keys: whole, " WHOLE,
    .infer = infer,
    .reach = reach,
    .chunk = chunk,
    .grad = grad,
    .cost = cost,
    .doc =
        "Attention: softmax over the keys of scale * (q . k), times v. q is [.., seq, heads, head]; k and v "
        "are "
        "[.., kv_seq, kv_heads, head], where kv_seq may be seq or a sequence of another length, kv_heads, "
        "the "
        "dimension that q lacks, may be fewer than heads: query head h uses key head h * kv_heads / heads; "
        "and "
        "one head's vector of v may be another dimension of another size, which the result then has. With "
        "`causal` a query at position p sees the keys at positions <= p; with `window = w` only the last w "
        "of "
        "them, its own included. scale = 1 / sqrt(head) unless given; `softcap = c` turns a score s into "
        "c * tanh(s / c). The result has q's dimensions; a second result is the logsumexp of the scores. The "
        "score matrix is never stored.\n\nTensors given by name: `bias`, with any dimensions of q but head, "
        "and of keys kv_seq, is added to the scores (after the soft-cap); -infinity hides a key. "
        "`slopes[heads]` adds slope * (key position - query position) (ALiBi). `sink[heads]` is one more "
        "score "
        "in each query's softmax, whose value is nothing. `mask`, with the dimensions of a bias, hides the "
        "keys where it is 0. `documents[.., seq]`, whole numbers: a query sees keys with its own number "
        "only; "
        "where keys have a sequence of their own, theirs are `kv_documents[.., kv_seq]`. `prefix[..]`, whole "
        "numbers, with `causal`: every query of the sample sees the first so many keys. Conditions combine: "
        "a "
        "key is seen if all of them allow it, and `prefix` extends `causal` and `window`. A query that sees "
        "no key has result 0. Where queries and keys share `seq`, it is the keys' in a bias or mask; for one "
        "with both, rename it in k and v. Gradients: to q, k, v, bias, slopes and sink. Tiles of other "
        "documents are skipped.\n\nIn decoding, `past_k` and `past_v` are caches (`cache_put`) with a "
        "dimension `past` in the "
        "place of the sequence, and query and key i have the place `start[..]` + i: a query sees the keys of "
        "the cached "
        "places, those from start less the size of `past`, but at least 0, to start - 1, and then the given "
        "ones. "
        "`causal`, `window` and `slopes` are of these places, and a bias or mask has, instead of the keys' "
        "sequence, a "
        "dimension that numbers keys from the beginning."};

const xlm_op xlm_op_attend_bwd = {
    .name = "attend_bwd",
    .facts = {.product = XLM_PRODUCT_ATTENTION,
              .mixes = XLM_KEY(seq) | XLM_KEY(kv_seq) | XLM_KEY(feature) | XLM_KEY(v_feature)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 6,
    .max_in = 13,
    .n_out = 3,
    XLM_TAKES(COMMON, {XLM_A_operands, .may = true, .among = MASKS | 1 << XLM_OPERAND_DLSE}),
    .layout = Q_K_V RESULTS BIAS_SLOPES MASK_AND_ON
    ", [* seq heads] -> [* seq heads feature], [* kv_seq kv_heads feature], [* kv_seq kv_heads v_feature] | "
    "seq: sum, " WHOLE,
    .infer = infer_bwd,
    .no_grad = "second derivatives are not built",
    .cost = cost_bwd,
    .doc = "Gradients of attend to q, k and v, from its operands, result and logsumexp and the gradients of "
           "both. The "
           "probabilities are computed again, tile by tile."};

const xlm_op xlm_op_attend_bias_bwd = {
    .name = "attend_bias_bwd",
    .facts = {.product = XLM_PRODUCT_ATTENTION,
              .mixes = XLM_KEY(seq) | XLM_KEY(kv_seq) | XLM_KEY(feature) | XLM_KEY(v_feature)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 6,
    .max_in = 13,
    .n_out = 1,
    XLM_TAKES(COMMON, {XLM_A_operands, .may = true, .among = MASKS | 1 << XLM_OPERAND_DLSE},
              {XLM_A_batch, XLM_IN(0), 0, 8}, {XLM_A_along, .low = 1, .high = 3},
              {XLM_A_distance, .low = 0, .high = 1}),
    .layout = Q_K_V RESULTS BIAS_SLOPES MASK_AND_ON
    ", [* seq heads] -> [* seq kv_seq heads] | *: sum, seq: place, " WHOLE,
    .infer = infer_bias_bwd,
    .no_grad = "second derivatives are not built",
    .cost = cost_bias_bwd,
    .doc = "The gradient of attend to a bias or to slopes, from the operands of attend_bwd: the gradients of "
           "the "
           "scores, computed again and summed over the dimensions that the result lacks."};
