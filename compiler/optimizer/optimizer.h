// Optimizers. The update of a parameter consists of ordinary nodes of the train graph (phase STEP).
//
// An optimizer is a name, its settings, and a function that emits the update of one parameter. Each has a
// file and a line in optimizers.def. How a parameter is updated follows from the run's choice and from
// parameter groups (groups.c); groups of the run file take precedence over those of the model text.
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
  xlm_optimizer_setting settings[XLM_OPTIMIZER_SETTINGS]; // ends at the first entry without a name
  // For an optimizer of matrices only: the one for all other parameters. NULL: it updates all.
  const char *otherwise;
  // Emits nodes and states that update s->param, ending with xlm_step_store (step_priv.h).
  void (*build)(struct xlm_step *s);
  const char *doc; // formulas and source; markdown
} xlm_optimizer;

extern const xlm_optimizer *const xlm_optimizers[];        // in the order of optimizers.def, ends with NULL
const xlm_optimizer *xlm_optimizer_find(const char *name); // NULL: unknown

// The setting of this name, of any optimizer; NULL: unknown.
const xlm_optimizer_setting *xlm_optimizer_setting_find(const char *name);

typedef struct xlm_optimizer_value { // of a setting
  const char *name;
  double value;
} xlm_optimizer_value;

// Adapters of low rank (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021): a product x @
// w of a matching parameter becomes x @ w + alpha / rank * ((x @ a) @ b); see compiler/pass/lora.c. All
// parameters but a and b are frozen, unless a group says otherwise.
typedef struct xlm_lora {
  const char *match; // pattern over paths
  int64_t rank;
  double alpha;
  const char *where; // "--lora"
} xlm_lora;
bool xlm_lora_is_factor(const char *path); // "layers.0.attention.wq.lora_a"
const xlm_lora *xlm_lora_of(const xlm_lora *list, int n,
                            const char *path); // the first that matches; NULL: none

typedef struct xlm_train_options {
  const char *optimizer;             // its name
  const xlm_optimizer_value *values; // settings not listed have their initial values
  int n_values;
  double weight_decay; // for the parameters that decay (docs/optimizers.md), unless a group says otherwise
  double grad_clip;    // maximum global norm of the gradient; 0 = no clipping
  double skip_spikes;  // steps with a norm above this times the running mean are left out; 0 = none
  const xlm_param_group *groups; // of the run file; they take precedence over those of the model text
  int n_groups;
  const xlm_lora *lora;
  int n_lora;
  int64_t microbatches;
} xlm_train_options;

// How one parameter is updated.
typedef struct xlm_update_choice {
  const xlm_optimizer *optimizer;
  double lr, weight_decay; // lr: factor on the learning rate
  bool frozen;             // no gradient, no update, no states
  const char *group;       // the group's pattern: "embed", "rank 2"; "default" without a group
} xlm_update_choice;

// False when the options or groups have errors: an unknown optimizer, setting or parameter, or values out of
// range. Each is a diagnostic at the place where it was written. `g`: a model graph.
bool xlm_optimizer_check(const xlm_graph *g, const xlm_train_options *o, xlm_diags *d);
// The choice for every parameter, indexed by value of g; zero for other values. needs: checked options and
// groups.
const xlm_update_choice *xlm_optimizer_choose(const xlm_graph *g, const xlm_train_options *o, xlm_arena *a);

// Values that all updates of a graph read: f32 scalars.
typedef struct xlm_step_inputs {
  xlm_val scale;    // factor on gradients (clipping); NaN when the gradients are not finite: parameters and
                    // states then stay unchanged
  xlm_val lr, step; // learning rate; number of this step, from 1
} xlm_step_inputs;

typedef struct xlm_steps xlm_steps;
// Begins the updates of the graph under construction in b, which already has its forward nodes.
xlm_steps *xlm_steps_begin(xlm_build *b, xlm_arena *a, const xlm_train_options *o, xlm_step_inputs in);
// Emits the update of one parameter in b's context. grad has the parameter's type.
void xlm_steps_update(xlm_steps *s, xlm_val param, xlm_val grad);
// The parameter's value after its update so far; the parameter itself if it has none.
xlm_val xlm_steps_updated(const xlm_steps *s, xlm_val param);
// Sets the parameter's value after the step to `now`, computed from xlm_steps_updated; it stays unchanged if
// the gradients are not finite.
void xlm_steps_project(xlm_steps *s, xlm_val param, xlm_val now);

// A row of the table in reports: parameters that are updated alike.
typedef struct xlm_update_row {
  xlm_update_choice choice;
  int64_t parameters; // number of tensors
  double elements;
  const char **names; // of the parameters
  int64_t cap;
} xlm_update_row;
// The rows for all parameters of a model graph, in the order of their first parameters; *n: their number.
const xlm_update_row *xlm_optimizer_table(const xlm_graph *g, const xlm_train_options *o, xlm_arena *a,
                                          int *n);

#endif
