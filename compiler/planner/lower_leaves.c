// The leaves of a graph: states, which programs share by name, and inputs, of which every program (and every
// chunk of a pipeline stage) has a tensor of its own.
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/planner/lower_priv.h"

// Several microbatches are in flight, so activations and data have slots.
static bool in_slots(const xlm_lower_context *w) {
  return w->program == XLM_PROGRAM_TRAIN && w->l.options.schedule;
}

static const struct {
  xlm_category category;
  bool saved; // is part of a checkpoint
} by_role[XLM_ROLES] = {
    [XLM_ROLE_STATE] = {XLM_CATEGORY_STATE, true},
    [XLM_ROLE_PARAMETER] = {XLM_CATEGORY_PARAMETER, true},
    [XLM_ROLE_GRADIENT] = {XLM_CATEGORY_GRADIENT, false},
    [XLM_ROLE_OPTIMIZER] = {XLM_CATEGORY_OPTIMIZER, true},
    [XLM_ROLE_COUNT] = {XLM_CATEGORY_IO, false},
    [XLM_ROLE_CAST] = {XLM_CATEGORY_PARAMETER, false},
    [XLM_ROLE_CACHE] = {XLM_CATEGORY_CACHE, false},
};

void xlm_lower_state(xlm_lower_context *w, const xlm_node_info *n) {
  xlm_lowering *l = &w->l;
  const char *name = xlm_attr_text(&n->attrs, XLM_A_name, "");
  const xlm_attr *init = xlm_attr_find(&n->attrs, XLM_A_init);
  xlm_role role = xlm_state_role(n);
  uintptr_t known = (uintptr_t)xlm_dict_get(&l->state_of, name);
  if (known) {
    w->tensor[n->out] = l->states[known - 1].tensor;
    return;
  }
  xlm_tensor t = {.name = name,
                  .type = xlm_lower_type(w, xlm_val_type(w->g, n->out)),
                  .category = by_role[role].category,
                  .area = XLM_AREA_STATE,
                  .line = xlm_lower_line(w, n->span)};
  w->tensor[n->out] = xlm_lower_tensor(w, t, (xlm_lifetime){0});
  xlm_plan_state s = {.name = name,
                      .role = role,
                      .init = init ? init->init : (xlm_init){XLM_INIT_ZEROS},
                      .tensor = w->tensor[n->out],
                      .saved = by_role[role].saved};
  XLM_PUSH(l->arena, l->states, l->n_states, l->cap_states, s);
  xlm_dict_put(l->scratch, &l->state_of, name, (void *)(uintptr_t)l->n_states);
}

static xlm_input_role input_role(const xlm_node_info *n) {
  return (xlm_input_role)xlm_attr_enum(&n->attrs, XLM_A_feed, XLM_INPUT_TOKENS);
}

static void lower_input(xlm_lower_context *w, const xlm_node_info *n) {
  xlm_lowering *l = &w->l;
  const char *name = xlm_attr_text(&n->attrs, XLM_A_name, "");
  xlm_input_role role = input_role(n);
  bool data = xlm_input_is_data(role), whole_step = data && n->phase == XLM_PHASE_PROLOGUE;
  xlm_tensor t = {.name = name,
                  .type = xlm_lower_type(w, xlm_val_type(w->g, n->out)),
                  .category = XLM_CATEGORY_IO,
                  .area = XLM_AREA_IO,
                  .line = xlm_lower_line(w, n->span)};
  // Data belongs to a microbatch: with several in flight it is in its slot, from the start of its chunk's
  // forward.
  xlm_lifetime life = {0};
  if (in_slots(w) && data && !whole_step) life = (xlm_lifetime){w->chunk_begin, w->chunk_begin, 0, true};
  uint32_t id = w->tensor[n->out] = xlm_lower_tensor(w, t, life);
  for (uint32_t i = 0; w->program != XLM_PROGRAM_TRAIN && i < l->n_inputs; i++)
    if (!strcmp(l->inputs[i].name, name)) { // of an earlier program
      l->inputs[i].tensor[w->program] = id;
      return;
    }
  xlm_dim vocab[XLM_MAX_RANK];
  int64_t bound = xlm_attr_dims(&n->attrs, XLM_A_vocab, vocab) ? w->g->dims[vocab[0]].full : 0;
  xlm_plan_input in = {.name = name,
                       .role = role,
                       .source = data ? xlm_attr_text(&n->attrs, XLM_A_source, "tokens") : "",
                       .shift = xlm_attr_int(&n->attrs, XLM_A_start, 0),
                       .whole_step = whole_step,
                       .vocab = bound,
                       .chunk = life.placed ? w->chunk : -1};
  in.tensor[w->program] = id;
  XLM_PUSH(l->arena, l->inputs, l->n_inputs, l->cap_inputs, in);
}

// Leaves become tensors at their first use: an input belongs to the chunk that reads it.
void xlm_lower_leaves(xlm_lower_context *w, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *leaf = xlm_val_node(w->g, n->in[i]);
    if (w->tensor[n->in[i]] || !(xlm_op_is_leaf(leaf->op))) continue;
    (xlm_node_is(leaf, XLM_LEAF_INPUT) ? lower_input : xlm_lower_state)(w, leaf);
  }
}

// An input that several chunks of a stage read is in the slots of each: the next chunk gets its own tensor.
void xlm_lower_forget_inputs(xlm_lower_context *w) {
  if (!in_slots(w)) return;
  for (xlm_node n = 1; n < w->g->n_nodes; n++) {
    const xlm_node_info *leaf = &w->g->nodes[n];
    if (xlm_node_is(leaf, XLM_LEAF_INPUT) && leaf->phase != XLM_PHASE_PROLOGUE &&
        xlm_input_is_data(input_role(leaf)))
      w->tensor[leaf->out] = 0;
  }
}
