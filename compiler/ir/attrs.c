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
    return xlm_arena_printf(c->a, "`%s` names %d dimensions, not %d to %d", key, a->n, r->least, r->most);
  const xlm_type *t = r->of ? owner(c, r->of) : NULL;
  for (int i = 0; i < a->n; i++) {
    if (!a->dims[i] || a->dims[i] >= c->g->n_dims)
      return xlm_arena_printf(c->a, "`%s` names a dimension that does not exist", key);
    for (int k = 0; r->of && k < i; k++)
      if (a->dims[k] == a->dims[i])
        return xlm_arena_printf(c->a, "`%s` names `%.100s` twice", key, c->g->dims[a->dims[i]].name);
    if (r->of && (!t || xlm_type_find(t, a->dims[i]) < 0))
      return xlm_arena_printf(c->a, "`%s` names `%.100s`, which %s %d does not have", key,
                              c->g->dims[a->dims[i]].name, r->of > 0 ? "operand" : "result",
                              r->of > 0 ? r->of : -r->of);
  }
  return NULL;
}

static const char *wrong_number(const check *c, const xlm_attr_rule *r, const xlm_attr *a) {
  if (r->low == r->high) return NULL;
  double v = xlm_attr_kind_of(a->key) == XLM_ATTR_INT ? (double)a->i : a->f;
  if (v >= r->low && v <= r->high) return NULL;
  return xlm_arena_printf(c->a, "`%s` is %g, not between %g and %g", xlm_attr_name(a->key), v, r->low,
                          r->high);
}

static const char *wrong_attr(const check *c, const xlm_attr *a) {
  const xlm_attr_rule *r = rule_of(c->op, a->key);
  xlm_attr_kind kind = xlm_attr_kind_of(a->key);
  bool leaf = c->op->facts.leaf; // kernels do not read the attributes of leaves
  if (!r) return leaf ? NULL : xlm_arena_printf(c->a, "it takes no attribute `%s`", xlm_attr_name(a->key));
  if (kind == XLM_ATTR_DIMS) return wrong_dims(c, r, a);
  return kind == XLM_ATTR_INT || kind == XLM_ATTR_FLOAT ? wrong_number(c, r, a) : NULL;
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
  return NULL;
}

int xlm_attrs_differ(const xlm_attrs *have, const xlm_attrs *inferred) {
  for (int i = 0; i < inferred->n; i++) {
    const xlm_attr *x = &inferred->at[i], *y = xlm_attr_find(have, x->key);
    if (!y || !xlm_attr_same(x, y)) return (int)x->key;
  }
  return -1;
}
