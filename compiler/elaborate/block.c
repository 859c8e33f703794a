// Calls of blocks: the body is inlined in a new frame, under the path of its instance.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

typedef struct inlining { // one call
  xlm_el *e;
  xlm_el_frame *caller;
  const xlm_expr *x;
  const xlm_stmt *block;
  xlm_el_frame *frame;
  int n_params;
  xlm_el_operand *arg;          // by parameter; empty span: not given
  xlm_dim given[XLM_MAX_RANK];  // by generic dimension: named in the call
  xlm_dim others[XLM_MAX_RANK]; // the dimensions that `..` matched
  int n_others;
} inlining;

static const char *signature(xlm_el *e, const xlm_stmt *b) {
  xlm_text t = xlm_text_new(e->arena);
  xlm_text_printf(&t, "%s(", b->name->text);
  for (const xlm_block_param *p = b->block.params; p; p = p->next)
    xlm_text_printf(&t, "%s%s%s", p == b->block.params ? "" : ", ", p->name->text,
                    p->is_tensor ? xlm_el_ast_text(e, p->dims) : "");
  xlm_text_add(&t, ")");
  return t.data;
}

// --- arguments

static bool wrong_arguments(inlining *c, xlm_span at, const char *what, const char *name) {
  xlm_diag *g = xlm_diag_push(c->e->diags, XLM_E_ARGUMENTS, at, what, c->block->name->text, name);
  xlm_diag_label(c->e->diags, g, c->block->name->span, "it is %s", signature(c->e, c->block));
  return false;
}

static int find_param(const xlm_stmt *b, const char *name) {
  int i = 0;
  for (const xlm_block_param *p = b->block.params; p; p = p->next, i++)
    if (!strcmp(p->name->text, name)) return i;
  return -1;
}

static int find_generic(const xlm_stmt *b, const char *name) {
  int i = 0;
  for (const xlm_ast_name *d = b->block.dims; d && i < XLM_MAX_RANK; d = d->next, i++)
    if (!strcmp(d->text, name)) return i;
  return -1;
}

// attention(x, t = seq)
static bool take_dimension(inlining *c, int i, const xlm_arg *a) {
  if (c->given[i]) return wrong_arguments(c, a->span, "`%s` gets `%s` twice", a->name->text);
  if (a->value->kind != XLM_EXPR_NAME)
    return wrong_arguments(c, a->value->span, "in a call of `%s`, `%s` is given the name of a dimension",
                           a->name->text);
  c->given[i] = xlm_el_dim(c->e, c->caller, a->value->name.text, a->value->span);
  return c->given[i] != 0;
}

static bool take(inlining *c, int i, const xlm_arg *a) {
  if (c->arg[i].span.end)
    return wrong_arguments(c, a->span, "`%s` gets `%s` twice", a->name ? a->name->text : "this");
  c->arg[i] = (xlm_el_operand){xlm_el_one(c->e, c->caller, a->value), a->value->span};
  return true;
}

static bool take_arguments(inlining *c) {
  int next = 0;
  for (const xlm_arg *a = c->x->call.args; a; a = a->next) {
    int generic = a->kind == XLM_ARG_NAMED ? find_generic(c->block, a->name->text) : -1;
    if (generic >= 0 && !take_dimension(c, generic, a)) return false;
    if (generic >= 0) continue;
    int i = a->kind == XLM_ARG_NAMED ? find_param(c->block, a->name->text) : next++;
    if (a->kind == XLM_ARG_OVER || a->kind == XLM_ARG_ARROW)
      return wrong_arguments(c, a->span, "`%s` is a block and takes only values%s", "");
    if (i < 0) return wrong_arguments(c, a->name->span, "`%s` has no argument `%s`", a->name->text);
    if (i >= c->n_params) return wrong_arguments(c, a->span, "`%s` takes no further argument%s", "");
    if (!take(c, i, a)) return false;
  }
  int i = 0;
  for (const xlm_block_param *p = c->block->block.params; p; p = p->next, i++)
    if (!c->arg[i].span.end) return wrong_arguments(c, c->x->span, "`%s` needs `%s`", p->name->text);
  return true;
}

