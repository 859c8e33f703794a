// Finds the parameter of a state of the optimizer: the one whose new value is computed from it. The search
// goes backwards through the step's instructions, but not through scalars, which all updates share (learning
// rate, clipping factor).
#include <string.h>

#include "compiler/report/html_priv.h"

enum { NONE = UINT32_MAX };

typedef struct finder {
  const xlm_rank_plan *r;
  uint32_t *maker;    // by tensor: the instruction of the step that computes it; NONE
  uint32_t *state_of; // by tensor: the state stored in its memory; NONE
  uint32_t *seen;     // by instruction: for which parameter, + 1
  int64_t *owner;     // by state
} finder;

static uint32_t memory_of(const xlm_rank_plan *r, uint32_t tensor) {
  while (r->tensors[tensor].view_of) tensor = r->tensors[tensor].view_of;
  return tensor;
}

static void follow(finder *f, uint32_t instr, uint32_t parameter) {
  const xlm_instr *in = &f->r->instrs[instr];
  if (f->seen[instr] == parameter + 1) return;
  f->seen[instr] = parameter + 1;
  for (int i = 0; i < in->n_in; i++) {
    uint32_t state = f->state_of[memory_of(f->r, in->in[i])];
    if (state != NONE && f->r->states[state].role == XLM_ROLE_OPTIMIZER) f->owner[state] = parameter;
    if (f->r->tensors[in->in[i]].type.rank && f->maker[in->in[i]] != NONE)
      follow(f, f->maker[in->in[i]], parameter);
  }
}

// The step's instructions and the tensors that they compute.
static void find_makers(finder *f) {
  for (uint32_t s = 0; s < f->r->n_segments; s++) {
    const xlm_segment *g = &f->r->segments[s];
    for (uint32_t i = g->first; g->kind == XLM_SEG_STEP && i < g->first + g->n; i++)
      for (int k = 0; k < f->r->instrs[i].n_out; k++) f->maker[f->r->instrs[i].out[k]] = i;
  }
}

const int64_t *xlm_html_owners(const xlm_rank_plan *r, xlm_arena *a) {
  finder f = {r, XLM_NEW_N(a, uint32_t, r->n_tensors), XLM_NEW_N(a, uint32_t, r->n_tensors),
              XLM_NEW_N(a, uint32_t, r->n_instrs), XLM_NEW_N(a, int64_t, r->n_states)};
  for (uint32_t t = 0; t < r->n_tensors; t++) f.maker[t] = f.state_of[t] = NONE;
  for (uint32_t i = 0; i < r->n_states; i++) f.owner[i] = -1, f.state_of[r->states[i].tensor] = i;
  find_makers(&f);
  for (uint32_t t = 1; t < r->n_tensors; t++) {
    uint32_t state = f.state_of[memory_of(r, t)];
    if (f.maker[t] != NONE && state != NONE && r->states[state].role == XLM_ROLE_PARAMETER)
      follow(&f, f.maker[t], state);
  }
  return f.owner;
}
