// Parameter groups of the model text: group "layers.*.attention.*" { lr = 0.5  weight_decay = 0 }. Only the
// syntax is handled here; patterns and optimizer names are checked on the whole model
// (compiler/optimizer/groups.c).
#include <math.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

static bool read_factor(xlm_el *e, const xlm_setting *s, double *out) {
  xlm_number n;
  if (!xlm_el_number(e, &e->global, s->value, "a setting of a group", &n)) return false;
  *out = n.v;
  return true;
}

static void read_lr(xlm_el *e, const xlm_setting *s, xlm_param_group *g) {
  read_factor(e, s, &g->lr);
}

static void read_decay(xlm_el *e, const xlm_setting *s, xlm_param_group *g) {
  read_factor(e, s, &g->weight_decay);
}

static void read_rank(xlm_el *e, const xlm_setting *s, xlm_param_group *g) {
  int64_t rank;
  if (!xlm_el_integer(e, &e->global, s->value, "a number of dimensions", &rank)) return;
  if (rank >= 0 && rank <= XLM_MAX_RANK)
    g->rank = (int)rank;
  else
    xlm_diag_push(e->diags, XLM_E_GROUP_VALUE, s->value->span, "a tensor has 0 to %d dimensions",
                  XLM_MAX_RANK);
}

static void read_optimizer(xlm_el *e, const xlm_setting *s, xlm_param_group *g) {
  if (s->value->kind == XLM_EXPR_NAME)
    g->optimizer = s->value->name.text;
  else if (s->value->kind == XLM_EXPR_STRING)
    g->optimizer = s->value->string.text;
  else
    xlm_diag_push(e->diags, XLM_E_GROUP_VALUE, s->value->span, "this is not the name of an optimizer");
}

static void read_frozen(xlm_el *e, const xlm_setting *s, xlm_param_group *g) {
  xlm_number n;
  if (xlm_el_condition(e, &e->global, s->value, &n)) g->frozen = n.v != 0 ? XLM_FROZEN_YES : XLM_FROZEN_NO;
}

static const struct {
  const char *key;
  void (*read)(xlm_el *, const xlm_setting *, xlm_param_group *);
} keys[] = {
    {"lr", read_lr}, {"weight_decay", read_decay}, {"rank", read_rank}, {"optimizer", read_optimizer}, {"frozen", read_frozen}};
enum { KEYS = sizeof keys / sizeof *keys };

const char *xlm_group_key(int i) {
  return i < KEYS ? keys[i].key : NULL;
}

static void unknown_key(xlm_el *e, const xlm_setting *s) {
  const char *names[KEYS];
  for (int i = 0; i < KEYS; i++) names[i] = keys[i].key;
  const char *near = xlm_text_nearest(s->name->text, names, KEYS);
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_GROUP_KEY, s->name->span, "a group has no key `%s`", s->name->text);
  if (near)
    xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  else
    xlm_diag_help(e->diags, g, "its keys are lr, weight_decay, rank, optimizer and frozen");
}

static void read_group(xlm_el *e, const xlm_stmt *s) {
  xlm_param_group g = {
      .match = s->name->text, .rank = -1, .lr = NAN, .weight_decay = NAN, .span = s->name->span};
  const xlm_setting *first[KEYS] = {0};
  for (const xlm_setting *p = s->preset.settings; p; p = p->next) {
    int i = 0;
    while (i < KEYS && strcmp(keys[i].key, p->name->text)) i++;
    if (i == KEYS) {
      unknown_key(e, p);
    } else if (first[i]) {
      xlm_diag *d =
          xlm_diag_push(e->diags, XLM_E_GROUP_KEY, p->name->span, "this group sets `%s` twice", keys[i].key);
      xlm_diag_label(e->diags, d, first[i]->name->span, "first here");
    } else {
      first[i] = p;
      keys[i].read(e, p, &g);
    }
  }
  XLM_PUSH(e->arena, e->g->groups, e->g->n_groups, e->g->cap_groups, g);
}

void xlm_el_groups(xlm_el *e) {
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next)
    if (s->kind == XLM_STMT_GROUP) read_group(e, s);
}
