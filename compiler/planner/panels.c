// Parameters in panels: where every reader of a parameter may have it in panels, and some read it fastest so,
// it is stored so, and its readers' kernels are chosen again. For plans that never change their parameters.
#include "compiler/planner/lower_priv.h"

typedef struct choice { // of a tensor
  bool may;             // it is a parameter, and no reader needs it dense
  xlm_panels panels;    // of the reader that reads it fastest in them
} choice;

static xlm_panel_use use(const xlm_lowering *l, const xlm_instr *in, int operand, xlm_panels *p) {
  const xlm_lower_options *o = &l->options;
  return o->backend->panels(in, operand, l->tensors, l->dims, o->mesh, &o->target, p);
}

static void find_parameters(const xlm_lowering *l, choice *of) {
  for (uint32_t s = 0; s < l->n_states; s++)
    of[l->states[s].tensor].may = l->states[s].role == XLM_ROLE_PARAMETER;
  for (uint32_t t = 1; t < l->n_tensors; t++) // views, and what is computed in a parameter's place
    if (xlm_lower_root(l, t) != t) of[xlm_lower_root(l, t)].may = false;
  for (uint32_t i = 0; i < l->n_outputs; i++) of[l->outputs[i].tensor].may = false;
}

// once: the panels are known, and each reader is asked for these.
static void ask_readers(const xlm_lowering *l, choice *of, bool once) {
  for (uint32_t i = 0; i < l->n_instrs; i++)
    for (int k = 0; k < l->instrs[i].n_in; k++) {
      choice *c = &of[l->instrs[i].in[k]];
      if (!c->may || (once && !c->panels.width)) continue;
      xlm_panels p = once ? c->panels : (xlm_panels){0};
      xlm_panel_use u = use(l, &l->instrs[i], k, &p);
      c->may = u != XLM_PANELS_NEVER;
      if (u == XLM_PANELS_FASTEST) c->panels = p;
    }
}

static bool is_chosen(const choice *c) {
  return c->may && c->panels.width;
}

static xlm_status choose_again(const xlm_lowering *l, const choice *of, xlm_error *err) {
  for (uint32_t i = 0; i < l->n_instrs; i++) {
    bool reads = false;
    for (int k = 0; k < l->instrs[i].n_in; k++) reads |= is_chosen(&of[l->instrs[i].in[k]]);
    if (reads) XLM_TRY(xlm_lower_choose(l, &l->instrs[i], l->sums[i], err));
  }
  return XLM_OK;
}

xlm_status xlm_lower_panels(xlm_lowering *l, xlm_error *err) {
  if (!l->options.backend->panels) return XLM_OK;
  choice *of = XLM_NEW_N(l->scratch, choice, l->n_tensors);
  find_parameters(l, of);
  ask_readers(l, of, false);
  ask_readers(l, of, true);
  for (uint32_t t = 1; t < l->n_tensors; t++)
    if (is_chosen(&of[t])) l->tensors[t].type.panels = of[t].panels;
  return choose_again(l, of, err);
}
