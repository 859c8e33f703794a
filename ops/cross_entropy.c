// cross_entropy: the training loss. Logits are read once per direction: the forward stores one log-sum-exp
// per token, and the gradient may overwrite the logits, so that a second copy of the logits is never needed.
// Where the two stand next to each other, the merge_loss pass makes cross_entropy_grad of them, which reads
// the logits once for both.
//
// The elaborator emits two operands. The train pipeline adds a third, `valid`: the average number of counted
// targets per microbatch of the global batch. The loss is then the mean over the global batch's valid tokens,
// however it is divided into microbatches and ranks. Without it the kernel counts the targets it is given.
#include "ops/token_loss_priv.h"

static bool check_valid(xlm_infer *x, int operand) {
  if (x->n_in <= operand) return true;
  const xlm_type *t = xlm_infer_type(x, operand);
  if (t->rank == 0 && xlm_dtype_is_float(t->dtype)) return true;
  return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, operand, "the count of valid targets must be a scalar");
}

static bool infer(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *targets = xlm_infer_type(x, 1);
  xlm_dim vocab;
  if (!shape_has_index(x, "the targets", "cross_entropy(logits, targets)") || !shape_single(x, XLM_A_vocab))
    return false;
  if (!token_vocab(x, logits, targets, &vocab) || !check_valid(x, 2) || !shape_not_packed(x, 0, vocab))
    return false;
  xlm_type tokens = shape_without(logits, vocab);
  if (!shape_match(x, 1, &tokens, "the targets")) return false;
  xlm_infer_set_dims(x, XLM_A_vocab, &vocab, 1);
  xlm_infer_set_dims(x, XLM_A_over, targets->dim, targets->rank);
  x->out[0] = shape_scalar(shape_wide(logits->dtype));
  x->out[1] = *targets;
  x->out[1].dtype = x->out[0].dtype;
  return true;
}

static xlm_val grad_of_loss(xlm_grad *x) {
  xlm_attr_list as = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_attr_drop(&as, XLM_A_over);
  xlm_val in[] = {x->in[0], x->in[1], x->out[1], x->dout[0], 0};
  int n = xlm_node_at(x->b->g, x->node)->n_in;
  if (n > 2) in[4] = x->in[2];
  return xlm_emit(x->b, XLM_OP_CROSS_ENTROPY_BWD, in, n > 2 ? 5 : 4, &as);
}

static void grad(xlm_grad *x) {
  if (x->need[0]) x->din[0] = token_add_grad_of_lse(x, x->dout[0] ? grad_of_loss(x) : 0);
}

static void cost_of(const xlm_graph *g, xlm_node n, double passes, xlm_cost *out) {
  const xlm_type *logits = xlm_val_type(g, xlm_node_at(g, n)->in[0]);
  out->flops = 4.0 * (double)xlm_type_elements(
                         logits, g->dims); // subtract, exponential (counted as one), add, compare
  out->bytes = passes * (double)xlm_type_bytes(logits, g->dims);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_of(g, n, 1, out);
}
static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_of(g, n, 2, out);
}
static void cost_grad(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_of(g, n, 2, out);
  out->flops *= 2;
}

static void cut(const xlm_cut *x) {
  xlm_val logit, lse = token_stats_of_all(x, &logit);
  xlm_attr_list of_tokens = xlm_attr_list_from(x->b->g->arena, x->attrs);
  xlm_attr_drop(&of_tokens, XLM_A_vocab);
  xlm_attr_drop(&of_tokens, XLM_A_over);
  xlm_attr_put_int(&of_tokens, XLM_A_k, x->full);
  bool valid = x->n_in > 2;
  x->out[0] = xlm_emit(x->b, XLM_OP_TOKEN_LOSS, (xlm_val[]){lse, logit, x->in[1], valid ? x->in[2] : 0},
                       3 + valid, &of_tokens);
  x->out[1] = lse;
}

