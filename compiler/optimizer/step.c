// The updates of a graph: the inputs of every optimizer, and the helpers it is written with.
#include "compiler/optimizer/step_priv.h"

#include <string.h>

struct xlm_steps {
  xlm_build *b;
  const xlm_train_options *options;
  xlm_step_inputs in;
  xlm_val sound;
  const xlm_matrix *const *matrices; // by value
  const xlm_update_choice *choices;  // by value
};

double xlm_step_setting(const xlm_step *s, const char *name) {
  for (int i = 0; i < s->options->n_values; i++)
    if (!strcmp(s->options->values[i].name, name)) return s->options->values[i].value;
  const xlm_optimizer_setting *k = xlm_optimizer_setting_find(name);
  XLM_ASSERT(k, "%s asks for a setting `%s` that no optimizer has", s->optimizer->name, name);
  return k->initial;
}

xlm_val xlm_step_state(xlm_step *s, const char *what, const xlm_dim *dims, int n) {
  xlm_graph *g = s->b->g;
  const xlm_attrs *as = &xlm_val_node(g, s->param)->attrs;
  const xlm_attr *split = xlm_attr_find(as, XLM_A_split);
  const char *name = xlm_attr_text(as, XLM_A_name, "");
  xlm_type t = {.dtype = xlm_val_type(g, s->param)->dtype, .rank = (uint8_t)n};
  for (int i = 0; i < n; i++) t.dim[i] = dims[i];
  return xlm_build_state(s->b, xlm_arena_printf(g->arena, "%s/%s", what, name), XLM_ROLE_OPTIMIZER, &t, split);
}

xlm_val xlm_step_state_like(xlm_step *s, const char *what) {
  xlm_type t = *xlm_val_type(s->b->g, s->param);
  return xlm_step_state(s, what, t.dim, t.rank);
}

xlm_val xlm_step_gradient(xlm_step *s) {
  return xlm_op2(s->b, XLM_OP_MUL, s->grad, s->scale);
}

void xlm_step_store(xlm_step *s, xlm_val state, xlm_val now) {
  now = xlm_op3(s->b, XLM_OP_WHERE, s->sound, now, state);
  xlm_graph_update(s->b->g, state, xlm_op2(s->b, XLM_OP_ASSIGN, state, now));
}

void xlm_step_descend(xlm_step *s, xlm_val direction) {
  if (s->decay != 0) direction = xlm_op2(s->b, XLM_OP_ADD, direction, xlm_scale(s->b, s->param, s->decay));
  xlm_val change = xlm_op2(s->b, XLM_OP_MUL, direction, s->lr);
  xlm_step_store(s, s->param, xlm_op2(s->b, XLM_OP_SUB, s->param, change));
}

static xlm_update *update_of(const xlm_steps *s, xlm_val param) {
  xlm_graph *g = s->b->g;
  for (uint32_t i = 0; i < g->n_updates; i++)
    if (g->updates[i].state == param) return &g->updates[i];
  return NULL;
}

xlm_val xlm_steps_updated(const xlm_steps *s, xlm_val param) {
  const xlm_update *u = update_of(s, param);
  return u ? u->val : param;
}

void xlm_steps_project(xlm_steps *s, xlm_val param, xlm_val now) {
  xlm_val before = xlm_steps_updated(s, param);
  now = xlm_op3(s->b, XLM_OP_WHERE, s->sound, now, before);
  xlm_val assigned = xlm_op2(s->b, XLM_OP_ASSIGN, before, now);
  xlm_update *u = update_of(s, param);
  if (u)
    u->val = assigned;
  else
    xlm_graph_update(s->b->g, param, assigned);
}

xlm_steps *xlm_steps_begin(xlm_build *b, xlm_arena *a, const xlm_train_options *o, xlm_step_inputs in) {
  xlm_steps *s = XLM_NEW(a, xlm_steps);
  *s = (xlm_steps){.b = b, .options = o, .in = in, .matrices = xlm_find_matrices(b->g, a)};
  s->choices = xlm_optimizer_choose(b->g, o, a);
  s->sound = xlm_op2(b, XLM_OP_EQ, in.scale, in.scale); // NaN does not equal itself
  return s;
}

void xlm_steps_update(xlm_steps *all, xlm_val param, xlm_val grad) {
  xlm_update_choice c = all->choices[param];
  xlm_step s = {.b = all->b,
                .optimizer = c.optimizer,
                .options = all->options,
                .param = param,
                .grad = grad,
                .scale = all->in.scale,
                .lr = xlm_scale(all->b, all->in.lr, c.lr),
                .step = all->in.step,
                .sound = all->sound,
                .decay = c.weight_decay,
                .matrix = all->matrices[param]};
  s.optimizer->build(&s);
}
