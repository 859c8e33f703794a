// lookup: the row of a table for each token; dimensions that both have are kept, so that each of their
// indices has a table of its own. The table's gradient, lookup_bwd, sums the rows of dy for equal tokens;
// `scatter` is the same for the model's own use. lookup_bwd_acc adds it to an accumulator, of which it
// touches only the tokens' rows; the fuse pass makes it from accumulate(acc, lookup_bwd(dy, tokens)).
#include <string.h>

#include "ops/shape_priv.h"

static bool infer(xlm_infer *x) {
  const xlm_type *table = xlm_infer_type(x, 0), *tokens = xlm_infer_type(x, 1);
  if (!shape_has_index(x, "the tokens", "lookup(table, tokens)") || !shape_single(x, XLM_A_vocab))
    return false;
  if (table->rank == 0)
    return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, 0, "the table has no dimension to look up in");
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!vocab) vocab = table->dim[0];
  if (!xlm_infer_has(x, 0, vocab, "along which the indices choose") || !shape_not_packed(x, 0, vocab))
    return false;
  xlm_infer_set_dims(x, XLM_A_vocab, &vocab, 1);
  x->out[0] = *tokens;
  x->out[0].dtype = table->dtype;
  for (int i = 0; i < table->rank; i++) {
    xlm_dim d = table->dim[i];
    if (d == vocab) continue;
    if (xlm_type_find(tokens, d) < 0 && !shape_append(x, &x->out[0], d)) return false;
  }
  if (xlm_type_find(tokens, vocab) < 0) return true;
  xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 1, "the tokens choose along `%s` and have that dimension, too",
                 shape_name(x, vocab));
  return xlm_infer_help(x, "give the table's another name: rename(table, %s -> ..)", shape_name(x, vocab));
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_dim vocab[XLM_MAX_RANK];
  xlm_attr_list as = xlm_attr_list_new(x->b->g->arena);
  xlm_attr_put_dims(&as, XLM_A_vocab, vocab, xlm_attr_dims(shape_grad_attrs(x), XLM_A_vocab, vocab));
  xlm_type summed = shape_minus(xlm_val_type(x->b->g, x->in[1]), xlm_val_type(x->b->g, x->in[0]));
  xlm_attr_put_dims(&as, XLM_A_over, summed.dim, summed.rank);
  xlm_val in[] = {shape_dout(x, 0), x->in[1]};
  x->din[0] = xlm_emit(x->b, XLM_OP_LOOKUP_BWD, in, 2, &as);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  out->bytes = 2.0 * (double)xlm_type_bytes(xlm_val_type(g, node->out), g->dims) +
               (double)xlm_type_bytes(xlm_val_type(g, node->in[1]), g->dims);
}

// A row for each token; a table of places is whole.
static xlm_reach reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  (void)g, (void)n, (void)sequence;
  return (xlm_reach){.along = XLM_ALONG_LOCAL};
}

static const xlm_param params[] = {{"table", XLM_P_TENSOR, 0, true},
                                   {"tokens", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_vocab, false},
                                   {0}};

const xlm_op xlm_op_lookup = {
    .name = "lookup",
    .facts = {.linear = 1, .index = 2, .index_into = XLM_A_vocab, .mixes = XLM_KEY(vocab)},
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .params = params,
    XLM_TAKES({XLM_A_vocab, XLM_IN(0), 1, 1}),
    .layout = "[vocab *], [*] -> [*] | vocab: index",
    .infer = infer,
    .reach = reach,
    .grad = grad,
    .cost = cost,
    .doc = "`lookup(table, tokens)`: for each token the table's row of that number, `y[.., rest] = "
           "table[tokens[..], "
           "rest]`. The tokens choose along the table's first dimension, or along D with `over D`. The "
           "result has the "
           "tokens' dimensions, then the table's others. A dimension that both have is kept: `lookup(h, "
           "index, over "
           "seq)` with `h[batch, seq, hidden]` and `index[batch, chosen]` gathers from each sample its own "
           "rows, "
           "`[batch, chosen, hidden]`. A token outside the table gives zeros.",
};

