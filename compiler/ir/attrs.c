// Checks the attributes of a node or instruction against the declaration of its operation; see xlm_attr_rule
// in op.h.
#include <string.h>

#include "compiler/ir/op.h"

typedef struct check {
  const xlm_op *op;
  const xlm_graph *g;
  const xlm_val *in, *out;
  int n_in, n_out;
  xlm_arena *a;
} check;

static const xlm_attr_rule *rule_of(const xlm_op *op, xlm_attr_key key) {
  for (int i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].key == key) return &op->attrs[i];
  return NULL;
}

static const xlm_type *owner(const check *c, int8_t of) {
  int i = of > 0 ? of - 1 : -1 - of;
  if (i >= (of > 0 ? c->n_in : c->n_out)) return NULL;
  return xlm_val_type(c->g, of > 0 ? c->in[i] : c->out[i]);
}

static const char *wrong_dims(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  const char *key = xlm_attr_name(a->key);
  if (a->n < r->least || a->n > r->most)
    return xlm_arena_printf(c->a, "`%s` names %u dimensions, not %d to %d", key, a->n, r->least, r->most);
  const xlm_type *t = r->of ? owner(c, r->of) : NULL;
  for (uint32_t i = 0; i < a->n; i++) {
    if (!a->dims[i] || a->dims[i] >= c->g->n_dims)
      return xlm_arena_printf(c->a, "`%s` names a dimension that does not exist", key);
    for (uint32_t k = 0; r->of && k < i; k++)
      if (a->dims[k] == a->dims[i])
        return xlm_arena_printf(c->a, "`%s` names `%.100s` twice", key, c->g->dims[a->dims[i]].name);
    if (r->of && (!t || xlm_type_find(t, a->dims[i]) < 0))
      return xlm_arena_printf(c->a, "`%s` names `%.100s`, which %s %d does not have", key,
                              c->g->dims[a->dims[i]].name, r->of > 0 ? "operand" : "result",
                              r->of > 0 ? r->of : -r->of);
  }
  return NULL;
}

static const char *wrong_number(const check *c, const xlm_attr_rule *r, double v) {
  if (r->low == r->high || (v >= r->low && v <= r->high)) return NULL;
  return xlm_arena_printf(c->a, "`%s` is %g, not between %g and %g", xlm_attr_name(r->key), v, r->low,
                          r->high);
}

static const char *wrong_int(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  return wrong_number(c, r, (double)a->i);
}
static const char *wrong_float(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  return wrong_number(c, r, a->f);
}

static const char *wrong_value(const check *c, const xlm_attr_rule *r, int64_t v) {
  xlm_enum set = xlm_attr_set_of(r->key);
  const char *name = xlm_enum_name(set, v);
  if (name && (!r->among || r->among >> v & 1)) return NULL;
  xlm_text names = xlm_text_new(c->a);
  xlm_enum_list(set, r->among, &names);
  return xlm_arena_printf(c->a, "`%s` is %s, not one of %s", xlm_attr_name(r->key), name ? name : "unknown",
                          names.data);
}

static const char *wrong_enum(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  return wrong_value(c, r, a->i);
}

static const char *wrong_ints(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  bool named = xlm_attr_set_of(a->key) != XLM_ENUM_NONE;
  if (a->n < r->least)
    return xlm_arena_printf(c->a, "`%s` lists %u entries, not %d or more", xlm_attr_name(a->key), a->n,
                            r->least);
  const char *wrong = NULL;
  for (uint32_t i = 0; i < a->n && !wrong; i++)
    wrong = named ? wrong_value(c, r, a->ints[i]) : wrong_number(c, r, (double)a->ints[i]);
  return wrong;
}

static const char *wrong_init(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  const char *wrong = xlm_init_wrong(&a->init, c->a);
  return wrong ? xlm_arena_printf(c->a, "`%s`: %s", xlm_attr_name(r->key), wrong) : NULL;
}

