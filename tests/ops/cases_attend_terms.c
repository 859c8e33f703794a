// Cases of the optional operands of attention: bias, slopes, sink, mask, documents, prefix; and of values
// whose vector is not as long as the keys'. Small ones are also checked by finite differences; the others
// span several tiles and compare the backward operations directly with the reference.
#include <math.h>
#include <string.h>

#include "tests/ops/run_op.h"

typedef struct setting {
  const char *name, *q, *k, *v, *dout;
  bool causal;
  int window;
  double softcap;
  const char *bias, *slopes, *sink, *mask, *documents, *kv_documents, *prefix; // declarations; NULL: none
  int run;                                                                     // length of a document
  int ranks; // `seq` is the first one's piece, split from both ends over so many; 0: not
} setting;

static const setting settings[] = {
    // values of another size
    {"short_values", "q[batch 2, seq 5, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, value 3]", NULL, true},
    {"long_values", "q[seq 5, heads 4, head 3]", "k[seq, kv_heads 2, head]", "v[seq, kv_heads, value 7]"},
    {"cross", "q[batch 2, seq 3, heads 2, head 4]", "k[batch, source 5, heads, head]",
     "v[batch, source, heads, value 6]"},
    {"tiles_short_values", "q[batch 2, seq 130, heads 2, head 24]", "k[batch, seq, kv_heads 1, head]",
     "v[batch, seq, kv_heads, value 16]", "d[batch, seq, heads, value]", true},
    {"tiles_long_values", "q[seq 70, heads 2, head 16]", "k[source 150, heads, head]",
     "v[source, heads, value 40]", "d[seq, heads, value]"},
    {"tiles_wide_values", "q[seq 70, heads 2, head 8]", "k[seq, heads, head]", "v[seq, heads, value 130]",
     "d[seq, heads, value]", true},
    {"tiles_orders_values", "q[heads 2, head 24, batch 2, seq 70]", "k[head, seq, kv_heads 1, batch]",
     "v[batch, kv_heads, seq, value 9]", "d[value, batch, heads, seq]", true},
    // bias
    {"bias", "q[batch 2, seq 3, heads 2, head 4]", "k[batch, keys 5, heads, head]",
     "v[batch, keys, heads, head]", .bias = "bias[heads, seq, keys]"},
    {"bias_of_all", "q[batch 2, seq 3, heads 4, head 4]", "k[batch, keys 3, kv_heads 2, head]",
     "v[batch, keys, kv_heads, head]", NULL, true, .bias = "bias[batch, heads, seq, keys]", .softcap = 1.5},
    {"bias_of_keys", "q[batch 2, seq 4, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", NULL, true, .bias = "bias[batch, seq]"},
    {"bias_of_queries", "q[seq 3, heads 4, head 4]", "k[keys 5, kv_heads 2, head]", "v[keys, kv_heads, head]",
     .bias = "bias[seq, heads]", .sink = "sink[heads]"},
    {"bias_of_heads", "q[seq 3, heads 4, head 4]", "k[seq, head]", "v[seq, head]", .bias = "bias[heads]",
     .sink = "sink[]"},
    {"tiles_bias", "q[batch 2, seq 130, heads 2, head 8]", "k[batch, keys 150, heads, head]",
     "v[batch, keys, heads, head]", "d[batch, seq, heads, head]", .bias = "bias[heads, seq, keys]"},
    {"tiles_bias_of_one", "q[batch 2, seq 70, heads 4, head 8]", "k[batch, keys 130, kv_heads 2, head]",
     "v[batch, keys, kv_heads, value 24]", "d[batch, seq, heads, value]", .bias = "bias[keys, seq]",
     .softcap = 2},
    {"tiles_bias_of_keys", "q[batch 2, seq 140, heads 2, head 8]", "k[batch, seq, kv_heads 1, head]",
     "v[batch, seq, kv_heads, head]", "d[batch, seq, heads, head]", true, .bias = "bias[batch, seq]"},
    // slopes
    {"slopes", "q[batch 2, seq 5, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", NULL, true, .slopes = "slopes[heads]"},
    {"slopes_apart", "q[seq 3, heads 4, head 4]", "k[keys 5, kv_heads 2, head]", "v[keys, kv_heads, head]",
     .slopes = "slopes[heads]", .softcap = 2},
    {"tiles_slopes", "q[batch 2, seq 150, heads 2, head 8]", "k[batch, seq, kv_heads 1, head]",
     "v[batch, seq, kv_heads, head]", "d[batch, seq, heads, head]", true, .slopes = "slopes[heads]"},
    // sink
    {"sink", "q[batch 2, seq 5, heads 4, head 4]", "k[batch, seq, kv_heads 2, head]",
     "v[batch, seq, kv_heads, head]", NULL, true, .sink = "sink[heads]"},
    {"sink_window", "q[seq 5, heads 2, head 4]", "k[seq, heads, head]", "v[seq, heads, head]", NULL, true, 2,
     .sink = "sink[heads]"},
    {"tiles_sink", "q[batch 2, seq 140, heads 4, head 16]", "k[batch, seq, kv_heads 2, head]",
     "v[batch, seq, kv_heads, head]", "d[batch, seq, heads, head]", true, 70, .sink = "sink[heads]"},
    // mask
    {"mask", "q[batch 2, seq 4, heads 2, head 4]", "k[batch, keys 6, heads, head]",
     "v[batch, keys, heads, head]", .mask = "mask[batch, seq, keys]"},
    {"mask_of_keys", "q[batch 2, seq 5, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", .mask = "mask[batch, seq]"},
    {"tiles_mask", "q[batch 2, seq 100, heads 2, head 16]", "k[batch, keys 150, heads, head]",
     "v[batch, keys, heads, head]", "d[batch, seq, heads, head]", .mask = "mask[seq, keys]",
     .sink = "sink[heads]"},
    // documents
    {"documents", "q[batch 2, seq 7, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", NULL, true, .documents = "ids[batch, seq]", .run = 3},
    {"documents_apart", "q[batch 2, seq 5, heads 2, head 4]", "k[batch, keys 6, heads, head]",
     "v[batch, keys, heads, head]", .documents = "ids[batch, seq]", .kv_documents = "others[batch, keys]",
     .run = 4},
    {"tiles_documents", "q[batch 2, seq 200, heads 4, head 16]", "k[batch, seq, kv_heads 2, head]",
     "v[batch, seq, kv_heads, head]", "d[batch, seq, heads, head]", true, .documents = "ids[batch, seq]",
     .run = 90},
    {"tiles_short_documents", "q[seq 200, heads 2, head 16]", "k[seq, heads, head]", "v[seq, heads, head]",
     "d[seq, heads, head]", .documents = "ids[seq]", .run = 17},
    // prefix
    {"prefix", "q[batch 3, seq 6, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", NULL, true, .prefix = "prefix[batch]"},
    {"prefix_window", "q[batch 3, seq 6, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", NULL, true, 2, .prefix = "prefix[batch]"},
    {"tiles_prefix", "q[batch 3, seq 150, heads 2, head 16]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", "d[batch, seq, heads, head]", true, .prefix = "prefix[batch]"},
    {"tiles_prefix_window", "q[batch 3, seq 210, heads 2, head 8]", "k[batch, seq, kv_heads 1, head]",
     "v[batch, seq, kv_heads, head]", "d[batch, seq, heads, head]", true, 40, .prefix = "prefix[batch]"},
    // together, and on a rank with a part of the queries
    {"all", "q[batch 2, seq 5, heads 4, head 4]", "k[batch, keys 5, kv_heads 2, head]",
     "v[batch, keys, kv_heads, value 3]", NULL, true, 3, 4, "bias[seq, heads, keys]", "slopes[heads]",
     "sink[heads]", "mask[keys]", "ids[batch, seq]", "others[batch, keys]", "prefix[batch]", 3},
    {"tiles_all", "q[batch 2, seq 140, heads 2, head 24]", "k[batch, keys 150, kv_heads 1, head]",
     "v[batch, keys, kv_heads, value 16]", "d[batch, seq, heads, value]", true, 90, 4,
     "bias[seq, heads, keys]", "slopes[heads]", "sink[heads]", "mask[heads, keys]", "ids[batch, seq]",
     "others[batch, keys]", "prefix[batch]", 50},
    {"both_ends_all", "q[batch 2, seq 140, heads 2, head 16]", "k[batch, keys 280, heads, head]",
     "v[batch, keys, heads, head]", "d[batch, seq, heads, head]", true, 0, 0, "bias[heads, seq, keys]",
     "slopes[heads]", "sink[heads]", NULL, "ids[batch, seq]", "others[batch, keys]", "prefix[batch]", 100, 2},
};

