// Where a surplus dimension came from. Elementwise operations broadcast by name, so a slip such as adding a
// [ffn] to a [hidden] is legal where it is written and shows up later, in a statement that is right.
#include "compiler/elaborate/elaborate_priv.h"

enum { MOST_STEPS = 1000 };

static bool has(const xlm_el *e, xlm_val v, xlm_dim d) {
  return xlm_type_find(xlm_val_type(e->g, v), d) >= 0;
}

// Does operand i of the node lack dimensions of the result that another operand has?
static bool is_widened(const xlm_el *e, const xlm_node_info *n, int i) {
  const xlm_type *t = xlm_val_type(e->g, n->out);
  for (int k = 0; k < t->rank; k++)
    if (!has(e, n->in[i], t->dim[k])) return true;
  return false;
}

void xlm_el_label_stray(xlm_el *e, xlm_diag *g, xlm_val v, xlm_dim d) {
  for (int steps = 0; v && steps < MOST_STEPS; steps++) {
    const xlm_node_info *n = xlm_node_at(e->g, xlm_val_at(e->g, v)->def);
    const xlm_op *op = xlm_op_at(n->op);
    int with = -1;
    bool others = false; // an operand that lacks d and is more than a number
    for (int i = 0; i < n->n_in; i++) {
      if (has(e, n->in[i], d))
        with = i;
      else
        others |= xlm_val_type(e->g, n->in[i])->rank > 0;
    }
    if (with < 0) return;
    if ((op->flags & XLM_OPF_ELEMENTWISE) && others && is_widened(e, n, with)) {
      xlm_diag_label(e->diags, g, n->span, "`%s` joins here: operands broadcast by name", e->g->dims[d].name);
      return;
    }
    v = n->in[with];
  }
}