// The dims of the tokens that are summed: those in `over`, all if it is unset.
static bool set_summed(xlm_infer *x, const xlm_type *tokens) {
  xlm_dim over[XLM_MAX_RANK], sorted[XLM_MAX_RANK];
  int n = xlm_attr_dims(&x->attrs, XLM_A_over, over), n_sorted = 0;
  bool all = !xlm_attr_find(&x->attrs, XLM_A_over);
  for (int i = 0; i < n; i++)
    if (xlm_type_find(tokens, over[i]) < 0)
      return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, -1, "the indices %s have no dimension `%s` to sum over",
                            xlm_infer_dims_text(x, tokens), shape_name(x, over[i]));
  for (int i = 0; i < tokens->rank; i++)
    if (all || xlm_attr_has_dim(&x->attrs, XLM_A_over, tokens->dim[i])) sorted[n_sorted++] = tokens->dim[i];
  xlm_infer_set_dims(x, XLM_A_over, sorted, n_sorted);
  return true;
}

// The result for rows dy [tokens' dims .., rest ..]: [tokens' dims that are kept .., vocab, rest ..], f32.
static bool set_sums(xlm_infer *x, const xlm_type *dy, const xlm_type *tokens, xlm_dim vocab) {
  x->out[0] = (xlm_type){.dtype = shape_wide(dy->dtype)};
  for (int i = 0; i < tokens->rank; i++)
    if (!xlm_attr_has_dim(&x->attrs, XLM_A_over, tokens->dim[i]) &&
        !shape_append(x, &x->out[0], tokens->dim[i]))
      return false;
  if (!shape_append(x, &x->out[0], vocab)) return false;
  xlm_type rest = shape_minus(dy, tokens);
  for (int i = 0; i < rest.rank; i++)
    if (!shape_append(x, &x->out[0], rest.dim[i])) return false;
  return true;
}

// dy is operand `first`, the tokens follow.
static bool infer_gradient(xlm_infer *x, int first) {
  const xlm_type *dy = xlm_infer_type(x, first), *tokens = xlm_infer_type(x, first + 1);
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!xlm_infer_is_float(x, first) || !shape_is_index(x, first + 1, "the tokens")) return false;
  if (!vocab) return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "attribute `vocab` is missing");
  for (int i = 0; i < tokens->rank; i++)
    if (i >= dy->rank || dy->dim[i] != tokens->dim[i])
      return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, first, "%s must begin with the tokens' dimensions %s",
                            xlm_infer_dims_text(x, dy), xlm_infer_dims_text(x, tokens));
  return set_summed(x, tokens) && set_sums(x, dy, tokens, vocab);
}

static bool infer_bwd(xlm_infer *x) {
  return infer_gradient(x, 0);
}

static bool infer_bwd_acc(xlm_infer *x) {
  const xlm_type *acc = xlm_infer_type(x, 0);
  if (!infer_gradient(x, 1)) return false;
  const xlm_type *out = &x->out[0];
  if (acc->dtype == out->dtype && acc->rank == out->rank &&
      !memcmp(acc->dim, out->dim, out->rank * sizeof *out->dim))
    return true;
  return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, 0,
                        "%s cannot be added into %s: same dimensions, same order",
                        xlm_infer_dims_text(x, out), xlm_infer_dims_text(x, acc));
}

static void grad_bwd(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_dim vocab[XLM_MAX_RANK];
  xlm_attr_list as = xlm_attr_list_new(x->b->g->arena);
  xlm_attr_put_dims(&as, XLM_A_vocab, vocab, xlm_attr_dims(shape_grad_attrs(x), XLM_A_vocab, vocab));
  x->din[0] = xlm_emit(x->b, XLM_OP_LOOKUP, (xlm_val[]){x->dout[0], x->in[1]}, 2, &as);
}

static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  const xlm_type *dy = xlm_val_type(g, node->in[0]);
  out->flops = (double)xlm_type_elements(dy, g->dims);
  out->bytes =
      (double)xlm_type_bytes(dy, g->dims) + (double)xlm_type_bytes(xlm_val_type(g, node->out), g->dims);
}

// Of the accumulator, the rows of all tokens are read and written if they differ, at most.
static void cost_bwd_acc(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  const xlm_type *dy = xlm_val_type(g, node->in[1]), *acc = xlm_val_type(g, node->in[0]);
  double elements = (double)xlm_type_elements(dy, g->dims), all = (double)xlm_type_bytes(acc, g->dims);
  double rows = elements * (double)xlm_dtype_bytes(acc->dtype);
  out->flops = elements;
  out->bytes = (double)xlm_type_bytes(dy, g->dims) + 2 * (rows < all ? rows : all);
}