static const setting *setting_of(const op_test *t) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (!strcmp(settings[i].name, t->the_case->name)) return &settings[i];
  XLM_ASSERT(false, "no setting %s", t->the_case->name);
  return NULL;
}

static void both_ends(op_test *t, int ranks) {
  xlm_dim_info *seq = &t->b.g->dims[op_dim(t, "seq")];
  int64_t piece = seq->size / 2;
  seq->tail = seq->size - piece, seq->tail_offset = (2 * ranks - 1) * piece;
  seq->full = seq->tail_offset + seq->tail;
  seq->axes = seq->mirrored = 1;
}

// Documents one after the other, of which every fifth has the same number.
static xlm_val documents(op_test *t, const char *decl, int run) {
  int ids[4096];
  for (int i = 0; i < 4096; i++) ids[i] = i / run % 5;
  return op_int_data(t, decl, ids);
}

static xlm_val prefix(op_test *t, const char *decl) { // none, some, and more than a tile
  int seq = (int)t->b.g->dims[op_dim(t, "seq")].size;
  return op_int_data(t, decl, (int[]){seq / 2, 0, seq + 3});
}

typedef struct call {
  xlm_val in[13], dout; // dout: 0 for small ones
  int n;
  xlm_attr_list attrs;
} call;

static call call_of(op_test *t, const setting *s) {
  call c = {.in = {op_leaf(t, s->q)}, .n = 3};
  c.in[1] = op_leaf(t, s->k), c.in[2] = op_leaf(t, s->v);
  c.attrs = op_attrs(t);
  const char *decl[] = {s->bias, s->slopes, s->sink, s->mask, s->documents, s->kv_documents, s->prefix};
  int64_t given[XLM_OPERANDS];
  uint32_t n = 0;
  for (int i = 0; i < 7; i++) {
    if (!decl[i]) continue;
    given[n++] = i;
    c.in[c.n++] = i == XLM_OPERAND_PREFIX      ? prefix(t, decl[i])
                  : i == XLM_OPERAND_MASK      ? op_ints(t, decl[i], 0, 2)
                  : i >= XLM_OPERAND_DOCUMENTS ? documents(t, decl[i], s->run)
                  : i == XLM_OPERAND_SLOPES    ? op_leaf_range(t, decl[i], 0.01, 0.2)
                                               : op_leaf(t, decl[i]);
  }
  if (n) xlm_attr_put_ints(&c.attrs, XLM_A_operands, given, n);
  if (s->causal) xlm_attr_put_int(&c.attrs, XLM_A_causal, 1);
  if (s->window) xlm_attr_put_int(&c.attrs, XLM_A_window, s->window);
  if (s->softcap) xlm_attr_put_float(&c.attrs, XLM_A_softcap, s->softcap);
  if (strstr(s->q, "head ")) op_put_dims(t, &c.attrs, XLM_A_feature, "head");
  if (strstr(s->k, "keys ") || strstr(s->k, "source "))
    op_put_dims(t, &c.attrs, XLM_A_kv_seq, strstr(s->k, "keys ") ? "keys" : "source");
  if (s->dout) c.dout = op_leaf(t, s->dout);
  if (s->ranks) both_ends(t, s->ranks); // dimensions are not found by their sizes afterwards
  return c;
}

