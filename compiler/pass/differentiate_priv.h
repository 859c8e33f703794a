// The train graph under construction: differentiate.c emits gradients, carry.c sums values over the
// microbatches, train_step.c and spikes.c emit the STEP phase.
#ifndef XLM_PASS_DIFFERENTIATE_PRIV_H
#define XLM_PASS_DIFFERENTIATE_PRIV_H

#include "compiler/pass/global_batch.h"
#include "compiler/pass/pass_priv.h"

typedef struct xlm_trained { // a parameter with a gradient
  xlm_val param, grad;       // grad: over all microbatches, of the parameter's type
} xlm_trained;

typedef struct xlm_differentiation {
  const xlm_graph *g; // the model
  xlm_graph *out;
  xlm_arena *a; // scratch
  const xlm_train_options *o;
  xlm_build b;
  xlm_val *map; // the model's values -> out's
  // Of out's forward values (all below n_forward_values):
  xlm_val n_forward_values;
  xlm_node n_forward; // nodes below are the model's
  const xlm_update_choice *updates; // of parameters
  bool *active;       // a gradient may flow through it to a parameter
  bool *sampled;      // depends on an input: its gradient is one of an activation, not of a weight
  uint32_t *pending;  // uses of the value by forward nodes that are not swept yet
  xlm_val *grad;      // the sum of the gradients so far
  bool *done;         // by node: swept
  xlm_trained *trained;
  uint32_t n_trained, cap_trained;
  // Language updates (`update state = expr`) and metrics, see carry.c:
  const xlm_batch_kind *kind; // by forward value: how it relates to the whole step
  xlm_val *carried;           // by forward value: its sum over the microbatches; 0 = none
  bool *again;                // by node: evaluated again in the STEP phase, on carried values
  bool *counted;              // by metric of the model: evaluated in the STEP phase too
} xlm_differentiation;

// Is it a value of the whole step, computed before the first microbatch?
static inline bool xlm_diff_is_early(const xlm_graph *g, xlm_val v) {
  return xlm_val_node(g, v)->phase == XLM_PHASE_PROLOGUE;
}
xlm_val xlm_diff_scalar_input(xlm_differentiation *d, xlm_input_role role); // an f32 number per step
// Is it an update of a parameter, a function of its value after the optimizer's step?
static inline bool xlm_diff_is_projection(const xlm_graph *g, const xlm_update *u) {
  return xlm_node_is(xlm_val_node(g, u->state), XLM_LEAF_PARAMETER);
}
// The sum of v (times factor) over the microbatches of a step, readable in the STEP phase. With one
// microbatch this is v itself, unless v is the memory of a state, which may change before it is read.
xlm_val xlm_diff_carry(xlm_differentiation *d, const char *name, xlm_val v, double factor);
void xlm_diff_name(xlm_differentiation *d, xlm_val v, const char *prefix,
                   const char *name);                      // unless it has a name
xlm_val xlm_diff_widen(xlm_differentiation *d, xlm_val v); // bf16 and i32 -> f32

void xlm_diff_carry_rest(xlm_differentiation *d); // after the forward nodes: for metrics and updates
void xlm_diff_updates(xlm_differentiation *d);    // STEP phase; also the metrics that are functions of counts
void xlm_diff_optimize(xlm_differentiation *d);   // STEP phase; the output "grad_norm"
// The factor on the gradients, or NaN when the step is to be left out, and the output "skipped", 1 then; norm: of
// the gradients; step: from 1.
xlm_val xlm_diff_skip_spikes(xlm_differentiation *d, xlm_val scale, xlm_val norm, xlm_val step);

#endif
