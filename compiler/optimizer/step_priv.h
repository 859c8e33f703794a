// Helpers for building updates, used by the files of optimizers.
#ifndef XLM_OPTIMIZER_STEP_PRIV_H
#define XLM_OPTIMIZER_STEP_PRIV_H

#include "compiler/ir/op.h"
#include "compiler/optimizer/optimizer.h"

// A weight as a matrix, as the products of the forward pass use it: y[batch, .., out] = x[batch, .., in] @ w.
typedef struct xlm_matrix {
  int n_batch, n_in, n_out;
  xlm_dim batch[XLM_MAX_RANK]; // experts: one matrix each
  xlm_dim in[XLM_MAX_RANK], out[XLM_MAX_RANK];
} xlm_matrix;

// By value of g: a matrix for parameters that are read only by products and as the same matrix by all of
// them; NULL for all others, and for those indexed by tokens or producing their scores (embeddings, heads).
const xlm_matrix *const *xlm_find_matrices(const xlm_graph *g, xlm_arena *a);
// Does n's result have operand i's elements, dimension by dimension? Casts, factors, rename, stop_gradient.
bool xlm_hands_on(const xlm_graph *g, const xlm_node_info *n, int i);

// decay.c: by value of g, the parameters to which the run's weight decay applies: those of two or more
// dimensions that are more than scales (factors of other tensors, element by element) and biases (added to
// the result of a product).
const bool *xlm_find_decaying(const xlm_graph *g, xlm_arena *a);

// The update of one parameter under construction.
typedef struct xlm_step {
  xlm_build *b;
  const xlm_optimizer *optimizer;
  const xlm_train_options *options;
  xlm_val param, grad;      // grad: before scaling by `scale`
  xlm_val scale, lr, step;  // lr: for this parameter, its group's factor included
  xlm_val sound;            // 1 if the gradients are finite, else 0
  double decay;             // weight decay of this parameter
  const xlm_matrix *matrix; // NULL: not a matrix
} xlm_step;

double xlm_step_setting(const xlm_step *s, const char *name);
// A state of the optimizer, f32, initially zero, with these dims of the parameter: "WHAT/PARAMETER".
xlm_val xlm_step_state(xlm_step *s, const char *what, const xlm_dim *dims, int n);
xlm_val xlm_step_state_like(xlm_step *s, const char *what); // with all its dims
xlm_val xlm_step_gradient(xlm_step *s);                     // the gradient times `scale`
// Sets the value of the state (or parameter) after the step to `now`; it stays unchanged if the gradients are
// not finite.
void xlm_step_store(xlm_step *s, xlm_val state, xlm_val now);
// Stores parameter - lr (direction + decay parameter).
void xlm_step_descend(xlm_step *s, xlm_val direction);

#endif
