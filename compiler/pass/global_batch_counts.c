// Global batch: targets that count. A mean over targets divides by the number of those in the vocabulary that
// are not `ignore`; where all of them are, known from the input's vocabulary, it divides by the number of
// positions.
#include "compiler/pass/global_batch_priv.h"

// All elements are in [0, bound); 0 = unknown.
static int64_t bound_of(const xlm_batch *w, xlm_val v) {
  const xlm_node_info *n = xlm_val_node(w->g, v);
  xlm_dim vocab[XLM_MAX_RANK];
  if (xlm_node_is(n, XLM_LEAF_INPUT))
    return xlm_attr_dims(&n->attrs, XLM_A_vocab, vocab) ? w->g->dims[vocab[0]].full : 0;
  return xlm_op_facts_of(n->op)->moves ? bound_of(w, n->in[0]) : 0;
}

static int64_t vocab_of(const xlm_batch *w, const xlm_node_info *n) {
  xlm_dim vocab[XLM_MAX_RANK];
  return xlm_attr_dims(&n->attrs, xlm_op_facts_of(n->op)->index_into, vocab) ? w->g->dims[vocab[0]].full : 0;
}

xlm_val xlm_batch_targets(const xlm_node_info *n) {
  return n->in[xlm_op_facts_of(n->op)->targets - 1];
}

bool xlm_batch_needs_count(const xlm_batch *w, const xlm_node_info *n) {
  if (xlm_op_facts_of(n->op)->valid <= n->n_in) return false;
  int64_t bound = bound_of(w, xlm_batch_targets(n)), ignore = xlm_attr_int(&n->attrs, XLM_A_ignore, -1);
  return !bound || bound > vocab_of(w, n) || (ignore >= 0 && ignore < bound);
}

// The number of targets in [0, vocab) that are not `ignore`.
static xlm_val emit_count(xlm_batch *w, xlm_val targets, int64_t ignore, int64_t vocab) {
  xlm_build *b = &w->b;
  xlm_val t = xlm_cast_to(b, targets, XLM_F32);
  xlm_val below = xlm_op2(b, XLM_OP_LT, t, xlm_scalar(b, (double)vocab));
  xlm_val from_zero = xlm_op2(b, XLM_OP_LE, xlm_scalar(b, 0), t);
  xlm_val counts = xlm_op2(b, XLM_OP_MUL, from_zero, below);
  if (ignore >= 0 && ignore < vocab) {
    xlm_val ignored = xlm_op2(b, XLM_OP_EQ, t, xlm_scalar(b, (double)ignore));
    counts = xlm_op2(b, XLM_OP_MUL, counts, xlm_op2(b, XLM_OP_SUB, xlm_scalar(b, 1), ignored));
  }
  return xlm_sum_to(b, counts, &(xlm_type){.rank = 0});
}

xlm_target_count *xlm_batch_find_count(const xlm_batch *w, const xlm_node_info *n) {
  int64_t ignore = xlm_attr_int(&n->attrs, XLM_A_ignore, -1), vocab = vocab_of(w, n);
  for (xlm_target_count *c = w->counts; c; c = c->next)
    if (c->targets == xlm_batch_targets(n) && c->ignore == ignore && c->vocab == vocab) return c;
  return NULL;
}

xlm_target_count *xlm_batch_new_count(xlm_batch *w, const xlm_node_info *n, xlm_val targets) {
  xlm_target_count *c = XLM_NEW(w->a, xlm_target_count);
  *c = (xlm_target_count){xlm_batch_targets(n), 0, xlm_attr_int(&n->attrs, XLM_A_ignore, -1), vocab_of(w, n),
                          w->counts};
  c->count = emit_count(w, targets, c->ignore, c->vocab);
  w->counts = c;
  return c;
}
