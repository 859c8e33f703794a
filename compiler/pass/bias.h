// Biases of products: which additions a product can do itself.
#ifndef XLM_PASS_BIAS_H
#define XLM_PASS_BIAS_H

#include "compiler/pass/pass_priv.h"

typedef struct xlm_bias {
  xlm_val product, bias; // operands of the addition; product 0: it is none of a bias
} xlm_bias;

// Node n as the addition of a bias to a whole product. The bias has one element for every combination of the
// second operand's own dimensions, and they are the last of the product; so every kernel of the product can
// add it.
xlm_bias xlm_bias_of(const xlm_graph *g, const xlm_node_info *n);

// Does a node between the product and its addition update what the product reads? Then it cannot move there.
bool xlm_is_updated(const xlm_graph *g, xlm_node product, xlm_node addition);

// Are nodes a and b, a <= b, in one part of a pipeline wherever it is cut? Those of one round are, and those
// outside rounds with no round between them.
bool xlm_is_uncut(const xlm_graph *g, xlm_node a, xlm_node b);

#endif
