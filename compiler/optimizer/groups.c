// Parameter groups: the optimizer, learning rate and weight decay of each parameter.
//
// A group matches parameters by their path (`*` stands for any characters, `[qv]` for one of some) and by
// their number of dimensions. In each list the first matching group applies; what it does not set is taken
// from the next list: run file, model text, the run's own settings.
#include <math.h>
#include <string.h>

#include "compiler/optimizer/step_priv.h"

static const char *path_of(const xlm_graph *g, xlm_val param) {
  return xlm_attr_text(&xlm_val_node(g, param)->attrs, XLM_A_name, "");
}

// The end of a set of characters, as `[qv]`; NULL: there is none.
static const char *set_end(const char *pattern) {
  return *pattern == '[' ? strchr(pattern, ']') : NULL;
}

static bool matches_one(const char **pattern, char c) {
  const char *end = set_end(*pattern), *p = *pattern + 1;
  if (!end) return *(*pattern)++ == c;
  while (p < end && *p != c) p++;
  *pattern = end + 1;
  return p < end;
}

// One backtracking point suffices: a later star replaces an earlier one.
static bool matches_text(const char *pattern, const char *text) {
  const char *star = NULL, *from = text;
  while (*text) {
    const char *next = pattern;
    if (*pattern == '*')
      star = pattern++, from = text;
    else if (*pattern && matches_one(&next, *text))
      pattern = next, text++;
    else if (star)
      pattern = star + 1, text = ++from;
    else
      return false;
  }
  while (*pattern == '*') pattern++;
  return !*pattern;
}

bool xlm_lora_is_factor(const char *path) {
  size_t n = strlen(path);
  return n > 7 && (!strcmp(path + n - 7, ".lora_a") || !strcmp(path + n - 7, ".lora_b"));
}

const xlm_lora *xlm_lora_of(const xlm_lora *list, int n, const char *path) {
  for (int i = 0; i < n; i++)
    if (matches_text(list[i].match, path)) return &list[i];
  return NULL;
}

static bool matches(const xlm_graph *g, const xlm_param_group *p, xlm_val param) {
  if (p->rank >= 0 && xlm_val_type(g, param)->rank != p->rank) return false;
  return !p->match || matches_text(p->match, path_of(g, param));
}

static const xlm_param_group *first_match(const xlm_graph *g, const xlm_param_group *at, int n,
                                          xlm_val param) {
  for (int i = 0; i < n; i++)
    if (matches(g, &at[i], param)) return &at[i];
  return NULL;
}

static const char *label(xlm_arena *a, const xlm_param_group *p) {
  if (!p) return "default";
  if (p->rank < 0) return p->match ? p->match : "*";
  return p->match ? xlm_arena_printf(a, "%s, rank %d", p->match, p->rank)
                  : xlm_arena_printf(a, "rank %d", p->rank);
}

static xlm_update_choice choose(const xlm_graph *g, const xlm_train_options *o, xlm_arena *a, xlm_val param,
                                bool matrix, bool decays) {
  const xlm_param_group *of[] = {first_match(g, o->groups, o->n_groups, param),
                                 first_match(g, g->groups, (int)g->n_groups, param)};
  xlm_update_choice c = {.lr = 1, .weight_decay = decays ? o->weight_decay : 0};
  const char *name = o->optimizer;
  c.frozen = o->n_lora > 0 && !xlm_lora_is_factor(path_of(g, param));
  for (int i = 1; i >= 0; i--) { // the highest precedence last
    if (!of[i]) continue;
    if (!isnan(of[i]->lr)) c.lr = of[i]->lr;
    if (!isnan(of[i]->weight_decay)) c.weight_decay = of[i]->weight_decay;
    if (of[i]->optimizer) name = of[i]->optimizer;
    if (of[i]->frozen) c.frozen = of[i]->frozen == XLM_FROZEN_YES;
  }
  c.group = label(a, of[0] ? of[0] : of[1]);
  c.optimizer = xlm_optimizer_find(name);
  XLM_ASSERT(c.optimizer, "no optimizer `%s`", name);
  while (c.optimizer->otherwise && !matrix) c.optimizer = xlm_optimizer_find(c.optimizer->otherwise);
  return c;
}

const xlm_update_choice *xlm_optimizer_choose(const xlm_graph *g, const xlm_train_options *o, xlm_arena *a) {
  xlm_update_choice *c = XLM_NEW_N(a, xlm_update_choice, g->n_values);
  const xlm_matrix *const *matrices = xlm_find_matrices(g, a);
  const bool *decaying = xlm_find_decaying(g, a);
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    xlm_val v = g->nodes[n].out;
    if (xlm_node_is(&g->nodes[n], XLM_LEAF_PARAMETER))
      c[v] = choose(g, o, a, v, matrices[v] != NULL, decaying[v]);
  }
  return c;
}

// ---- errors ----

// Where a group or setting was written: in the model text by span, in a run file as part of the message.
static const char *place(xlm_arena *a, const xlm_param_group *p) {
  return p && p->where ? xlm_arena_printf(a, "%s: ", p->where) : "";
}

