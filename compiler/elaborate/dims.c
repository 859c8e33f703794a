// Dimension lists: from names to dimensions of the graph, and back to text.
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"
#include "compiler/parse/foreign.h"

static int64_t divisor_near(int64_t a, int64_t b,
                            int step) { // the nearest divisor of a below or above b; 0: none nearby
  for (int64_t d = b + step, n = 0; d > 0 && d <= a && n < 100000; d += step, n++)
    if (a % d == 0) return d;
  return 0;
}

static void add_pair(xlm_el *e, xlm_text *t, const xlm_expr *x, int64_t low, int64_t high) {
  if (x->kind != XLM_EXPR_NAME || (!low && !high)) return;
  xlm_text_printf(t, "%s%s = ", t->n ? ", or " : "", xlm_el_text(e, x->span));
  if (low) xlm_text_printf(t, "%lld", (long long)low);
  if (high) xlm_text_printf(t, "%s%lld", low ? " or " : "", (long long)high);
}

void xlm_el_help_sizes(xlm_el *e, xlm_diag *g, const xlm_expr *x, int64_t a, const xlm_expr *y, int64_t b) {
  if (a < 1 || b < 1 || a > INT32_MAX || b > INT32_MAX) return;
  xlm_text t = xlm_text_new(e->arena);
  add_pair(e, &t, y, divisor_near(a, b, -1), divisor_near(a, b, 1));
  add_pair(e, &t, x, a / b * b, (a / b + 1) * b);
  if (t.n) xlm_diag_help(e->diags, g, "sizes that work: %s", t.data);
}

enum { MOST_DIMS = 10000 };

static xlm_dim too_many(xlm_el *e, xlm_span at) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_TOO_MUCH, at, "more than %d dimensions", MOST_DIMS);
  xlm_diag_help(e->diags, g, "a dimension that differs from round to round is a new one each time");
  e->stop = true;
  return 0;
}

// The dimension of this name and size: `name`, or name_2 .. if blocks use the name with several sizes.
static xlm_dim mint(xlm_el *e, const char *name, int64_t size, xlm_span at) {
  const char *key = xlm_arena_printf(e->arena, "%s %lld", name, (long long)size), *as = name;
  xlm_dim *known = xlm_dict_get(&e->dims, key);
  if (known) return *known;
  if (e->g->n_dims > MOST_DIMS) return too_many(e, at);
  uint32_t *last = xlm_dict_get(&e->dims, name);
  if (!last) xlm_dict_put(e->arena, &e->dims, name, last = XLM_NEW(e->arena, uint32_t));
  while (++*last, xlm_graph_dim_find(
                      e->g, as = *last > 1 ? xlm_arena_printf(e->arena, "%s_%u", name, *last) : name, 0)) {}
  if (*last > 1) xlm_dict_put(e->arena, &e->minted, as, (void *)name);
  known = XLM_NEW(e->arena, xlm_dim);
  *known = xlm_graph_dim(e->g, as, size);
  xlm_dict_put(e->arena, &e->dims, key, known);
  return *known;
}

static xlm_dim dim_of(xlm_el *e, xlm_el_decl *d) {
  if (!d->dim) d->dim = mint(e, d->name, d->value.i, d->span);
  return d->dim;
}

static bool is_dimension(const xlm_el *e, const xlm_el_symbol *s, const void *arg) {
  (void)e, (void)arg;
  return s->kind == XLM_SYM_DECL && s->decl->is_dim;
}

static xlm_dim unknown(xlm_el *e, xlm_el_frame *f, const char *name, xlm_span at) {
  const char *near = xlm_el_nearest(e, f, name, is_dimension, NULL);
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UNKNOWN_DIM, at, "unknown dimension `%s`", name);
  const char *foreign = xlm_foreign_argument(name);
  if (near)
    xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  else if (foreign)
    xlm_diag_help(e->diags, g, "%s", foreign);
  else
    xlm_diag_help(e->diags, g, "declare it: dim %s = 64", name);
  return 0;
}

static xlm_dim no_dimension(xlm_el *e, const xlm_el_symbol *s, xlm_span at, const char *what,
                            const char *help) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UNKNOWN_DIM, at, "`%s` is %s, not a dimension", s->name, what);
  xlm_diag_label(e->diags, g, s->span, "defined here");
  xlm_diag_help(e->diags, g, help, s->name);
  return 0;
}

static xlm_dim of_decl(xlm_el *e, const xlm_el_symbol *s, xlm_el_decl *d, xlm_span at) {
  if (!d->is_dim) return no_dimension(e, s, at, "a let", "declare it as `dim %s = ...`");
  return xlm_el_force(e, d, at) ? dim_of(e, d) : 0;
}

