// The layout of an external tensor: which indices of it are which indices of the parameter.
//
// Every external dimension is a product of factors, outermost first: a dimension of the parameter, a factor
// of one (`where heads = kv_heads group`), or a part: one of several slots, of one index each or of given
// sizes. A part with sizes contains the parameter's dimensions that its own size names.
#include <ctype.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

typedef struct piece { // a dimension of the parameter, or a factor of one
  const char *name;
  xlm_dim dim;
  int64_t size, step;
  bool whole, used;
} piece;

typedef struct reader {
  xlm_el *e;
  const xlm_weight *w;
  const xlm_type *type;
  xlm_plan_weight *m;
  xlm_external_layout *out;
  piece pieces[2 * XLM_MAX_RANK];
  int n_pieces;
  xlm_plan_factor factors[XLM_MAX_FACTORS];
  int n;
} reader;

static bool bad_layout_with(reader *r, xlm_span at, const char *help, const char *fmt, const char *name) {
  xlm_el *e = r->e;
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_WEIGHT_LAYOUT, at, fmt, name);
  xlm_diag_label(e->diags, g, r->w->path_span, "the parameter is %s",
                 xlm_el_dims_text(e, r->type->dim, r->type->rank, false));
  xlm_diag_help(e->diags, g, "%s", help);
  return false;
}

static bool bad_layout(reader *r, xlm_span at, const char *fmt, const char *name) {
  return bad_layout_with(r, at,
                         "the layout names each dimension once, except one that is {..} in the name; `heads "
                         "head` merges two",
                         fmt, name);
}

// --- the parameter's dimensions, and their factors

static bool size_of_name(reader *r, const xlm_ast_name *n, int64_t *out) {
  if (xlm_el_whole_number(r->e, n->text, out) && *out > 0) return true;
  return bad_layout(r, n->span, "`%s` is not a dimension of the model, or a number", n->text);
}

static bool add_split(reader *r, const xlm_weight_split *s) {
  xlm_dim dim = xlm_el_type_dim(r->e, r->type, s->dim->text);
  int64_t left = dim ? r->e->g->dims[dim].size : 0, size, all = left;
  if (!dim || dim == r->m->each)
    return bad_layout(r, s->dim->span, "the parameter has no dimension `%s`", s->dim->text);
  for (const xlm_ast_name *n = s->to; n; n = n->next) {
    if (!size_of_name(r, n, &size)) return false;
    if (left % size || r->n_pieces == 2 * XLM_MAX_RANK) break;
    left /= size;
    r->pieces[r->n_pieces++] = (piece){.name = n->text, .dim = dim, .size = size, .step = left};
  }
  if (left == 1) return true;
  return bad_layout(
      r, s->dim->span,
      xlm_arena_printf(r->e->arena,
                       "`%%s` has %lld indices, and the product of its factors is another number",
                       (long long)all),
      s->dim->text);
}

static bool is_split(const reader *r, xlm_dim d) {
  for (const xlm_weight_split *s = r->w->splits; s; s = s->next)
    if (xlm_el_type_dim(r->e, r->type, s->dim->text) == d) return true;
  return false;
}

static bool find_pieces(reader *r) {
  for (const xlm_weight_split *s = r->w->splits; s; s = s->next)
    if (!add_split(r, s)) return false;
  for (int i = 0; i < r->type->rank; i++) {
    xlm_dim d = r->type->dim[i];
    if (d != r->m->each && !is_split(r, d))
      r->pieces[r->n_pieces++] = (piece){
          .name = r->e->g->dims[d].name, .dim = d, .size = r->e->g->dims[d].size, .step = 1, .whole = true};
  }
  return true;
}

// --- factors

static bool add_factor(reader *r, xlm_plan_factor f, xlm_span at) {
  if (r->n == XLM_MAX_FACTORS) return bad_layout(r, at, "the layout has too many factors%s", "");
  r->factors[r->n++] = f;
  return true;
}

static bool add_dim(reader *r, int group, const char *name, xlm_span at) {
  for (int i = 0; i < r->n_pieces; i++) {
    piece *p = &r->pieces[i];
    if (strcmp(p->name, name)) continue;
    if (p->used) return bad_layout(r, at, "`%s` appears twice", name);
    p->used = true;
    return add_factor(
        r,
        (xlm_plan_factor){
            .group = (uint8_t)group, .dim = p->dim, .size = p->whole ? 0 : p->size, .step = p->step},
        at);
  }
  bool each = r->m->each && !strcmp(r->e->g->dims[r->m->each].name, name);
  return bad_layout(r, at, each ? "`%s` appears twice" : "the parameter has no dimension `%s`", name);
}

// The dimensions of the parameter's own slot.
static bool add_own(reader *r, int group, const xlm_weight_size *size) {
  for (const xlm_ast_name *n = size->terms; n; n = n->next) {
    if (!strcmp(n->text, "1")) continue;
    if (isdigit((unsigned char)*n->text))
      return bad_layout(r, n->span, "the parameter's own slot has the sizes of its dimensions, not %s",
                        n->text);
    if (!add_dim(r, group, n->text, n->span)) return false;
  }
  return true;
}