static const xlm_param params[] = {{"logits", XLM_P_TENSOR, 0, true},
                                   {"targets", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_vocab, false},
                                   {"ignore", XLM_P_INT, XLM_A_ignore, false},
                                   {0}};

const xlm_op xlm_op_cross_entropy = {
    .name = "cross_entropy",
    .facts = {.reduces = XLM_REDUCTION_MEAN,
              .index = 2,
              .index_into = XLM_A_vocab,
              .targets = 2,
              .valid = 3,
              .gradient = XLM_OP_CROSS_ENTROPY_BWD,
              .with_gradient = XLM_OP_CROSS_ENTROPY_GRAD,
              .mixes = XLM_KEY(over) | XLM_KEY(vocab)},
    .min_in = 2,
    .max_in = 3,
    .n_out = 2,
    .params = params,
    XLM_TAKES({XLM_A_over, XLM_IN(1), 0, 8}, {XLM_A_vocab, XLM_IN(0), 1, 1},
              {XLM_A_ignore, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = -1}),
    .layout = "[over vocab], [over], [] -> [], [over] | over: sum, vocab: place",
    .infer = infer,
    .cut = cut,
    .cut_along = XLM_A_vocab,
    .grad = grad,
    .cost = cost,
    .doc = "`cross_entropy(logits, targets, ignore = -1)`: the mean over the valid targets of "
           "`logsumexp(logits) - "
           "logits[target]`, computed in fp32. A target that equals `ignore` or lies outside the vocabulary "
           "does not "
           "count. The vocabulary is the dimension the targets lack, or `over D`. The mean is over the valid "
           "targets of "
           "the whole global batch. Second result: the log-sum-exp of each token. The gradient overwrites "
           "the logits "
           "when nothing else reads them. Where the vocabulary is split over ranks, it becomes "
           "`token_stats`, two small "
           "all-reduces of one number per token, and `token_loss`.",
};

static bool infer_bwd(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0);
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the targets") || !xlm_infer_is_float(x, 2))
    return false;
  if (!vocab) return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "attribute `vocab` is missing");
  if (!xlm_infer_has(x, 0, vocab, "along which the targets choose")) return false;
  xlm_type tokens = shape_without(logits, vocab);
  if (!shape_match(x, 1, &tokens, "the targets") || !check_valid(x, 3) || !check_valid(x, 4)) return false;
  const xlm_type *targets = xlm_infer_type(x, 1), *lse = xlm_infer_type(x, 2);
  for (int i = 0; i < targets->rank; i++)
    if (lse->rank != targets->rank || lse->dim[i] != targets->dim[i])
      return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, 2,
                            "the log-sum-exp must lie in memory like the targets");
  x->out[0] = *logits;
  return true;
}

const xlm_op xlm_op_cross_entropy_bwd = {
    .name = "cross_entropy_bwd",
    .facts = {.index = 2, .index_into = XLM_A_vocab, .valid = 5, .mixes = XLM_KEY(vocab)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 4,
    .max_in = 5,
    .n_out = 1,
    .in_place = 1u << 0,
    XLM_TAKES({XLM_A_vocab, XLM_IN(0), 1, 1},
              {XLM_A_ignore, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = -1}),
    .layout = "[* vocab], [*], [*], [], [] -> [* vocab] | vocab: place",
    .infer = infer_bwd,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost_bwd,
    .doc = "Gradient of `cross_entropy(logits, targets)` from (logits, targets, lse, dloss, valid): `dlogits "
           "= dloss / valid "
           "* (exp(logits - lse) - onehot(target))`, zero where the target does not count; in the logits' "
           "type, and in "
           "their memory when nothing else reads them.",
};

static bool infer_grad(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *targets = xlm_infer_type(x, 1);
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the targets")) return false;
  if (!vocab) return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "attribute `vocab` is missing");
  if (!xlm_infer_has(x, 0, vocab, "along which the targets choose")) return false;
  xlm_type tokens = shape_without(logits, vocab);
  if (!shape_match(x, 1, &tokens, "the targets") || !check_valid(x, 2) || !check_valid(x, 3)) return false;
  xlm_infer_set_dims(x, XLM_A_over, targets->dim, targets->rank);
  x->out[0] = *logits;
  x->out[1] = shape_scalar(shape_wide(logits->dtype));
  return true;
}

