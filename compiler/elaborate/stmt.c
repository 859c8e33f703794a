// Statements: runs the lists of them, unrolls rounds, collects losses. assign.c and update.c have two kinds.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"
#include "runtime/plan/metric_field.h"

static bool is_top(const xlm_el_frame *f) {
  return f->kind == XLM_FRAME_TOP;
}

// --- declarations inside braces

static bool declare(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  if (is_top(f)) return true; // hoisted
  xlm_el_symbol *sym = xlm_el_declare(e, f, s);
  if (sym) xlm_el_force(e, sym->decl, s->name->span);
  return true;
}

static bool declare_tensor(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  if (!is_top(f)) xlm_el_declare_tensor(e, f, s);
  return true;
}

static bool check(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  xlm_el_check(e, f, s);
  return true;
}

static bool shard(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  if (is_top(f)) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_SHARD_PLACE, s->span, "shard rules hold for the whole model");
  xlm_diag_help(
      e->diags, g,
      "move the rule to the top level; `param w[hidden, ffn over none]` makes an exception for one tensor");
  return true;
}

// --- control

static bool run_return(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  xlm_el_frame *home = xlm_el_home(f);
  if (f->kind != XLM_FRAME_BLOCK) {
    bool in_repeat = home->kind == XLM_FRAME_BLOCK;
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_RETURN, s->span,
                                in_repeat ? "`return` inside a repeat" : "`return` outside a block");
    xlm_diag_help(e->diags, g,
                  in_repeat ? "give the result a name and return it after the repeat"
                            : "`output h` marks a result of the model");
    return true;
  }
  home->result = xlm_el_eval(e, f, s->expr);
  home->returns = s->expr;
  home->returned = true;
  return false;
}

static bool run_if(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  xlm_number c;
  if (!xlm_el_condition(e, f, s->expr, &c)) return true;
  xlm_span other = s->else_body.end    ? s->else_body
                   : s->cond.otherwise ? s->cond.otherwise->span
                                       : (xlm_span){0};
  xlm_el_choose(e, c.v != 0 ? s->body : other, c.v != 0 ? other : s->body);
  return xlm_el_run(e, f, c.v != 0 ? s->cond.then : s->cond.otherwise);
}

static bool count_rounds(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s, int64_t *n) {
  if (!xlm_el_integer(e, f, s->expr, "a number of rounds", n)) return false;
  if (*n >= 0 && *n <= XLM_EL_MAX_ROUNDS) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_ROUNDS, s->expr->span, "%lld rounds", (long long)*n);
  xlm_diag_help(e->diags, g, "a repeat has 0 to %d rounds", XLM_EL_MAX_ROUNDS);
  return false;
}

static bool over_pipeline(xlm_el *e, const xlm_stmt *s) {
  const xlm_ast_name *over = s->repeat.over;
  if (!over) return false;
  if (strcmp(over->text, "pp") != 0) {
    xlm_diag *g =
        xlm_diag_push(e->diags, XLM_E_REPEAT_OVER, over->span, "a repeat cannot go over `%s`", over->text);
    xlm_diag_help(
        e->diags, g,
        "rounds are divided over the pipeline: repeat .. over pp; dimensions are split with `shard`");
    return false;
  }
  if (!e->over_depth) return true;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_REPEAT_OVER, over->span, "a repeat `over pp` inside another one");
  xlm_diag_help(e->diags, g, "the pipeline can be cut between the rounds of only one of them");
  return false;
}

// Rounds that share their parameters add nothing to the names of these.
static const char *round_path(xlm_el *e, const xlm_el_frame *f, const xlm_stmt *s, int64_t i) {
  if (s->repeat.shared) return f->path;
  const char *name = s->expr->kind == XLM_EXPR_NAME ? s->expr->name.text
                     : s->repeat.var                ? s->repeat.var->text
                                                    : "repeat";
  return xlm_arena_printf(e->arena, "%s.%lld", xlm_el_join(e, f->path, name), (long long)i);
}

static void bind_round(xlm_el *e, xlm_el_frame *round, const xlm_stmt *s, int64_t i) {
  const xlm_ast_name *var = s->repeat.var;
  if (!var) return;
  const xlm_el_symbol *old = xlm_el_find(round, var->text);
  if (old && old->kind == XLM_SYM_DECL && !xlm_el_is_used_file(e, var->span)) {
    xlm_el_not_assignable(e, old, var->span);
    return;
  }
  xlm_el_symbol *sym = xlm_el_define(e, round, XLM_SYM_VALUE, var->text, var->span);
  sym->value = xlm_el_num(xlm_num_int(i));
  xlm_el_saw(e, round, var->span, &sym->value, e->g->n_nodes);
  if (sym->use) sym->use->read = true;
}

