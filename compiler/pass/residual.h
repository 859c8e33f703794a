// What the residual pass decides, for passes before it.
#ifndef XLM_PASS_RESIDUAL_H
#define XLM_PASS_RESIDUAL_H

#include "compiler/pass/pass.h"

// By node: of an addition that computes one of its operands, a product, itself, that operand; else 0.
// [n_nodes], in a. Such a product has no other reader, and its sums are rounded once, after the addition.
xlm_val *xlm_residual_products(const xlm_graph *g, xlm_arena *a);

#endif