static bool wrong_kind(inlining *c, const xlm_block_param *p, int i) {
  xlm_el *e = c->e;
  xlm_diag *g = p->is_tensor
                    ? xlm_diag_push(e->diags, XLM_E_NOT_TENSOR, c->arg[i].span,
                                    "`%s` of `%s` is a tensor, and this is the number %s", p->name->text,
                                    c->block->name->text, xlm_num_text(e->arena, c->arg[i].value.num))
                    : xlm_diag_push(e->diags, XLM_E_NOT_CONSTANT, c->arg[i].span,
                                    "`%s` of `%s` is a compile-time value, and this is a tensor",
                                    p->name->text, c->block->name->text);
  xlm_diag_label(e->diags, g, p->name->span, "declared here");
  if (!p->is_tensor)
    xlm_diag_help(e->diags, g, "for a tensor, declare its dimensions: %s[..]", p->name->text);
  return false;
}

// Compile-time values first, since dimensions of tensors may refer to them.
static bool bind(inlining *c) {
  bool ok = true;
  int i = 0;
  for (const xlm_block_param *p = c->block->block.params; p; p = p->next, i++) {
    xlm_el_kind kind = c->arg[i].value.kind;
    if (kind == XLM_EL_BAD)
      ok = false;
    else if ((kind == XLM_EL_TENSOR) != p->is_tensor)
      ok = wrong_kind(c, p, i);
    const xlm_el_symbol *old = xlm_el_find(c->frame, p->name->text);
    bool declared = old && old->kind == XLM_SYM_DECL && !xlm_el_is_used_file(c->e, p->name->span);
    if (old && (declared || old == xlm_dict_get(&c->frame->symbols, p->name->text))) {
      xlm_diag *g = xlm_diag_push(c->e->diags, XLM_E_REDEFINED, p->name->span, "`%s` is defined already",
                                  p->name->text);
      xlm_diag_label(c->e->diags, g, old->span, "first defined here");
      return false;
    }
    xlm_el_define(c->e, c->frame, XLM_SYM_VALUE, p->name->text, p->name->span)->value = c->arg[i].value;
    xlm_el_saw(c->e, c->caller, p->name->span, &c->arg[i].value, c->e->g->n_nodes);
  }
  return ok;
}

// --- dimensions

static bool holds(const xlm_dim *dims, int n, xlm_dim d) {
  for (int i = 0; i < n; i++)
    if (dims[i] == d) return true;
  return false;
}

// The dims of the shape that t lacks, and those it has in excess (beside `others`, where the shape has `..`).
typedef struct difference {
  xlm_dim missing[2 * XLM_MAX_RANK], extra[XLM_MAX_RANK];
  int n_missing, n_extra;
} difference;

static difference compare(const xlm_el_shape *want, const xlm_type *t, const xlm_dim *others, int n_others,
                          bool all) {
  difference d = {0};
  for (int i = 0; i < want->n; i++)
    if (xlm_type_find(t, want->dim[i]) < 0) d.missing[d.n_missing++] = want->dim[i];
  for (int i = 0; all && want->more && i < n_others; i++)
    if (xlm_type_find(t, others[i]) < 0 && !holds(want->dim, want->n, others[i]))
      d.missing[d.n_missing++] = others[i];
  for (int i = 0; i < t->rank; i++)
    if (!holds(want->dim, want->n, t->dim[i]) &&
        !(want->more && (!all || holds(others, n_others, t->dim[i]))))
      d.extra[d.n_extra++] = t->dim[i];
  return d;
}

static void explain(xlm_el *e, xlm_diag *g, const difference *d) {
  if (d->n_missing)
    xlm_diag_note(e->diags, g, "it lacks %s", xlm_el_dims_text(e, d->missing, d->n_missing, false));
  if (d->n_extra)
    xlm_diag_note(e->diags, g, "it has %s besides", xlm_el_dims_text(e, d->extra, d->n_extra, false));
  if (d->n_missing != 1 || d->n_extra != 1) return;
  const xlm_dim_info *m = &e->g->dims[d->missing[0]], *x = &e->g->dims[d->extra[0]];
  if (m->size == x->size)
    xlm_diag_help(e->diags, g, "rename(.., %s -> %s) gives the dimension the other name", x->name, m->name);
}

