// Optimizers: how the parameters of a model are updated, as ordinary nodes of the train graph (phase STEP).
//
// An optimizer is a name, the settings it takes, and a function that emits the update of one parameter: one
// file each, one line each in optimizers.def. Which parameter is updated how follows from the run's choice
// and from parameter groups (groups.c), those of the run file before those of the model text.
#ifndef XLM_OPTIMIZER_OPTIMIZER_H
#define XLM_OPTIMIZER_OPTIMIZER_H

#include "compiler/diagnose/diag.h"
#include "compiler/ir/build.h"
#include "compiler/ir/graph.h"

enum { XLM_OPTIMIZER_SETTINGS = 8 };

typedef struct xlm_optimizer_setting {
  const char *name; // as in run files and, with dashes, on the command line: "adam_beta1"
  double initial, low, high;
  const char *doc;
} xlm_optimizer_setting;

struct xlm_step;

typedef struct xlm_optimizer {
  const char *name;
  xlm_optimizer_setting settings[XLM_OPTIMIZER_SETTINGS]; // up to the first without a name
  // For one that updates matrices only: the optimizer of all other parameters. NULL: it updates all.
  const char *otherwise;
  // Emits the nodes and states that update s->param, ending in the new values of both (step_priv.h).
  void (*build)(struct xlm_step *s);
  const char *doc; // formulas and source; markdown
} xlm_optimizer;

extern const xlm_optimizer *const xlm_optimizers[];        // in the order of optimizers.def, ends with NULL
const xlm_optimizer *xlm_optimizer_find(const char *name); // NULL when there is none

// The setting of this name of any optimizer; NULL when there is none.
const xlm_optimizer_setting *xlm_optimizer_setting_find(const char *name);

typedef struct xlm_optimizer_value { // of a setting
  const char *name;
  double value;
} xlm_optimizer_value;

typedef struct xlm_train_options {
  const char *optimizer;             // its name
  const xlm_optimizer_value *values; // of settings; those not listed have their initial values
  int n_values;
  double weight_decay; // of parameters with >= 2 dims whose initialiser is random, unless a group says other
  double grad_clip;    // largest global norm of the gradient; 0 = none
  const xlm_param_group *groups; // of the run file: what they set precedes the model text's
  int n_groups;
  int64_t microbatches;
} xlm_train_options;

// How one parameter is updated.
typedef struct xlm_update_choice {
  const xlm_optimizer *optimizer;
  double lr, weight_decay; // lr: factor on the learning rate
  const char *group;       // what the group says of its parameters: "embed", "rank 2"; "default" without one
} xlm_update_choice;

// False when something is wrong with the options or groups: an optimizer, setting or parameter that does not
// exist, values out of range. Each becomes a diagnostic with the place it was written at. `g`: a model graph.
bool xlm_optimizer_check(const xlm_graph *g, const xlm_train_options *o, xlm_diags *d);
// By value of g: the choice for every parameter, nothing for other values. needs: options and groups that
// were checked.
const xlm_update_choice *xlm_optimizer_choose(const xlm_graph *g, const xlm_train_options *o, xlm_arena *a);

// The values that all updates of a graph read: f32 scalars.
typedef struct xlm_step_inputs {
  xlm_val scale;    // factor on gradients (clipping); not a number when the gradients are not finite: then
                    // parameters and states stay as they are
  xlm_val lr, step; // learning rate; number of this step, from 1
} xlm_step_inputs;

typedef struct xlm_steps xlm_steps;
// Begins the updates of the graph under construction in b, whose forward nodes stand already.
xlm_steps *xlm_steps_begin(xlm_build *b, xlm_arena *a, const xlm_train_options *o, xlm_step_inputs in);
// Emits the update of one parameter in b's context. grad: its type is the parameter's.
void xlm_steps_update(xlm_steps *s, xlm_val param, xlm_val grad);

// One row of the table that reports show: parameters that are updated alike.
typedef struct xlm_update_row {
  xlm_update_choice choice;
  int64_t parameters; // how many tensors
  double elements;
} xlm_update_row;
// The rows for all parameters of a model graph, in the order of their first parameters; *n of them.
const xlm_update_row *xlm_optimizer_table(const xlm_graph *g, const xlm_train_options *o, xlm_arena *a,
                                          int *n);

#endif
