// Generic dimensions of blocks: block attention[t](x[batch, t, hidden]) works along any dimension. A call
// binds them by what is left of its arguments' dimensions when all others of the signature are found; so at
// most one is left open per argument at a time. Order has no meaning in a tensor, so it does not decide.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

typedef struct generic { // the generic dimensions of one call
  xlm_el *e;
  xlm_el_frame *frame;
  const xlm_expr *call;
  const xlm_stmt *block;
  const xlm_el_operand *args;
  xlm_dim dim[XLM_MAX_RANK]; // 0: open
} generic;

static int find(const generic *c, const char *name) {
  int i = 0;
  for (const xlm_ast_name *d = c->block->block.dims; d; d = d->next, i++)
    if (name && !strcmp(d->text, name)) return i;
  return -1;
}

// What an argument leaves open: generic dimensions of its parameter, and dimensions of its own.
typedef struct rest {
  int open[XLM_MAX_RANK], n_open;
  xlm_dim dim[XLM_MAX_RANK];
  int n_dims;
} rest;

static bool look(generic *c, const xlm_block_param *p, const xlm_el_operand *arg, rest *r) {
  const xlm_type *t = xlm_val_type(c->e->g, arg->value.val);
  uint32_t found = 0;
  *r = (rest){0};
  for (const xlm_ast_dim *d = p->dims; d; d = d->next) {
    int i = find(c, d->name);
    if (i >= 0 && !c->dim[i] && r->n_open < XLM_MAX_RANK) r->open[r->n_open++] = i;
    if (!d->name || (i >= 0 && !c->dim[i])) continue;
    xlm_dim dim = i >= 0 ? c->dim[i] : xlm_el_dim(c->e, c->frame, d->name, d->span);
    if (!dim) return false;
    int at = xlm_type_find(t, dim);
    if (at >= 0) found |= 1u << at;
  }
  for (int i = 0; i < t->rank; i++)
    if (!(found >> i & 1)) r->dim[r->n_dims++] = t->dim[i];
  return true;
}

// Binds what follows; *more: something did.
static bool infer(generic *c, bool *more) {
  int i = 0;
  for (const xlm_block_param *p = c->block->block.params; p; p = p->next, i++) {
    rest r;
    if (!p->is_tensor || c->args[i].value.kind != XLM_EL_TENSOR) continue;
    if (!look(c, p, &c->args[i], &r)) return false;
    if (r.n_open != 1 || r.n_dims != 1) continue;
    c->dim[r.open[0]] = r.dim[0];
    *more = true;
  }
  return true;
}

static bool report_open(generic *c, const xlm_ast_name *name) {
  xlm_el *e = c->e;
  int i = 0;
  for (const xlm_block_param *p = c->block->block.params; p; p = p->next, i++) {
    rest r;
    bool here = false;
    for (const xlm_ast_dim *d = p->dims; p->is_tensor && d; d = d->next)
      here |= d->name && !strcmp(d->name, name->text);
    if (!here || !look(c, p, &c->args[i], &r)) continue;
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_DIM_MISMATCH, c->args[i].span,
                                "which dimension is `%s` of `%s`? it takes %s%s", name->text,
                                c->block->name->text, p->name->text, xlm_el_ast_text(e, p->dims));
    xlm_diag_primary(e->diags, g, "%s", xlm_el_type_text(e, c->args[i].value.val));
    xlm_diag_label(e->diags, g, name->span, "declared here");
    if (r.n_dims)
      xlm_diag_help(e->diags, g, "name it: %s(.., %s = %s)", c->block->name->text, name->text,
                    e->g->dims[r.dim[0]].name);
    else
      xlm_diag_note(e->diags, g, "the argument has no dimension left for it");
    return false;
  }
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_ARGUMENTS, c->call->span, "`%s` needs the dimension `%s`",
                              c->block->name->text, name->text);
  xlm_diag_label(e->diags, g, name->span, "declared here");
  xlm_diag_help(e->diags, g, "name it: %s(.., %s = seq)", c->block->name->text, name->text);
  return false;
}

static bool define(generic *c, const xlm_ast_name *name, xlm_dim dim) {
  xlm_el *e = c->e;
  const xlm_el_symbol *old = xlm_dict_get(&c->frame->symbols, name->text);
  if (old) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_REDEFINED, name->span, "`%s` is defined already", name->text);
    xlm_diag_label(e->diags, g, old->span, "first defined here");
    return false;
  }
  xlm_el_symbol *s = xlm_el_define(e, c->frame, XLM_SYM_VALUE, name->text, name->span);
  s->value = xlm_el_num(xlm_num_int(e->g->dims[dim].full));
  s->value.dim = dim;
  if (s->use) s->use->read = true;
  return true;
}

static bool too_many(generic *c, int n) {
  if (n <= XLM_MAX_RANK) return false;
  xlm_diag_push(c->e->diags, XLM_E_RANK, c->block->name->span,
                "`%s` has %d generic dimensions, and at most %d are possible", c->block->name->text, n,
                XLM_MAX_RANK);
  return true;
}

bool xlm_el_bind_generic(xlm_el *e, xlm_el_frame *frame, const xlm_expr *call, const xlm_stmt *block,
                         const xlm_el_operand *args, const xlm_dim *given) {
  generic c = {.e = e, .frame = frame, .call = call, .block = block, .args = args};
  int n = 0;
  bool ok = true;
  for (const xlm_ast_name *d = block->block.dims; d; d = d->next) n++;
  if (!n || too_many(&c, n)) return !n;
  memcpy(c.dim, given, sizeof c.dim);
  for (bool more = true; more;) {
    more = false;
    if (!infer(&c, &more)) return false;
  }
  int i = 0;
  for (const xlm_ast_name *d = block->block.dims; d; d = d->next, i++)
    ok = (c.dim[i] ? define(&c, d, c.dim[i]) : report_open(&c, d)) && ok;
  return ok;
}
