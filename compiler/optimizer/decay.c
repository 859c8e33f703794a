// Finds the parameters that decay, by what the model does with them; initialisers play no role. Each
// parameter is followed through casts, renames and factors, and each product's result through the same, in
// one sweep over the graph.
#include "compiler/optimizer/step_priv.h"

typedef struct finder {
  const xlm_graph *g;
  xlm_val *param; // by value: the parameter that it is; 0: none
  bool *product;  // by value: the result of a product
  bool *decays;   // by parameter
} finder;

// Is operand i such that `value` there would give the other operand? 1: it scales that, 0: it is added to it.
static bool is_neutral_at(const xlm_node_info *n, int i, double value) {
  const xlm_op_facts *f = xlm_op_facts_of(n->op);
  for (int k = 0; k < 2; k++)
    if (f->neutral[k].operand == i + 1 && f->neutral[k].value == value) return true;
  return false;
}

static bool is_scale_or_bias(const finder *f, const xlm_node_info *n, int i) {
  if (n->n_in != 2 || n->in[0] == n->in[1]) return false;
  return is_neutral_at(n, i, 1) || (is_neutral_at(n, i, 0) && f->product[n->in[1 - i]]);
}

static void read_operand(finder *f, const xlm_node_info *n, int i) {
  xlm_val param = f->param[n->in[i]];
  bool passed = n->n_out && xlm_hands_on(f->g, n, i);
  if (passed) f->product[n->out] |= f->product[n->in[i]];
  if (!param) return;
  if (passed)
    f->param[n->out] = param;
  else if (!is_scale_or_bias(f, n, i))
    f->decays[param] = xlm_val_type(f->g, param)->rank >= 2;
}

const bool *xlm_find_decaying(const xlm_graph *g, xlm_arena *a) {
  finder f = {.g = g,
              .param = XLM_NEW_N(a, xlm_val, g->n_values),
              .product = XLM_NEW_N(a, bool, g->n_values),
              .decays = XLM_NEW_N(a, bool, g->n_values)};
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (n->phase != XLM_PHASE_FWD) continue;
    if (xlm_node_is(n, XLM_LEAF_PARAMETER)) f.param[n->out] = n->out;
    if (n->n_out && xlm_op_facts_of(n->op)->product == XLM_PRODUCT_MATRIX) f.product[n->out] = true;
    for (int i = 0; i < n->n_in; i++) read_operand(&f, n, i);
  }
  return f.decays;
}
