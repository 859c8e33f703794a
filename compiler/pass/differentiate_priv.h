// The train graph under construction: differentiate.c makes gradients, carry.c carries values over the
// microbatches, train_step.c ends the step.
#ifndef XLM_PASS_DIFFERENTIATE_PRIV_H
#define XLM_PASS_DIFFERENTIATE_PRIV_H

#include "compiler/pass/global_batch.h"
#include "compiler/pass/pass_priv.h"

typedef struct xlm_trained { // a parameter that a gradient reaches
  xlm_val param, grad;       // grad: its type is the parameter's; over all microbatches
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
  bool *active;       // a gradient may flow through it to a parameter
  bool *sampled;      // depends on an input: its gradient is an activation's, not a weight's
  uint32_t *pending;  // operands of forward nodes that are this value and not swept yet
  xlm_val *grad;      // the sum of the gradients so far
  bool *done;         // by node: swept
  xlm_trained *trained;
  uint32_t n_trained, cap_trained;
  // Language updates (`update state = expr`) and metrics, see carry.c:
  const xlm_batch_kind *kind; // forward value -> what it says of the step
  xlm_val *carried;           // forward value -> its sum over the microbatches; 0 = none
  bool *again;                // by node: evaluated again in the STEP phase, from carried values
  bool *counted;              // by metric of the model: evaluated in the STEP phase too
} xlm_differentiation;

// Is it a value of the step as a whole, computed before the first microbatch?
static inline bool xlm_diff_is_early(const xlm_graph *g, xlm_val v) {
  return xlm_val_node(g, v)->phase == XLM_PHASE_PROLOGUE;
}
xlm_val xlm_diff_scalar_input(xlm_differentiation *d, const char *name); // one f32 number of the step
// A `state` of `like`'s dims, kept in f32 (f64 in the reference), zero at first.
xlm_val xlm_diff_state(xlm_differentiation *d, const char *name, const char *role, xlm_val like);
// The sum of v (times factor) over the microbatches of a step, readable in the STEP phase. With one
// microbatch: v itself unless it is a state's own memory, which may change before it is read.
xlm_val xlm_diff_carry(xlm_differentiation *d, const char *name, xlm_val v, double factor);
void xlm_diff_name(xlm_differentiation *d, xlm_val v, const char *prefix,
                   const char *name);                      // unless it has one
xlm_val xlm_diff_widen(xlm_differentiation *d, xlm_val v); // bf16 and i32 -> f32

void xlm_diff_carry_rest(xlm_differentiation *d); // at the end of the forward nodes: for metrics and updates
void xlm_diff_updates(xlm_differentiation *d);    // STEP phase; also the metrics of counts
void xlm_diff_optimize(xlm_differentiation *d);   // STEP phase; the output "grad_norm"

#endif
