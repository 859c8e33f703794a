// Names without a meaning: what was probably meant. Words of other languages are in compiler/parse/foreign.c.
#include <ctype.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"
#include "compiler/parse/foreign.h"

enum { MOST_BLOCKS = 900 }; // bounds the work for a suggestion

static const xlm_ast_name *alias_of(const xlm_el *e, const char *name, const xlm_el_decl **owner) {
  for (uint32_t i = 0; i < e->n_decls; i++)
    for (const xlm_ast_name *a = e->decls[i]->stmt ? e->decls[i]->stmt->decl.aliases : NULL; a; a = a->next)
      if (!strcmp(a->text, name)) return *owner = e->decls[i], a;
  return NULL;
}

xlm_el_value xlm_el_unknown_name(xlm_el *e, xlm_el_frame *f, const char *name, xlm_span at) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UNKNOWN_NAME, at, "unknown name `%s`", name);
  const char *near = xlm_el_nearest(e, f, name, NULL, NULL), *foreign = xlm_foreign_help(name);
  const xlm_el_decl *owner;
  bool hidden = xlm_el_home(f)->kind == XLM_FRAME_BLOCK && xlm_dict_get(&e->top.symbols, name);
  if (hidden)
    xlm_diag_help(e->diags, g, "a block does not see the variables around it; pass `%s` as an argument",
                  name);
  else if (xlm_dict_get(&e->blocks, name))
    xlm_diag_help(e->diags, g, "`%s` is a block; call it: %s(..)", name, name);
  else if (xlm_el_callable(name))
    xlm_diag_help(e->diags, g, "`%s` is an operation; call it: %s(..)", name, name);
  else if (alias_of(e, name, &owner))
    xlm_diag_help(e->diags, g, "in the model this value is called `%s`", owner->name);
  else if (foreign)
    xlm_diag_help(e->diags, g, "%s", foreign);
  else if (near)
    xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  else if (f == &e->global)
    xlm_diag_help(e->diags, g,
                  "only numbers, dims and lets are known here; a tensor is given a name by `x = ..`");
  return xlm_el_bad();
}

// --- calls

xlm_op_id xlm_el_callable(const char *name) {
  xlm_op_id op = xlm_op_find(name);
  bool hidden = op && (!xlm_op_at(op) || (xlm_op_at(op)->flags & XLM_OPF_INTERNAL) || !xlm_op_at(op)->params);
  return hidden ? XLM_OP_NONE : op;
}

static const char **callable_names(xlm_el *e, size_t *n) {
  const char **names = XLM_NEW_N(e->arena, const char *, XLM_OP_COUNT + MOST_BLOCKS);
  *n = 0;
  for (xlm_op_id id = 1; id < XLM_OP_COUNT; id++)
    if (xlm_op_at(id) && xlm_el_callable(xlm_op_at(id)->name)) names[(*n)++] = xlm_op_at(id)->name;
  for (uint32_t i = 0; i < e->blocks.n && i < MOST_BLOCKS; i++) names[(*n)++] = e->blocks.at[i].key;
  return names;
}

// The operation or block that is called so in other letters: Relu, RMSNorm; NULL: none.
static const char *in_other_case(const char *name, const char *const *names, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const char *a = name, *b = names[i];
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b)) a++, b++;
    if (!*a && !*b) return names[i];
  }
  return NULL;
}

// h.view(..), torch.relu(..): the name before the point is no block.
static xlm_el_value no_block(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  const char *owner = x->call.callee->text, *name = x->call.instance->text;
  const char *help = xlm_foreign_help(name) ? xlm_foreign_help(name) : xlm_foreign_help(owner), *near;
  size_t n;
  const char **names = callable_names(e, &n);
  bool value = xlm_el_find(f, owner) != NULL, module = xlm_foreign_is_module(owner);
  const char *op = in_other_case(name, names, n);
  xlm_span span = {x->call.callee->span.begin, x->call.instance->span.end};
  xlm_diag *g = value    ? xlm_diag_push(e->diags, XLM_E_UNKNOWN_FUNCTION, span,
                                         "`%s` is a value, and values have no methods like `%s`", owner, name)
                : module ? xlm_diag_push(e->diags, XLM_E_UNKNOWN_FUNCTION, span, "there is no `%s`", owner)
                         : xlm_diag_push(e->diags, XLM_E_UNKNOWN_FUNCTION, x->call.callee->span,
                                         "no block is called `%s`", owner);
  if (help && (!op || x->call.args))
    xlm_diag_help(e->diags, g, "%s", help);
  else if (op && value)
    xlm_diag_help(e->diags, g, "write `%s(%s%s)`", op, owner, x->call.args ? ", .." : "");
  else if (op && module)
    xlm_diag_help(e->diags, g, "write `%s(..)`", op);
  else if (value || module)
    xlm_diag_help(e->diags, g, "operations are functions, as in `relu(h)`; docs/ops.md lists them");
  else if ((near = xlm_text_nearest(owner, names, n)))
    xlm_diag_help(e->diags, g, "did you mean `%s.%s`?", near, name);
  else
    xlm_diag_help(e->diags, g,
                  "`block.instance(..)` calls a block; define it with `block %s(..) -> [..] { .. }`", owner);
  return xlm_el_bad();
}

xlm_el_value xlm_el_unknown_function(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  if (x->call.instance) return no_block(e, f, x);
  const char *name = x->call.callee->text;
  size_t n;
  const char **names = callable_names(e, &n), *other = in_other_case(name, names, n);
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UNKNOWN_FUNCTION, x->call.callee->span,
                              "no block or operation is called `%s`", name);
  const char *near = xlm_text_nearest(name, names, n), *foreign = xlm_foreign_help(name);
  if (other)
    xlm_diag_help(e->diags, g, "names are case-sensitive: `%s`", other);
  else if (foreign)
    xlm_diag_help(e->diags, g, "%s", foreign);
  else if (near)
    xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  else if (xlm_el_find(f, name))
    xlm_diag_help(e->diags, g, "`%s` is a value, and values are not called", name);
  else
    xlm_diag_help(e->diags, g,
                  "docs/ops.md lists the operations; blocks are defined with `block %s(..) -> [..] { .. }`",
                  name);
  return xlm_el_bad();
}