static xlm_diag *push(xlm_diags *d, xlm_diag_id id, const xlm_param_group *p, const char *text) {
  return xlm_diag_push(d, id, p ? p->span : (xlm_span){0, 0}, "%s%s", place(d->arena, p), text);
}

static bool check_name(const char *name, const xlm_param_group *p, xlm_diags *d) {
  const char *names[32];
  size_t n = 0;
  xlm_text all = xlm_text_new(d->arena);
  if (name && xlm_optimizer_find(name)) return true;
  for (; xlm_optimizers[n] && n < 32; n++) {
    names[n] = xlm_optimizers[n]->name;
    xlm_text_printf(&all, "%s%s", n ? ", " : "", names[n]);
  }
  const char *near = name ? xlm_text_nearest(name, names, n) : NULL;
  xlm_diag *g = push(d, XLM_E_OPTIMIZER, p,
                     xlm_arena_printf(d->arena, "there is no optimizer `%.100s`", name ? name : ""));
  if (near) xlm_diag_help(d, g, "did you mean `%s`?", near);
  xlm_diag_note(d, g, "the optimizers are %s", all.data);
  return false;
}

static bool check_number(double x, const char *what, double high, const xlm_param_group *p, xlm_diags *d) {
  if (isnan(x) || (x >= 0 && x <= high)) return true;
  push(d, XLM_E_GROUP_VALUE, p,
       xlm_arena_printf(d->arena, "%s is %g; it must lie between 0 and %g", what, x, high));
  return false;
}

// "layers.3.attention.wq" -> "layers.*.attention.wq": one name for the parameter of all rounds.
static const char *general(xlm_arena *a, const char *path) {
  char *out = xlm_arena_strdup(a, path), *to = out;
  for (const char *p = path; *p;) {
    size_t digits = strspn(p, "0123456789");
    bool whole = digits && (p == path || p[-1] == '.') && (p[digits] == '.' || !p[digits]);
    if (whole)
      *to++ = '*', p += digits;
    else
      *to++ = *p++;
  }
  *to = 0;
  return out;
}

static const char **general_paths(const xlm_graph *g, xlm_arena *a, size_t *n) {
  const char **at = NULL;
  size_t count = 0, cap = 0;
  for (xlm_node id = 1; id < g->n_nodes && count < 1000; id++) {
    if (!xlm_node_is(&g->nodes[id], XLM_LEAF_PARAMETER)) continue;
    const char *path = general(a, path_of(g, g->nodes[id].out));
    bool known = false;
    for (size_t i = 0; i < count && !known; i++) known = !strcmp(at[i], path);
    if (!known) XLM_PUSH(a, at, count, cap, path);
  }
  *n = count;
  return at;
}

static bool matches_any(const xlm_graph *g, const xlm_param_group *p) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (xlm_node_is(&g->nodes[n], XLM_LEAF_PARAMETER) && matches(g, p, g->nodes[n].out)) return true;
  return false;
}

static bool check_match(const xlm_graph *g, const xlm_param_group *p, xlm_diags *d) {
  enum { SHOWN = 8 };
  size_t n;
  if (matches_any(g, p)) return true;
  const char **paths = general_paths(g, d->arena, &n);
  const char *near = p->match ? xlm_text_nearest(p->match, paths, n) : NULL;
  xlm_diag *x =
      push(d, XLM_E_GROUP_MATCH, p,
           xlm_arena_printf(d->arena, "the group `%.100s` matches no parameter", label(d->arena, p)));
  xlm_text all = xlm_text_new(d->arena);
  for (size_t i = 0; i < n && i < SHOWN; i++) xlm_text_printf(&all, "%s%s", i ? ", " : "", paths[i]);
  if (near) xlm_diag_help(d, x, "did you mean `%s`?", near);
  if (n) xlm_diag_note(d, x, "the parameters are %s%s", all.data, n > SHOWN ? ", .." : "");
  return false;
}

// A group that matches parameters applies to at least one of them.
static bool check_reached(const xlm_graph *g, const xlm_param_group *at, int n, int i, xlm_diags *d) {
  xlm_val taken = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    xlm_val v = g->nodes[id].out;
    if (!xlm_node_is(&g->nodes[id], XLM_LEAF_PARAMETER) || !matches(g, &at[i], v)) continue;
    if (first_match(g, at, n, v) == &at[i]) return true;
    if (!taken) taken = v;
  }
  if (!taken) return true; // an error of its own
  const xlm_param_group *first = first_match(g, at, n, taken);
  xlm_diag *x =
      push(d, XLM_E_GROUP_MATCH, &at[i],
           xlm_arena_printf(d->arena,
                            "the group `%.100s` never applies: groups before it match all of its parameters",
                            label(d->arena, &at[i])));
  if (first->span.begin < first->span.end)
    xlm_diag_label(d, x, first->span, "matches `%.100s` first", path_of(g, taken));
  else
    xlm_diag_note(d, x, "%sthe group `%.100s` matches `%.100s` first", place(d->arena, first),
                  label(d->arena, first), path_of(g, taken));
  xlm_diag_help(d, x, "the first group that matches a parameter applies; put the narrower pattern first");
  return false;
}