static bool run_round(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s, int64_t i) {
  e->steps += XLM_EL_FRAME_STEPS;
  xlm_el_frame *round = XLM_NEW(e->arena, xlm_el_frame);
  *round = (xlm_el_frame){.parent = f, .kind = XLM_FRAME_ROUND, .path = round_path(e, f, s, i)};
  const char *scope = e->b.scope;
  bool reuse = e->reuse;
  uint32_t epoch = e->epoch;
  if (s->repeat.shared) e->epoch = ++e->epochs, e->reuse = reuse || i > 0;
  e->b.scope = round->path;
  bind_round(e, round, s, i);
  bool on = xlm_el_run(e, round, s->repeat.body);
  e->b.scope = scope;
  e->reuse = reuse;
  e->epoch = epoch;
  return on;
}

static bool run_repeat(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  int64_t n;
  if (!count_rounds(e, f, s, &n)) n = 1; // check the body anyway
  bool over = over_pipeline(e, s), recompute = e->b.recompute, on = true;
  uint32_t errors = e->diags->errors;
  e->b.recompute = recompute || s->repeat.recompute;
  e->over_depth += over;
  for (int64_t i = 0; i < n && on && !e->stop && e->diags->errors == errors; i++) {
    if (over) e->b.round = e->rounds++;
    on = run_round(e, f, s, i);
  }
  e->over_depth -= over;
  if (over) e->b.round = -1;
  e->b.recompute = recompute;
  return on;
}

// --- losses, outputs, metrics

// The value of a loss or metric in f32; 0: an error was reported.
static xlm_val result_of(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s, const char *what) {
  xlm_el_value v = xlm_el_one(e, f, s->expr);
  if (v.kind == XLM_EL_NUMBER)
    xlm_diag_push(e->diags, XLM_E_NOT_SCALAR, s->expr->span,
                  "a %s is computed from tensors, and this is the number %s", what,
                  xlm_num_text(e->arena, v.num));
  if (v.kind == XLM_EL_BAD || v.kind == XLM_EL_NUMBER) return 0;
  e->b.span = s->expr->span;
  return xlm_el_cast(e, v, true);
}

static bool loss(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  e->saw_loss = true;
  xlm_val v = result_of(e, f, s, "loss");
  if (v && xlm_val_type(e->g, v)->rank) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NOT_SCALAR, s->expr->span,
                                "a loss is one number, and this is %s", xlm_el_type_text(e, v));
    xlm_diag_help(e->diags, g, "take the mean: loss mean(..)");
  } else if (v) {
    const char *name = xlm_el_unique(e, xlm_el_join(e, f->path, "loss"));
    xlm_vals_add(e->g, &e->g->losses, name, v, s->expr->span);
  }
  return true;
}

static bool name_is_free(xlm_el *e, const char *name, const xlm_ast_name *at) {
  const xlm_ast_name *first = xlm_dict_get(&e->named, name);
  if (!first) {
    xlm_el_unique(e, name);
    xlm_dict_put(e->arena, &e->named, name, (void *)at);
    return true;
  }
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_NAMED_TWICE, at->span, "there are two results called `%s`", name);
  if (first != at) xlm_diag_label(e->diags, g, first->span, "the first is here");
  xlm_diag_help(e->diags, g, "give each metric and output its own name");
  return false;
}

// One number, or a list of numbers along a dimension that does not grow with the data.
static bool add_metric(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s, const char *name) {
  xlm_val v = result_of(e, f, s, "metric");
  const xlm_type *t = v ? xlm_val_type(e->g, v) : NULL;
  const xlm_dim_info *d = t && t->rank ? &e->g->dims[t->dim[0]] : NULL;
  if (t && (t->rank > 1 || (d && (d->ragged || !strcmp(d->name, "batch"))))) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NOT_SCALAR, s->expr->span,
                                "a metric is one number, or a list of numbers along one dimension that is "
                                "not of samples, and this is %s",
                                xlm_el_type_text(e, v));
    xlm_diag_help(e->diags, g, "take the mean, over all dimensions or some: metric mean(..)");
  } else if (v) {
    xlm_vals_add(e->g, &e->g->metrics, name, v, s->expr->span);
  }
  return true;
}