static const char *wrong_axes(const check *c, const xlm_override *s) {
  for (int i = 0; i < s->n_axes; i++)
    for (int k = 0; k < i; k++)
      if (!strcmp(s->axis[i], s->axis[k]))
        return xlm_arena_printf(c->a, "`split` splits `%.100s` over `%.100s` twice", s->dim, s->axis[i]);
  return NULL;
}

static const char *wrong_split(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  const xlm_type *t = owner(c, r->of);
  for (uint32_t i = 0; i < a->n; i++) {
    int at = 0;
    while (t && at < t->rank && strcmp(c->g->dims[t->dim[at]].name, a->split[i].dim)) at++;
    if (!t || at == t->rank)
      return xlm_arena_printf(c->a, "`split` names `%.100s`, which it does not have", a->split[i].dim);
    for (uint32_t k = 0; k < i; k++)
      if (!strcmp(a->split[i].dim, a->split[k].dim))
        return xlm_arena_printf(c->a, "`split` names `%.100s` twice", a->split[i].dim);
    const char *wrong = wrong_axes(c, &a->split[i]);
    if (wrong) return wrong;
  }
  return NULL;
}

static const char *wrong_attr(const check *c, const xlm_attr *a) {
  static const char *(*const wrong[XLM_ATTR_KINDS])(const check *, const xlm_attr_rule *,
                                                    const xlm_attr *) = {
      [XLM_ATTR_INT] = wrong_int,     [XLM_ATTR_FLOAT] = wrong_float, [XLM_ATTR_ENUM] = wrong_enum,
      [XLM_ATTR_INTS] = wrong_ints,   [XLM_ATTR_DIMS] = wrong_dims,   [XLM_ATTR_INIT] = wrong_init,
      [XLM_ATTR_SPLIT] = wrong_split, [XLM_ATTR_TEXT] = NULL,         [XLM_ATTR_CODE] = NULL};
  const xlm_attr_rule *r = rule_of(c->op, a->key);
  if (!r) return xlm_arena_printf(c->a, "it takes no attribute `%s`", xlm_attr_name(a->key));
  return wrong[xlm_attr_kind_of(a->key)] ? wrong[xlm_attr_kind_of(a->key)](c, r, a) : NULL;
}

// The optional operands are the last ones, each at most once.
static const char *wrong_operands(const check *c, const xlm_attrs *as) {
  const xlm_attr *a = xlm_attr_find(as, XLM_A_operands);
  int n = a ? (int)a->n : 0;
  if (rule_of(c->op, XLM_A_operands) && n != c->n_in - c->op->min_in)
    return xlm_arena_printf(c->a, "`operands` lists %d of %d", n, c->n_in - c->op->min_in);
  for (int i = 1; i < n; i++)
    if (a->ints[i] <= a->ints[i - 1]) return "`operands` is not in order";
  return NULL;
}

const char *xlm_op_attrs_wrong(const xlm_op *op, const xlm_graph *g, const xlm_attrs *as, int n_in,
                               const xlm_val *in, int n_out, const xlm_val *out, xlm_arena *a) {
  check c = {op, g, in, out, n_in, n_out, a};
  for (int i = 0; i < as->n; i++) {
    const char *wrong = wrong_attr(&c, &as->at[i]);
    if (wrong) return wrong;
    if (i && as->at[i].key <= as->at[i - 1].key) return "its attributes are not in order";
  }
  for (int i = 0; i < op->n_attrs; i++)
    if (!op->attrs[i].may && !xlm_attr_find(as, op->attrs[i].key))
      return xlm_arena_printf(a, "it lacks the attribute `%s`", xlm_attr_name(op->attrs[i].key));
  return wrong_operands(&c, as);
}

int xlm_attrs_differ(const xlm_attrs *have, const xlm_attrs *inferred) {
  for (int i = 0; i < inferred->n; i++) {
    const xlm_attr *x = &inferred->at[i], *y = xlm_attr_find(have, x->key);
    if (!y || !xlm_attr_same(x, y)) return (int)x->key;
  }
  return -1;
}
