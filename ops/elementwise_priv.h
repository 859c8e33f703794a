// For the rules of elementwise functions.
#ifndef XLM_OPS_ELEMENTWISE_PRIV_H
#define XLM_OPS_ELEMENTWISE_PRIV_H

#include "ops/rules_priv.h"

// Inference, as it is common to operations.
bool xlm_fn_infer(xlm_infer *x);       // of real numbers; integers are refused
bool xlm_fn_infer_real(xlm_infer *x);  // real numbers, also of integers
bool xlm_fn_infer_whole(xlm_infer *x); // integers of integers, else real numbers
// The dimensions of all operands, in this element type.
bool xlm_fn_infer_dims(xlm_infer *x, xlm_dtype dtype);
// Integers where all operands from `first` on are integers, or whole numbers beside one; else the real type.
xlm_dtype xlm_fn_integers(const xlm_infer *x, int first);
// Is operand i a number of the model's text? It does not raise the precision of the result.
bool xlm_fn_is_number(const xlm_infer *x, int i);
void xlm_fn_cost(const xlm_graph *g, xlm_node n, xlm_cost *out);
// Emits the gradient of operand i, summed over the dimensions it was broadcast along.
void xlm_fn_give(xlm_grad *g, int i, xlm_val v);

extern const xlm_param xlm_fn_params_1[], xlm_fn_params_2[], xlm_fn_params_3[];
extern const char xlm_fn_flat[], xlm_fn_first_order[]; // why there is no gradient

// The beginning of a rule; what follows may override it.
#define XLM_FN_LAYOUT_1 "[*] -> [*]"
#define XLM_FN_LAYOUT_2 "[*] [*] -> [*]"
#define XLM_FN_LAYOUT_3 "[*] [*] [*] -> [*]"
#define XLM_FN_LINEAR " | *: linear"
#define XLM_FN_SCALING " | *: scaling"
#define XLM_FN_RULE(fn, arity)                                                                               \
  .name = #fn, .flags = XLM_OPF_ELEMENTWISE, .min_in = arity, .max_in = arity, .n_out = 1,                   \
  .in_place = (1u << arity) - 1, .params = xlm_fn_params_##arity, .layout = XLM_FN_LAYOUT_##arity,           \
  .infer = xlm_fn_infer, .cost = xlm_fn_cost
#define XLM_FN_GRAD_RULE(fn)                                                                                 \
  .name = #fn, .flags = XLM_OPF_ELEMENTWISE | XLM_OPF_INTERNAL, .min_in = 2, .max_in = 2, .n_out = 1,        \
  .in_place = 3, .layout = XLM_FN_LAYOUT_2, .infer = xlm_fn_infer, .cost = xlm_fn_cost,                      \
  .no_grad = xlm_fn_first_order

// Around the rules of a file, whose entries override those of XLM_FN_RULE.
#if defined(__clang__)
#define XLM_FN_RULES_BEGIN                                                                                   \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Winitializer-overrides\"")
#else
#define XLM_FN_RULES_BEGIN                                                                                   \
  _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"")
#endif
#define XLM_FN_RULES_END _Pragma("GCC diagnostic pop")

#endif