static bool check_argument(inlining *c, const xlm_block_param *p, const xlm_el_operand *arg) {
  xlm_el *e = c->e;
  xlm_el_shape want;
  if (!xlm_el_dim_list(e, c->frame, p->dims, true, p->name->span, &want)) return false;
  const xlm_type *t = xlm_val_type(e->g, arg->value.val);
  difference d = compare(&want, t, NULL, 0, false);
  if (d.n_missing || d.n_extra) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_DIM_MISMATCH, arg->span, "`%s` takes %s%s, not %s",
                                c->block->name->text, p->name->text, xlm_el_ast_text(e, p->dims),
                                xlm_el_type_text(e, arg->value.val));
    xlm_diag_primary(e->diags, g, "%s", xlm_el_type_text(e, arg->value.val));
    xlm_diag_label(e->diags, g, p->name->span, "declared here");
    if (d.n_extra) xlm_el_label_stray(e, g, arg->value.val, d.extra[0]);
    explain(e, g, &d);
    return false;
  }
  for (int i = 0; want.more && i < t->rank; i++)
    if (!holds(want.dim, want.n, t->dim[i]) && !holds(c->others, c->n_others, t->dim[i]) &&
        c->n_others < XLM_MAX_RANK)
      c->others[c->n_others++] = t->dim[i];
  return true;
}

static bool check_arguments(inlining *c) {
  bool ok = true;
  int i = 0;
  for (const xlm_block_param *p = c->block->block.params; p; p = p->next, i++)
    if (p->is_tensor) ok = check_argument(c, p, &c->arg[i]) && ok;
  return ok;
}

static bool check_result(inlining *c, const xlm_block_result *r, xlm_el_value v, xlm_span at) {
  xlm_el *e = c->e;
  xlm_el_shape want;
  if (v.kind != XLM_EL_TENSOR) {
    if (v.kind != XLM_EL_NUMBER) return false;
    xlm_diag_push(e->diags, XLM_E_NOT_TENSOR, r->span,
                  "`%s` returns the number %s where a tensor is declared", c->block->name->text,
                  xlm_num_text(e->arena, v.num));
    return false;
  }
  if (!xlm_el_dim_list(e, c->frame, r->dims, true, r->span, &want)) return false;
  difference d = compare(&want, xlm_val_type(e->g, v.val), c->others, c->n_others, true);
  if (!d.n_missing && !d.n_extra) return true;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_RESULT_DIMS, at, "`%s` declares %s and returns %s",
                              c->block->name->text, xlm_el_ast_text(e, r->dims), xlm_el_type_text(e, v.val));
  xlm_diag_primary(e->diags, g, "%s", xlm_el_type_text(e, v.val));
  xlm_diag_label(e->diags, g, r->span, "declared here");
  if (d.n_extra) xlm_el_label_stray(e, g, v.val, d.extra[0]);
  xlm_diag_label(e->diags, g, c->x->span, "in this call");
  explain(e, g, &d);
  return false;
}

static xlm_el_value result(inlining *c) {
  xlm_el *e = c->e;
  xlm_el_value v = c->frame->result;
  if (e->stop) return xlm_el_bad();
  if (!c->frame->returned) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NO_RETURN, c->block->name->span, "block `%s` returns nothing",
                                c->block->name->text);
    xlm_diag_help(e->diags, g, "end it with `return ..`");
    return xlm_el_bad();
  }
  int n = 0, given = v.kind == XLM_EL_TUPLE ? v.n : 1, i = 0;
  for (const xlm_block_result *r = c->block->block.results; r; r = r->next) n++;
  if (v.kind == XLM_EL_BAD) return v;
  if (n != given) {
    xlm_diag *g =
        xlm_diag_push(e->diags, XLM_E_TUPLE, c->block->name->span, "`%s` declares %d result%s and returns %d",
                      c->block->name->text, n, n == 1 ? "" : "s", given);
    xlm_diag_help(e->diags, g, "several results are declared as -> [..], [..] and returned as (a, b)");
    return xlm_el_bad();
  }
  const xlm_expr *returns = c->frame->returns,
                 *item = returns->kind == XLM_EXPR_TUPLE ? returns->tuple.items : NULL;
  bool ok = true;
  for (const xlm_block_result *r = c->block->block.results; r;
       r = r->next, i++, item = item ? item->next : NULL)
    ok = check_result(c, r, v.kind == XLM_EL_TUPLE ? v.item[i] : v, item ? item->span : returns->span) && ok;
  v.outs = 1;
  return ok ? v : xlm_el_bad();
}

// --- instances