static bool metric(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  const char *name = xlm_el_join(e, f->path, s->name->text);
  if (e->reuse && xlm_dict_get(&e->named, name) == s->name)
    name = xlm_el_unique(e, name); // in a later shared round
  if (xlm_is_metric_field(name)) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_METRIC_FIELD, s->name->span,
                                "`%s` is a field that every line of metrics has", name);
    xlm_diag_help(e->diags, g, "give it another name: `metric own_%s = ..`; docs/metrics.md has the fields",
                  name);
    return true;
  }
  return !name_is_free(e, name, s->name) || add_metric(e, f, s, name);
}

static bool output(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  for (const xlm_ast_name *n = s->output.names; n; n = n->next) {
    xlm_expr x = {.kind = XLM_EXPR_NAME, .span = n->span, .name = {n->text}};
    xlm_el_value v = xlm_el_one(e, f, &x);
    const char *name = xlm_el_join(e, f->path, n->text);
    if (v.kind == XLM_EL_NUMBER)
      xlm_diag_push(e->diags, XLM_E_NOT_TENSOR, n->span, "`%s` is a number, and outputs are tensors",
                    n->text);
    if (v.kind == XLM_EL_TENSOR && name_is_free(e, name, n))
      xlm_vals_add(e->g, &e->g->outputs, name, v.val, n->span);
  }
  return true;
}

// --- lists of statements

static bool declares(const xlm_stmt *list) {
  for (const xlm_stmt *s = list; s; s = s->next) {
    if (s->kind == XLM_STMT_PARAM || s->kind == XLM_STMT_STATE || s->kind == XLM_STMT_INPUT ||
        s->kind == XLM_STMT_DIM || s->kind == XLM_STMT_LET)
      return true;
    if (s->kind == XLM_STMT_IF && (declares(s->cond.then) || declares(s->cond.otherwise))) return true;
  }
  return false;
}

void xlm_el_hoist(xlm_el *e, const xlm_stmt *list, bool nested) {
  for (const xlm_stmt *s = list; s && !e->stop; s = s->next) {
    xlm_number c;
    if (s->kind == XLM_STMT_PARAM || s->kind == XLM_STMT_STATE || s->kind == XLM_STMT_INPUT)
      xlm_el_declare_tensor(e, &e->global, s);
    if (nested && (s->kind == XLM_STMT_DIM || s->kind == XLM_STMT_LET)) {
      xlm_el_symbol *sym = xlm_el_declare(e, &e->global, s);
      if (sym) xlm_el_force(e, sym->decl, s->name->span);
    }
    bool choice = s->kind == XLM_STMT_IF && (declares(s->cond.then) || declares(s->cond.otherwise));
    if (choice && xlm_el_condition(e, &e->global, s->expr, &c))
      xlm_el_hoist(e, c.v != 0 ? s->cond.then : s->cond.otherwise, true);
  }
}

bool xlm_el_run(xlm_el *e, xlm_el_frame *f, const xlm_stmt *list) {
  static bool (*const run[XLM_STMT_KINDS])(xlm_el *, xlm_el_frame *, const xlm_stmt *) = {
      [XLM_STMT_DIM] = declare,          [XLM_STMT_LET] = declare,
      [XLM_STMT_PARAM] = declare_tensor, [XLM_STMT_STATE] = declare_tensor,
      [XLM_STMT_INPUT] = declare_tensor, [XLM_STMT_CHECK] = check,
      [XLM_STMT_SHARD] = shard,          [XLM_STMT_ASSIGN] = xlm_el_assign,
      [XLM_STMT_RETURN] = run_return,    [XLM_STMT_IF] = run_if,
      [XLM_STMT_REPEAT] = run_repeat,    [XLM_STMT_LOSS] = loss,
      [XLM_STMT_METRIC] = metric,        [XLM_STMT_OUTPUT] = output,
      [XLM_STMT_UPDATE] = xlm_el_update,
  };
  for (const xlm_stmt *s = list; s; s = s->next) {
    if (!run[s->kind]) continue;
    if (!xlm_el_enter(e, s->span)) return false;
    bool on = run[s->kind](e, f, s);
    xlm_el_leave(e);
    if (on) continue;
    if (s->kind == XLM_STMT_RETURN && s->next && !e->stop)
      xlm_diag_push(e->diags, XLM_E_AFTER_RETURN, s->next->span, "nothing after `return` is computed");
    return false;
  }
  return true;
}