const xlm_op xlm_op_lookup_bwd = {
    .name = "lookup_bwd",
    .facts = {.accumulating = XLM_OP_LOOKUP_BWD_ACC,
              .adds_last = true,
              .index = 2,
              .index_into = XLM_A_vocab,
              .mixes = XLM_KEY(over) | XLM_KEY(vocab)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8}, {XLM_A_vocab, XLM_OUT(0), 1, 1}),
    .layout = "[over *], [over *] -> [vocab *] | over: sum, vocab: place",
    .infer = infer_bwd,
    .grad = grad_bwd,
    .cost = cost_bwd,
    .doc = "Gradient of `lookup` to the table: `dtable[v, rest] = sum of dy[.., rest] over the tokens equal "
           "to v`, in the "
           "order of the tokens, in fp32. Dimensions of the tokens that are not in `over` are kept. Its own "
           "gradient is `lookup`.",
};

const xlm_op xlm_op_lookup_bwd_acc = {
    .name = "lookup_bwd_acc",
    .facts = {.sums = true, .index = 3, .index_into = XLM_A_vocab, .mixes = XLM_KEY(over) | XLM_KEY(vocab)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .n_alias = 1,
    XLM_TAKES({XLM_A_store, .low = 0, .high = 1, .may = true}, {XLM_A_over, XLM_IN(1), 0, 8},
              {XLM_A_vocab, XLM_OUT(0), 1, 1}),
    .layout = "[vocab *], [over *], [over *] -> [vocab *] | over: sum, vocab: place",
    .infer = infer_bwd_acc,
    .no_grad = "made after differentiation, from accumulate and lookup_bwd",
    .cost = cost_bwd_acc,
    .doc = "acc + lookup_bwd(dy, tokens) in acc's memory, in f32; rows that no token names are not touched. "
           "With "
           "`store`, as in the first microbatch of a step, acc counts as zero.",
};

// ---- scatter

static bool infer_scatter(xlm_infer *x) {
  const xlm_type *rows = xlm_infer_type(x, 0), *index = xlm_infer_type(x, 1);
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the indices") || !vocab) return false;
  for (int i = 0; i < index->rank; i++)
    if (!xlm_infer_has(x, 0, index->dim[i], "which the indices have")) return false;
  if (xlm_type_find(rows, vocab) >= 0)
    return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 0,
                          "%s has the dimension `%s`, along which it is to be spread",
                          xlm_infer_dims_text(x, rows), shape_name(x, vocab)) ||
           xlm_infer_help(x, "name another dimension, of that size");
  if (!set_summed(x, index) || !set_sums(x, rows, index, vocab)) return false;
  x->out[0].dtype = rows->dtype;
  return true;
}

static xlm_val expand_scatter(xlm_build *b, const xlm_infer *x) {
  xlm_type rows = *xlm_infer_type(x, 0), like = *xlm_infer_type(x, 1), rest = shape_minus(&rows, &like);
  for (int i = 0; i < rest.rank; i++) like.dim[like.rank++] = rest.dim[i];
  xlm_attr_list as = xlm_attr_list_from(b->g->arena, &x->attrs);
  xlm_val in[] = {xlm_order_to(b, x->in[0], &like), x->in[1]};
  return xlm_cast_to(b, xlm_emit(b, XLM_OP_LOOKUP_BWD, in, 2, &as), rows.dtype);
}

static const xlm_param params_scatter[] = {{"x", XLM_P_TENSOR, 0, true},
                                           {"index", XLM_P_TENSOR, 0, true},
                                           {"to", XLM_P_DIM, XLM_A_vocab, true},
                                           {"over", XLM_P_OVER, XLM_A_over, false},
                                           {0}};

const xlm_op xlm_op_scatter = {
    .name = "scatter",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .params = params_scatter,
    XLM_TAKES({XLM_A_over, XLM_IN(1), 0, 8}, {XLM_A_vocab, XLM_OUT(0), 1, 1}),
    .layout = "[over *], [over *] -> [vocab *]",
    .infer = infer_scatter,
    .expand = expand_scatter,
    .no_grad = "it is written in other operations, which have theirs",
    .doc =
        "`scatter(x, index, to, over d)`: the elements of `x` summed at the places along dimension `to` that "
        "`index` says, `y[i, rest] = sum of x[.., rest] where index[..] == i`; zero where there are none. "
        "The dimensions of "
        "`index` in `over` (default: all) are summed, its others are kept: with `x[batch, seq, hidden]` and "
        "`index[batch, seq]`, `scatter(x, index, slots, over seq)` is `[batch, slots, hidden]`. The inverse "
        "of "
        "`lookup`, whose gradient it is. An index outside `to` is left out.",
};
