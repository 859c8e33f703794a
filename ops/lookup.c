// lookup: the row of a table for each token. The table's gradient, lookup_bwd, sums the rows of dy for equal
// tokens. lookup_bwd_acc adds it to an accumulator, of which it touches only the tokens' rows; the fuse pass
// makes it from accumulate(acc, lookup_bwd(dy, tokens)).
#include <string.h>

#include "ops/shape_priv.h"

static bool infer(xlm_infer *x) {
  const xlm_type *table = xlm_infer_type(x, 0), *tokens = xlm_infer_type(x, 1);
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the tokens") || !shape_single(x, XLM_A_vocab))
    return false;
  if (table->rank == 0)
    return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, 0, "the table has no dimension to look up in");
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!vocab) vocab = table->dim[0];
  if (!xlm_infer_has(x, 0, vocab, "the tokens choose along it") || !shape_not_packed(x, 0, vocab))
    return false;
  xlm_infer_set_dims(x, XLM_A_vocab, &vocab, 1);
  x->out[0] = *tokens;
  x->out[0].dtype = table->dtype;
  for (int i = 0; i < table->rank; i++) {
    xlm_dim d = table->dim[i];
    if (d == vocab) continue;
    if (xlm_type_find(tokens, d) >= 0)
      return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 0, "both the table and the tokens have dimension `%s`",
                            shape_name(x, d)) ||
             xlm_infer_help(x, "rename it in one of them");
    if (!shape_append(x, &x->out[0], d)) return false;
  }
  return true;
}

static void grad(xlm_grad *x) {
  if (!x->need[0]) return;
  xlm_dim vocab[XLM_MAX_RANK];
  xlm_attr_list as = xlm_attr_list_new(x->b->g->arena);
  xlm_attr_put_dims(&as, XLM_A_vocab, vocab, xlm_attr_dims(shape_grad_attrs(x), XLM_A_vocab, vocab));
  xlm_val in[] = {shape_dout(x, 0), x->in[1]};
  x->din[0] = xlm_emit(x->b, XLM_OP_LOOKUP_BWD, in, 2, &as);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_node_info *node = xlm_node_at(g, n);
  out->bytes = 2.0 * (double)xlm_type_bytes(xlm_val_type(g, node->out), g->dims) +
               (double)xlm_type_bytes(xlm_val_type(g, node->in[1]), g->dims);
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
    .grad = grad,
    .cost = cost,
    .doc = "`lookup(table, tokens)`: for each token the table's row of that number, `y[.., rest] = "
           "table[tokens[..], "
           "rest]`. The tokens choose along the table's first dimension, or along D with `over D`. The "
           "result has the "
           "tokens' dimensions, then the table's others. A token outside the table gives zeros.",
};

// Rows of dy, operand `first`: [tokens' dims .., rest ..]; result [vocab, rest ..], f32.
static bool infer_gradient(xlm_infer *x, int first) {
  const xlm_type *dy = xlm_infer_type(x, first), *tokens = xlm_infer_type(x, first + 1);
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!xlm_infer_is_float(x, first) || !shape_is_index(x, first + 1, "the tokens")) return false;
  if (!vocab) return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "attribute `vocab` is missing");
  for (int i = 0; i < tokens->rank; i++)
    if (i >= dy->rank || dy->dim[i] != tokens->dim[i])
      return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, first, "%s must begin with the tokens' dimensions %s",
                            xlm_infer_dims_text(x, dy), xlm_infer_dims_text(x, tokens));
  xlm_infer_set_dims(x, XLM_A_over, tokens->dim, tokens->rank);
  x->out[0] = (xlm_type){.dtype = shape_wide(dy->dtype), .rank = 1, .dim = {vocab}};
  for (int i = tokens->rank; i < dy->rank; i++)
    if (!shape_append(x, &x->out[0], dy->dim[i])) return false;
  return true;
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
    .layout = "[over *], [over] -> [vocab *] | over: sum, vocab: place",
    .infer = infer_bwd,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost_bwd,
    .doc = "Gradient of `lookup` to the table: `dtable[v, rest] = sum of dy[.., rest] over the tokens equal "
           "to v`, in the "
           "order of the tokens, in fp32.",
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
    .layout = "[vocab *], [over *], [over] -> [vocab *] | over: sum, vocab: place",
    .infer = infer_bwd_acc,
    .no_grad = "made after differentiation, from accumulate and lookup_bwd",
    .cost = cost_bwd_acc,
    .doc = "acc + lookup_bwd(dy, tokens) in acc's memory, in f32; rows that no token names are not touched. "
           "With "
           "`store`, as in the first microbatch of a step, acc counts as zero.",
};