static void both(op_test *t) { // and a gradient through the logsumexp
  call c = call_of(t, setting_of(t));
  xlm_val out = xlm_emit(&t->b, XLM_OP_ATTEND, c.in, c.n, &c.attrs);
  op_out(t, out);
  op_out(t, out + 1);
}

// Minus infinity hides keys, also all of a query; the smallest finite number does not.
static void bias_that_hides(op_test *t) {
  double bias[] = {0,         -INFINITY, 1,     0,     -INFINITY, -INFINITY,
                   -INFINITY, -INFINITY, -3e38, -3e38, -3e38,     -3e38};
  xlm_val in[] = {op_leaf(t, "q[seq 3, heads 2, head 4]"), 0, 0, 0};
  in[1] = in[2] = op_leaf(t, "k[keys 4, heads, head]");
  in[3] = op_data(t, "bias[seq, keys]", bias);
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_kv_seq, "keys");
  xlm_attr_put_ints(&l, XLM_A_operands, &(int64_t){XLM_OPERAND_BIAS}, 1);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ATTEND, in, 4, &l));
}

static void gradient_of_bias(op_test *t, const call *back, const xlm_type *bias, bool distance) {
  xlm_attr_list l = back->attrs;
  xlm_attrs as = xlm_attr_freeze(&l);
  xlm_dim seq[XLM_MAX_RANK], kv_seq[XLM_MAX_RANK], dims[XLM_MAX_RANK];
  xlm_attr_dims(&as, XLM_A_seq, seq), xlm_attr_dims(&as, XLM_A_kv_seq, kv_seq);
  int n = 0, along = 0;
  for (int i = 0; i < bias->rank; i++)
    if (bias->dim[i] == kv_seq[0])
      along |= 2;
    else if (bias->dim[i] == seq[0])
      along |= 1;
    else
      dims[n++] = bias->dim[i];
  if (!along) along = 2;
  xlm_attr_put_dims(&l, XLM_A_batch, dims, n);
  xlm_attr_put_int(&l, XLM_A_along, along);
  xlm_attr_put_int(&l, XLM_A_distance, distance);
  op_out_const(t, xlm_emit(&t->b, XLM_OP_ATTEND_BIAS_BWD, back->in, back->n, &l));
}

