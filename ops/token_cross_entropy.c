// token_cross_entropy: the loss of each token, for means that are weighted or masked by hand. The forward
// stores one log-sum-exp per token beside the loss; the gradient scales each row by its token's, and may
// overwrite the logits.
//
// Nothing is divided here: what the losses are divided by stands in the model, as a total over the global
// batch.
#include "ops/token_loss_priv.h"

static bool infer(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *targets = xlm_infer_type(x, 1);
  xlm_dim vocab;
  if (!shape_has_index(x, "the targets", "token_cross_entropy(logits, targets)") ||
      !shape_single(x, XLM_A_vocab))
    return false;
  if (!token_vocab(x, logits, targets, &vocab) || !shape_not_packed(x, 0, vocab)) return false;
  xlm_type tokens = shape_without(logits, vocab);
  if (!shape_match(x, 1, &tokens, "the targets")) return false;
  xlm_infer_set_dims(x, XLM_A_vocab, &vocab, 1);
  x->out[0] = *targets;
  x->out[0].dtype = shape_wide(logits->dtype);
  x->out[1] = x->out[0];
  return true;
}

static xlm_val grad_of_losses(xlm_grad *x) {
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, shape_grad_attrs(x));
  xlm_val in[] = {x->in[0], x->in[1], x->out[1], x->dout[0]};
  return xlm_emit(x->b, XLM_OP_TOKEN_CROSS_ENTROPY_BWD, in, 4, &l);
}

static void grad(xlm_grad *x) {
  if (x->need[0]) x->din[0] = token_add_grad_of_lse(x, x->dout[0] ? grad_of_losses(x) : 0);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_type *logits = xlm_val_type(g, xlm_node_at(g, n)->in[0]);
  out->flops = 4.0 * (double)xlm_type_elements(logits, g->dims);
  out->bytes = (double)xlm_type_bytes(logits, g->dims);
}

static void cost_bwd(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost(g, n, out);
  out->bytes *= 2;
}

// 1 where a target is in [0, vocab) and not `ignore`, else 0.
static xlm_val counted(const xlm_cut *x, xlm_dtype t) {
  xlm_build *b = x->b;
  xlm_val target = xlm_cast_to(b, x->in[1], t);
  double ignore = (double)xlm_attr_int(x->attrs, XLM_A_ignore, -1);
  xlm_val below = xlm_op2(b, XLM_OP_LT, target, xlm_scalar(b, (double)x->full)),
          from_zero = xlm_op2(b, XLM_OP_LE, xlm_scalar(b, 0), target);
  xlm_val inside = xlm_op2(b, XLM_OP_MUL, below, from_zero);
  if (ignore < 0 || ignore >= (double)x->full) return inside;
  xlm_val ignored = xlm_op2(b, XLM_OP_EQ, target, xlm_scalar(b, ignore));
  return xlm_op2(b, XLM_OP_MUL, inside, xlm_op2(b, XLM_OP_SUB, xlm_scalar(b, 1), ignored));
}

static void cut(const xlm_cut *x) {
  xlm_val logit, lse = token_stats_of_all(x, &logit);
  xlm_val counts = counted(x, xlm_val_type(x->b->g, lse)->dtype);
  x->out[0] = xlm_op2(x->b, XLM_OP_MUL, xlm_op2(x->b, XLM_OP_SUB, lse, logit), counts);
  x->out[1] = lse;
}

static const xlm_param params[] = {{"logits", XLM_P_TENSOR, 0, true},
                                   {"targets", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_vocab, false},
                                   {"ignore", XLM_P_INT, XLM_A_ignore, false},
                                   {0}};

const xlm_op xlm_op_token_cross_entropy = {
    .name = "token_cross_entropy",
    .facts = {.index = 2, .index_into = XLM_A_vocab, .mixes = XLM_KEY(vocab)},
    .min_in = 2,
    .max_in = 2,
    .n_out = 2,
    .params = params,
    XLM_TAKES({XLM_A_vocab, XLM_IN(0), 1, 1},
              {XLM_A_ignore, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = -1}),
    .layout = "[* vocab], [*] -> [*], [*] | vocab: place",
    .infer = infer,
    .cut = cut,
    .cut_along = XLM_A_vocab,
    .grad = grad,
    .cost = cost,
    .doc =
        "`token_cross_entropy(logits, targets, ignore = -1)`: the loss of each token, `logsumexp(logits) - "
        "logits[target]` in fp32, and 0 where the target equals `ignore` or lies outside the vocabulary. "
        "The vocabulary is the dimension the targets lack, or `over D`. For means that are weighted or "
        "masked by hand: `sum(token_cross_entropy(logits, targets) * mask) / sum(mask)` is the mean over the "
        "marked tokens of the global batch. Where every token has the same weight, `cross_entropy` needs "
        "less memory. Second result: the log-sum-exp of each token.",
};

static bool infer_bwd(xlm_infer *x) {
  const xlm_type *logits = xlm_infer_type(x, 0), *targets = xlm_infer_type(x, 1);
  xlm_dim vocab = shape_attr_dim(x, XLM_A_vocab);
  if (!xlm_infer_is_float(x, 0) || !shape_is_index(x, 1, "the targets")) return false;
  if (!xlm_infer_is_float(x, 2) || !xlm_infer_is_float(x, 3)) return false;
  if (!vocab) return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "attribute `vocab` is missing");
  if (!xlm_infer_has(x, 0, vocab, "along which the targets choose")) return false;
  xlm_type tokens = shape_without(logits, vocab);
  if (!shape_match(x, 1, &tokens, "the targets")) return false;
  for (int k = 2; k < 4; k++) {
    const xlm_type *t = xlm_infer_type(x, k);
    for (int i = 0; i < targets->rank; i++)
      if (t->rank != targets->rank || t->dim[i] != targets->dim[i])
        return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, k, "this must lie in memory like the targets");
  }
  x->out[0] = *logits;
  return true;
}

const xlm_op xlm_op_token_cross_entropy_bwd = {
    .name = "token_cross_entropy_bwd",
    .facts = {.index = 2, .index_into = XLM_A_vocab, .mixes = XLM_KEY(vocab)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 4,
    .max_in = 4,
    .n_out = 1,
    .in_place = 1u << 0,
    XLM_TAKES({XLM_A_vocab, XLM_IN(0), 1, 1},
              {XLM_A_ignore, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = -1}),
    .layout = "[* vocab], [*], [*], [*] -> [* vocab] | vocab: place",
    .infer = infer_bwd,
    .no_grad = SHAPE_NO_SECOND,
    .cost = cost_bwd,
    .doc =
        "Gradient of `token_cross_entropy(logits, targets)` from (logits, targets, lse, dloss): `dlogits = "
        "dloss * (exp(logits - lse) - onehot(target))` per token, zero where the target does not count; in "
        "the logits' type, and in their memory when nothing else reads them.",
};