const xlm_op xlm_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .facts = {.index = 2,
              .index_into = XLM_A_vocab,
              .targets = 2,
              .valid = 4,
              .mixes = XLM_KEY(over) | XLM_KEY(vocab)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 3,
    .max_in = 4,
    .n_out = 2,
    .in_place = 1u << 0,
    XLM_TAKES({XLM_A_over, XLM_IN(1), 0, 8}, {XLM_A_vocab, XLM_IN(0), 1, 1},
              {XLM_A_ignore, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = -1}),
    .layout = "[over vocab], [over], [], [] -> [over vocab], [] | over: sum, vocab: whole",
    .infer = infer_grad,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost_grad,
    .doc =
        "The gradient of the logits and the loss, from (logits, targets, dloss, valid): the results of "
        "`cross_entropy` and `cross_entropy_bwd`, with the same bits, in one pass over the logits; in their "
        "memory when nothing else reads them.",
};

// ---- the loss over a split vocabulary: partial results of each rank, and the loss from all of them

static bool infer_stats(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *targets = xlm_infer_type(x, 1);
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the targets")) return false;
  if (!xlm_infer_has(x, 0, vocab, "along which the targets choose")) return false;
  xlm_type tokens = shape_without(logits, vocab);
  if (!shape_match(x, 1, &tokens, "the targets")) return false;
  x->out[0] = *targets;
  x->out[0].dtype = shape_wide(logits->dtype);
  x->out[1] = x->out[0];
  return true;
}

const xlm_op xlm_op_token_stats = {
    .name = "token_stats",
    .facts = {.index = 2, .index_into = XLM_A_vocab, .mixes = XLM_KEY(vocab)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 2,
    .max_in = 2,
    .n_out = 2,
    XLM_TAKES({XLM_A_over, XLM_IN(1), 0, 8, .may = true}, {XLM_A_vocab, XLM_IN(0), 1, 1},
              {XLM_A_ignore, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = -1}),
    .layout = "[* vocab], [*] -> [*], [*] | vocab: place",
    .infer = infer_stats,
    .no_grad = "made after differentiation",
    .cost = cost,
    .doc = "Per token, of the part of the vocabulary that is here: the log-sum-exp of the logits, and the "
           "logit of the "
           "target (0 when the target lies in another part). The first is combined over ranks by a "
           "log-sum-exp reduction, "
           "the second by a sum.",
};

static bool infer_token_loss(xlm_infer *x) {
  const xlm_type *lse = xlm_infer_type(x, 0);
  if (!xlm_infer_is_float(x, 0) || !xlm_infer_is_float(x, 1) || !shape_is_index(x, 2, "the targets"))
    return false;
  if (!shape_match(x, 1, lse, "the targets' logits") || !shape_match(x, 2, lse, "the targets") ||
      !check_valid(x, 3))
    return false;
  xlm_infer_set_dims(x, XLM_A_over, lse->dim, lse->rank);
  x->out[0] = shape_scalar(lse->dtype);
  return true;
}

const xlm_op xlm_op_token_loss = {
    .name = "token_loss",
    .facts = {.reduces = XLM_REDUCTION_MEAN, .targets = 3, .valid = 4, .mixes = XLM_KEY(over)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 3,
    .max_in = 4,
    .n_out = 1,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8},
              {XLM_A_ignore, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = -1},
              {XLM_A_k, .low = 1, .high = XLM_ATTR_MOST}),
    .layout = "[over], [over], [over], [] -> [] | over: sum",
    .infer = infer_token_loss,
    .no_grad = "made after differentiation",
    .doc = "The sum over the valid targets of `lse - logit`, divided by `valid` (fourth operand; else by how "
           "many there are). "
           "`k` is the size of the vocabulary: targets beyond it do not count.",
};