static xlm_dim of_value(xlm_el *e, const xlm_el_symbol *s, xlm_span at) {
  const xlm_el_value *v = &s->value;
  if (v->kind == XLM_EL_BAD) return 0;
  if (v->kind != XLM_EL_NUMBER)
    return no_dimension(e, s, at, "a tensor", "tensors have dimensions, `%s` cannot be one");
  if (v->dim) return v->dim;
  if (v->decl && v->decl->is_dim) return of_decl(e, s, v->decl, at);
  if (v->num.integer && v->num.i >= 1 && v->num.i <= INT32_MAX) return mint(e, s->name, v->num.i, at);
  const char *value = xlm_num_text(e->arena, v->num);
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_BAD_DIM_VALUE, at,
                              "dimension `%s` = %s is not a whole number of at least 1", s->name, value);
  xlm_diag_label(e->diags, g, s->span, "its value comes from here");
  return 0;
}

xlm_dim xlm_el_dim(xlm_el *e, xlm_el_frame *f, const char *name, xlm_span at) {
  xlm_el_symbol *s = xlm_el_find(f, name);
  if (!s) {
    xlm_dim made = xlm_graph_dim_find(e->g, name, 0); // created by an operation: `routed`
    return made ? made : unknown(e, f, name, at);
  }
  if (s->use) s->use->read = true;
  if (s->kind == XLM_SYM_DECL) return of_decl(e, s, s->decl, at);
  if (s->kind == XLM_SYM_VALUE) return of_value(e, s, at);
  return no_dimension(e, s, at, "a tensor", "tensors have dimensions, `%s` cannot be one");
}

static bool repeated(xlm_el *e, xlm_dim d, const char *as, xlm_span at) {
  const char *name = e->g->dims[d].name;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_DUPLICATE_DIM, at, "dimension `%s` appears twice in one list", name);
  if (strcmp(as, name) != 0) xlm_diag_primary(e->diags, g, "`%s` is `%s` here", as, name);
  xlm_diag_help(e->diags, g,
                "a tensor has each dimension once; declare a second one of the same size: dim %s_2 = %s",
                name, name);
  return false;
}

static bool add(xlm_el *e, xlm_dim d, const char *name, xlm_span at, xlm_dim *out, int *n) {
  for (int i = 0; i < *n; i++)
    if (out[i] == d) return repeated(e, d, name, at);
  if (*n == XLM_MAX_RANK) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_RANK, at, "more than %d dimensions", XLM_MAX_RANK);
    xlm_diag_help(e->diags, g, "merge some of them into one");
    return false;
  }
  out[(*n)++] = d;
  return true;
}

bool xlm_el_dim_names(xlm_el *e, xlm_el_frame *f, const xlm_ast_name *names, xlm_dim out[XLM_MAX_RANK],
                      int *n) {
  bool ok = true;
  *n = 0;
  for (; names; names = names->next) {
    xlm_dim d = xlm_el_dim(e, f, names->text, names->span);
    ok = d && add(e, d, names->text, names->span, out, n) && ok;
  }
  return ok;
}

bool xlm_el_dim_list(xlm_el *e, xlm_el_frame *f, const xlm_ast_dim *list, bool dots, xlm_span at,
                     xlm_el_shape *out) {
  bool ok = true;
  *out = (xlm_el_shape){0};
  for (; list; list = list->next) {
    if (list->name) {
      xlm_dim d = xlm_el_dim(e, f, list->name, list->span);
      ok = d && add(e, d, list->name, list->span, out->dim, &out->n) && ok;
    } else if (!dots || out->more) {
      xlm_diag *g = xlm_diag_push(e->diags, XLM_E_DOTS, list->span.end ? list->span : at,
                                  dots ? "`..` appears twice in one list" : "`..` has no meaning here");
      xlm_diag_help(e->diags, g, "`..` stands for any other dimensions, once, in the signature of a block");
      ok = false;
    } else {
      out->more = true;
    }
  }
  return ok;
}

const char *xlm_el_dims_text(xlm_el *e, const xlm_dim *d, int n, bool more) {
  xlm_text t = xlm_text_new(e->arena);
  xlm_text_add(&t, more ? n ? "[.., " : "[.." : "[");
  for (int i = 0; i < n; i++) xlm_text_printf(&t, "%s%s", i ? ", " : "", e->g->dims[d[i]].name);
  xlm_text_add(&t, "]");
  return t.data;
}

const char *xlm_el_type_text(xlm_el *e, xlm_val v) {
  const xlm_type *t = xlm_val_type(e->g, v);
  return xlm_el_dims_text(e, t->dim, t->rank, false);
}

const char *xlm_el_ast_text(xlm_el *e, const xlm_ast_dim *list) {
  xlm_text t = xlm_text_new(e->arena);
  xlm_text_add(&t, "[");
  for (const xlm_ast_dim *d = list; d; d = d->next)
    xlm_text_printf(&t, "%s%s", d == list ? "" : ", ", d->name ? d->name : "..");
  xlm_text_add(&t, "]");
  return t.data;
}
