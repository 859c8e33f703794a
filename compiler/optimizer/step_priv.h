// What an optimizer's file builds an update from.
#ifndef XLM_OPTIMIZER_STEP_PRIV_H
#define XLM_OPTIMIZER_STEP_PRIV_H

#include "compiler/ir/op.h"
#include "compiler/optimizer/optimizer.h"

// What the products of the forward pass make of a weight: y[batch, .., out] = x[batch, .., in] @ w.
typedef struct xlm_matrix {
  int n_batch, n_in, n_out;
  xlm_dim batch[XLM_MAX_RANK]; // experts: a matrix for each
  xlm_dim in[XLM_MAX_RANK], out[XLM_MAX_RANK];
} xlm_matrix;

// By value of g: for parameters that products, and nothing else, read as one and the same matrix; NULL for
// all others, and for what is indexed by tokens or gives their scores (embeddings, heads).
const xlm_matrix *const *xlm_find_matrices(const xlm_graph *g, xlm_arena *a);

// The update of one parameter under construction.
typedef struct xlm_step {
  xlm_build *b;
  const xlm_optimizer *optimizer;
  const xlm_train_options *options;
  xlm_val param, grad;      // as the step begins; grad: not scaled
  xlm_val scale, lr, step;  // lr: of this parameter
  xlm_val sound;            // 1 when the gradients are finite, else 0
  double decay;             // weight decay of this parameter
  const xlm_matrix *matrix; // NULL: it is none
} xlm_step;

double xlm_step_setting(const xlm_step *s, const char *name);
// A state of the optimizer, f32 and zero at first, of these dims of the parameter: "WHAT/PARAMETER".
xlm_val xlm_step_state(xlm_step *s, const char *what, const xlm_dim *dims, int n);
xlm_val xlm_step_state_like(xlm_step *s, const char *what); // of all its dims
xlm_val xlm_step_gradient(xlm_step *s);                     // scaled
// `now` becomes the value of the state (or parameter) when the step is over; it stays when the gradients are
// not finite.
void xlm_step_store(xlm_step *s, xlm_val state, xlm_val now);
// parameter - lr (direction + decay parameter).
void xlm_step_descend(xlm_step *s, xlm_val direction);

#endif