static bool add_part(reader *r, int group, const xlm_weight_factor *f) {
  xlm_external_layout *o = r->out;
  if (o->parts)
    return bad_layout_with(r, f->span,
                           "slots of one tensor lie along one dimension; another dimension of one index is a "
                           "factor: `dim one = 1`, and `where hidden = one hidden` behind the layout",
                           "a layout has one part%s", "");
  *o = (xlm_external_layout){
      .part = f->part, .parts = f->parts, .begin = XLM_NEW_N(r->e->arena, int64_t, f->parts + 1)};
  const xlm_weight_size *own = NULL, *x = f->sizes;
  for (int i = 0; i < f->parts; i++, x = x ? x->next : NULL) {
    int64_t size = 1, factor;
    for (const xlm_ast_name *n = x ? x->terms : NULL; n; n = n->next) {
      if (!size_of_name(r, n, &factor)) return false;
      if (__builtin_mul_overflow(size, factor, &size) || size > INT32_MAX)
        return bad_layout(r, n->span, "the slot is too large%s", "");
    }
    if (i == f->part) own = x;
    o->begin[i + 1] = o->begin[i] + size;
  }
  int at = r->n;
  xlm_plan_factor part = {.group = (uint8_t)group, .at = o->begin[f->part], .of = o->begin[f->parts]};
  if (!add_factor(r, part, f->span) || (own && !add_own(r, group, own))) return false;
  r->factors[at].n = (uint8_t)(r->n - at - 1);
  return true;
}

static bool read_groups(reader *r) {
  int group = 0;
  for (const xlm_weight_group *g = r->w->layout; g; g = g->next, group++) {
    if (group == XLM_MAX_RANK) return bad_layout(r, g->span, "the layout has more than 8 groups%s", "");
    for (const xlm_weight_factor *f = g->factors; f; f = f->next)
      if (!(f->dim ? add_dim(r, group, f->dim, f->span) : add_part(r, group, f))) return false;
  }
  r->m->n_groups = (uint8_t)group;
  for (int i = 0; i < r->n_pieces; i++)
    if (!r->pieces[i].used)
      return bad_layout(r, r->w->external_span, "the layout leaves out `%s`", r->pieces[i].name);
  return true;
}

static void own_groups(reader *r) { // without a layout
  for (int i = 0; i < r->n_pieces; i++)
    r->factors[r->n++] = (xlm_plan_factor){.group = (uint8_t)i, .dim = r->pieces[i].dim, .step = 1};
  r->m->n_groups = (uint8_t)r->n_pieces;
}

// --- the shape of the external tensor

static int64_t extent(const reader *r, const xlm_plan_factor *f) {
  return f->size ? f->size : r->e->g->dims[f->dim].size;
}

static void set_shape(reader *r) {
  xlm_external_layout *o = r->out;
  int64_t stride = 1, own = 1;
  o->rank = r->m->n_groups;
  for (int i = 0; i < o->rank; i++) o->shape[i] = 1;
  for (int i = r->n - 1; i >= 0; i--) {
    const xlm_plan_factor *f = &r->factors[i];
    int64_t size = f->dim ? extent(r, f) : f->of;
    if (!f->dim) {
      for (int k = 1; k <= f->n; k++) own *= extent(r, &r->factors[i + k]);
      stride /= own;
      o->shape[f->group] /= own;
      o->stride = stride;
    }
    o->shape[f->group] *= size;
    stride *= size;
  }
}

bool xlm_el_layout(xlm_el *e, const xlm_weight *w, const xlm_type *t, xlm_plan_weight *m,
                   xlm_external_layout *out) {
  *out = (xlm_external_layout){0};
  reader r = {.e = e, .w = w, .type = t, .m = m, .out = out};
  if (!find_pieces(&r)) return false;
  if (!w->layout_set)
    own_groups(&r);
  else if (!read_groups(&r))
    return false;
  set_shape(&r);
  xlm_plan_factor *factors = XLM_NEW_N(e->arena, xlm_plan_factor, r.n);
  memcpy(factors, r.factors, (size_t)r.n * sizeof *factors);
  m->factors = factors;
  m->n_factors = (uint8_t)r.n;
  return true;
}

bool xlm_el_same_external(const xlm_external_layout *a, const xlm_external_layout *b) {
  return a->parts == b->parts && a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof a->shape) &&
         a->stride == b->stride && !memcmp(a->begin, b->begin, (size_t)(a->parts + 1) * sizeof *a->begin);
}

const char *xlm_el_external_text(xlm_el *e, const xlm_external_layout *l) {
  xlm_text t = xlm_text_new(e->arena);
  for (int i = 0; i < l->rank; i++) xlm_text_printf(&t, "%s%lld", i ? ", " : "[", (long long)l->shape[i]);
  xlm_text_add(&t, "], slots of ");
  for (int i = 0; i < l->parts && i < 8; i++)
    xlm_text_printf(&t, "%s%lld", i ? ", " : "", (long long)((l->begin[i + 1] - l->begin[i]) * l->stride));
  xlm_text_add(&t, l->parts > 8 ? ", .. elements" : " elements");
  return t.data;
}