static const char *second_instance(inlining *c, const xlm_el_instance *first, const char *path) {
  xlm_el *e = c->e;
  const char *block = c->block->name->text;
  const xlm_ast_name *named = c->x->call.instance;
  xlm_diag *g = named ? xlm_diag_push(e->diags, XLM_E_TWO_INSTANCES, c->x->span,
                                      "the instance name `%s` is used twice in one scope", named->text)
                      : xlm_diag_push(e->diags, XLM_E_TWO_INSTANCES, c->x->span,
                                      "two unnamed calls of `%s` in one scope", block);
  xlm_diag_label(e->diags, g, first->span, "the first");
  xlm_diag_note(e->diags, g, "their parameters would have the same names: %s.*", path);
  if (named)
    xlm_diag_help(e->diags, g, "give each its own name; rounds of `repeat .. shared` share weights");
  else
    xlm_diag_help(e->diags, g, "name them, as in %s.pre(..) and %s.post(..)", block, block);
  return xlm_arena_printf(e->arena, "%s#%u", path, c->x->span.begin); // so that checking continues
}

static xlm_el_instance *enter_instance(inlining *c, const char **path) {
  xlm_el *e = c->e;
  const char *name = c->x->call.instance ? c->x->call.instance->text : c->block->name->text;
  *path = xlm_el_join(e, c->caller->path, name);
  xlm_el_instance *i = xlm_dict_get(&e->instances, *path);
  bool again = i && e->reuse && i->epoch != e->epoch;
  if (i && i->has_params && !again) *path = second_instance(c, i, *path);
  if (!i) xlm_dict_put(e->arena, &e->instances, *path, i = XLM_NEW(e->arena, xlm_el_instance));
  if (!i->block) *i = (xlm_el_instance){.block = c->block->name->text, .span = c->x->span};
  i->epoch = e->epoch;
  return i;
}

// --- the call

static bool recursive(xlm_el *e, const xlm_expr *x, const xlm_stmt *block) {
  const xlm_el_active *a = e->active;
  while (a && a->block != block) a = a->up;
  if (!a) return false;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_RECURSION, x->span, "block `%s` calls itself", block->name->text);
  int shown = 0;
  for (const xlm_el_active *w = e->active; w != a && shown < 4; w = w->up, shown++)
    xlm_diag_label(e->diags, g, w->span, "through `%s`, called here", w->block->name->text);
  xlm_diag_help(e->diags, g, "blocks are inlined; use `repeat` for a fixed number of rounds");
  return true;
}

static bool too_deep(xlm_el *e, const xlm_expr *x) {
  if (!e->active || e->active->depth < XLM_EL_MAX_BLOCKS) return false;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_NESTED, x->span, "more than %d blocks call each other",
                              XLM_EL_MAX_BLOCKS);
  xlm_diag_help(e->diags, g, "use `repeat` for a chain of blocks");
  return e->stop = true;
}

static xlm_el_value inline_body(inlining *c, const char *path) {
  xlm_el *e = c->e;
  xlm_el_active active = {c->block, c->x->span, e->active, e->active ? e->active->depth + 1 : 1};
  const char *scope = e->b.scope;
  e->active = &active;
  e->b.scope = c->frame->path = path;
  xlm_el_run(e, c->frame, c->block->block.body);
  xlm_el_value v = result(c);
  e->b.scope = scope;
  e->active = active.up;
  return v;
}

xlm_el_value xlm_el_call_block(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const xlm_stmt *block) {
  if (recursive(e, x, block) || too_deep(e, x)) return xlm_el_bad();
  e->steps += XLM_EL_FRAME_STEPS;
  inlining c = {.e = e, .caller = f, .x = x, .block = block, .frame = XLM_NEW(e->arena, xlm_el_frame)};
  for (const xlm_block_param *p = block->block.params; p; p = p->next) c.n_params++;
  c.arg = XLM_NEW_N(e->arena, xlm_el_operand, c.n_params);
  *c.frame = (xlm_el_frame){.parent = &e->global, .kind = XLM_FRAME_BLOCK, .path = f->path};
  if (!take_arguments(&c) || !bind(&c) || !xlm_el_bind_generic(e, c.frame, x, block, c.arg, c.given) ||
      !check_arguments(&c))
    return xlm_el_bad();
  const char *path;
  xlm_el_instance *instance = enter_instance(&c, &path);
  uint32_t params = e->params.n;
  xlm_el_value v = inline_body(&c, path);
  if (e->params.n > params) instance->has_params = true;
  return v;
}
