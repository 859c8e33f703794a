// What the losses of tokens share: cross_entropy and token_cross_entropy.
#ifndef XLM_OPS_TOKEN_LOSS_PRIV_H
#define XLM_OPS_TOKEN_LOSS_PRIV_H

#include "ops/shape_priv.h"

// The vocabulary: attribute `vocab`, or the dimension of the logits that the targets lack.
static inline bool token_vocab(xlm_infer *x, const xlm_type *logits, const xlm_type *targets,
                               xlm_dim *vocab) {
  *vocab = shape_attr_dim(x, XLM_A_vocab);
  if (*vocab) return xlm_infer_has(x, 0, *vocab, "along which the targets choose");
  xlm_type extra = shape_minus(logits, targets);
  if (extra.rank != 1)
    return xlm_infer_fail(
        x, XLM_FAULT_DIM_MISMATCH, 1,
        "the logits %s must have exactly one dimension more than the targets %s: the vocabulary",
        xlm_infer_dims_text(x, logits), xlm_infer_dims_text(x, targets));
  *vocab = extra.dim[0];
  return true;
}

// The gradient of the logits: `loss`, through the first result (0: none), and that through the second one,
// the log-sum-exp, whose derivative is softmax(logits).
static inline xlm_val token_add_grad_of_lse(const xlm_grad *x, xlm_val loss) {
  if (!x->dout[1]) return loss;
  xlm_dtype t = xlm_val_type(x->b->g, x->out[1])->dtype;
  xlm_val wide = xlm_cast_to(x->b, x->in[0], t);
  xlm_val p = xlm_op1(x->b, XLM_OP_EXP, xlm_op2(x->b, XLM_OP_SUB, wide, x->out[1]));
  xlm_val lse = xlm_op2(x->b, XLM_OP_MUL, p, x->dout[1]);
  return loss ? xlm_op2(x->b, XLM_OP_ADD, xlm_cast_to(x->b, loss, t), lse) : lse;
}

static inline xlm_val token_all_reduce(const xlm_cut *x, xlm_val v, xlm_reduction kind) {
  xlm_attr_list l = xlm_attr_list_new(x->b->g->arena);
  xlm_attr_put_int(&l, XLM_A_axes, x->axes);
  xlm_attr_put_enum(&l, XLM_A_kind, kind);
  return xlm_emit(x->b, XLM_OP_ALL_REDUCE, &v, 1, &l);
}

// With a split vocabulary two numbers per token are combined, never the logits: returns the log-sum-exp, sets
// the logit of the target (0: it does not count). Operands of the cut: logits, targets.
static inline xlm_val token_stats_of_all(const xlm_cut *x, xlm_val *logit) {
  xlm_attr_list l = xlm_attr_list_from(x->b->g->arena, x->attrs);
  xlm_val stats = xlm_emit(x->b, XLM_OP_TOKEN_STATS, x->in, 2, &l);
  xlm_val lse = token_all_reduce(x, stats, XLM_REDUCTION_LSE);
  *logit = token_all_reduce(x, stats + 1, XLM_REDUCTION_SUM);
  return lse;
}

#endif