static bool check_group(const xlm_graph *g, const xlm_param_group *p, xlm_diags *d) {
  bool ok = !p->optimizer || check_name(p->optimizer, p, d);
  ok &= check_number(p->lr, "the factor on the learning rate", 1e6, p, d);
  ok &= check_number(p->weight_decay, "the weight decay", 1e6, p, d);
  return check_match(g, p, d) && ok;
}

static bool check_groups(const xlm_graph *g, const xlm_param_group *at, int n, xlm_diags *d) {
  bool ok = true;
  for (int i = 0; i < n; i++) ok &= check_group(g, &at[i], d) && check_reached(g, at, n, i, d);
  return ok;
}

static bool check_value(const xlm_optimizer_value *v, xlm_diags *d) {
  const xlm_optimizer_setting *k = xlm_optimizer_setting_find(v->name);
  if (!k) {
    push(d, XLM_E_OPTIMIZER, NULL, xlm_arena_printf(d->arena, "no optimizer has a setting `%s`", v->name));
    return false;
  }
  if (v->value >= k->low && v->value <= k->high) return true;
  push(d, XLM_E_OPTIMIZER, NULL,
       xlm_arena_printf(d->arena, "%s is %g; it must lie between %g and %g", v->name, v->value, k->low,
                        k->high));
  return false;
}

// The global norm reads all gradients at once, and a node has at most 65,535 operands.
static bool check_count(const xlm_graph *g, xlm_diags *d) {
  uint32_t n = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++) n += xlm_node_is(&g->nodes[id], XLM_LEAF_PARAMETER);
  if (n <= UINT16_MAX) return true;
  xlm_diag *x = xlm_diag_push(d, XLM_E_TOO_MUCH, (xlm_span){0, 0}, "the model has %u parameter tensors", n);
  xlm_diag_help(d, x,
                "a training step takes at most %d; give parameters of many rounds a dimension of their own, "
                "or `repeat .. shared`",
                UINT16_MAX);
  return false;
}

static bool check_skip_spikes(double factor, xlm_diags *d) {
  if (factor == 0 || factor > 1) return true;
  xlm_diag *x = push(d, XLM_E_OPTIMIZER, NULL,
                     xlm_arena_printf(d->arena, "skip_spikes is %g; it must be above 1", factor));
  xlm_diag_help(d, x, "with 4, steps are left out whose norm is above 4 times the running mean; 0: none");
  return false;
}

static bool check_trained(const xlm_graph *g, const xlm_train_options *o, xlm_diags *d) {
  const xlm_update_choice *of = xlm_optimizer_choose(g, o, d->arena);
  bool any = false, trained = false;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    if (!xlm_node_is(&g->nodes[id], XLM_LEAF_PARAMETER)) continue;
    any = true, trained |= !of[g->nodes[id].out].frozen;
  }
  if (trained || !any) return true;
  xlm_diag *x = push(d, XLM_E_GROUP_VALUE, NULL, "all parameters are frozen: there is nothing to train");
  xlm_diag_help(d, x, "a group with `frozen = false` before the one that freezes all names what is trained");
  return false;
}

bool xlm_optimizer_check(const xlm_graph *g, const xlm_train_options *o, xlm_diags *d) {
  bool ok = check_name(o->optimizer, NULL, d) && check_count(g, d);
  for (int i = 0; i < o->n_values; i++) ok &= check_value(&o->values[i], d);
  ok &= check_skip_spikes(o->skip_spikes, d);
  ok &= check_groups(g, o->groups, o->n_groups, d);
  ok &= check_groups(g, g->groups, (int)g->n_groups, d);
  return ok && check_trained(g, o, d);
}

// ---- the table ----

static bool alike(const xlm_update_choice *a, const xlm_update_choice *b) {
  if (a->frozen || b->frozen) return a->frozen && b->frozen && !strcmp(a->group, b->group);
  return a->optimizer == b->optimizer && a->lr == b->lr && a->weight_decay == b->weight_decay &&
         !strcmp(a->group, b->group);
}

const xlm_update_row *xlm_optimizer_table(const xlm_graph *g, const xlm_train_options *o, xlm_arena *a,
                                          int *n) {
  const xlm_update_choice *of = xlm_optimizer_choose(g, o, a);
  xlm_update_row *rows = NULL;
  int count = 0, cap = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *node = &g->nodes[id];
    int i = 0;
    if (!xlm_node_is(node, XLM_LEAF_PARAMETER)) continue;
    while (i < count && !alike(&rows[i].choice, &of[node->out])) i++;
    if (i == count) XLM_PUSH(a, rows, count, cap, ((xlm_update_row){.choice = of[node->out]}));
    XLM_PUSH(a, rows[i].names, rows[i].parameters, rows[i].cap, xlm_attr_text(&node->attrs, XLM_A_name, ""));
    rows[i].elements += (double)xlm_type_elements(xlm_val_type(g, node->out), g->dims);
  }
  *n = count;
  return rows;
}