static void direct(op_test *t) { // the backward operations as nodes of their own
  const setting *s = setting_of(t);
  call c = call_of(t, s);
  xlm_val out = xlm_emit(&t->b, XLM_OP_ATTEND, c.in, c.n, &c.attrs);
  op_out_const(t, out);
  op_out_const(t, out + 1);
  call back = {.in = {c.in[0], c.in[1], c.in[2], out, out + 1, c.dout}, .n = 6};
  const xlm_node_info *n = xlm_val_node(t->b.g, out);
  back.attrs = xlm_attr_list_from(t->b.g->arena, &n->attrs);
  int64_t given[XLM_OPERANDS];
  uint32_t count = 0;
  for (int what = 0; what < XLM_OPERANDS; what++) {
    int at = xlm_attr_operand(&n->attrs, n->n_in, (xlm_operand)what);
    if (at < 0 || what == XLM_OPERAND_SINK) continue;
    given[count++] = what, back.in[back.n++] = n->in[at];
  }
  xlm_attr_drop(&back.attrs, XLM_A_operands);
  if (count) xlm_attr_put_ints(&back.attrs, XLM_A_operands, given, count);
  xlm_val first = xlm_emit(&t->b, XLM_OP_ATTEND_BWD, back.in, back.n, &back.attrs);
  for (xlm_val i = 0; i < 3; i++) op_out_const(t, first + i);
  if (s->bias) gradient_of_bias(t, &back, xlm_val_type(t->b.g, c.in[3]), false);
  if (s->slopes) gradient_of_bias(t, &back, xlm_val_type(t->b.g, c.in[3 + (s->bias != NULL)]), true);
}

#define SMALL(name, ...)                                                                                     \
  { name, XLM_OP_ATTEND, both, __VA_ARGS__ }
#define LARGE(name, ...)                                                                                     \
  { name, XLM_OP_ATTEND_BWD, direct, .no_grad = true, .tol_bf16 = 5e-2, __VA_ARGS__ }

static const op_case table[] = {
    SMALL("short_values", .bf16 = true),
    SMALL("long_values", .bf16 = true),
    SMALL("cross", .bf16 = true),
    SMALL("bias", .bf16 = true),
    SMALL("bias_of_all", .bf16 = true),
    SMALL("bias_of_keys", .bf16 = true),
    SMALL("bias_of_queries", .bf16 = true),
    SMALL("bias_of_heads", .bf16 = true),
    {"bias_that_hides", XLM_OP_ATTEND, bias_that_hides, .bf16 = true, .no_grad = true},
    SMALL("slopes", .bf16 = true),
    SMALL("slopes_apart", .bf16 = true),
    SMALL("sink", .bf16 = true),
    SMALL("sink_window", .bf16 = true),
    SMALL("mask", .bf16 = true),
    SMALL("mask_of_keys", .bf16 = true),
    SMALL("documents", .bf16 = true),
    SMALL("documents_apart", .bf16 = true),
    SMALL("prefix", .bf16 = true),
    SMALL("prefix_window", .bf16 = true),
    SMALL("all", .bf16 = true),
    LARGE("tiles_short_values", .bf16 = true),
    LARGE("tiles_long_values", .bf16 = true),
    LARGE("tiles_wide_values", .bf16 = true),
    LARGE("tiles_orders_values", .bf16 = true),
    LARGE("tiles_bias", .bf16 = true),
    LARGE("tiles_bias_of_one", .bf16 = true),
    LARGE("tiles_bias_of_keys", .bf16 = true),
    LARGE("tiles_slopes", .bf16 = true),
    LARGE("tiles_sink", .bf16 = true),
    LARGE("tiles_mask", .bf16 = true),
    LARGE("tiles_documents", .bf16 = true),
    LARGE("tiles_short_documents", .bf16 = true),
    LARGE("tiles_prefix", .bf16 = true),
    LARGE("tiles_prefix_window", .bf16 = true),
    LARGE("tiles_all", .bf16 = true),
    // p (dp - delta) of few keys: delta comes from results that are rounded to bf16, and two samples do not
    // even it out
    {"both_ends_all", XLM_OP_ATTEND_BWD, direct, .no_grad = true, .bf16 = true, .tol_bf16 = 8e-2},
};
const op_cases cases_attend_terms = {table, sizeof table / sizeof *table};
