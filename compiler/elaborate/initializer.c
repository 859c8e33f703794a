// Initialisers: kinds with numbers, and formulas of a random draw and of the indices, `log(1 + iota(heads))`.
// A formula is an expression like any other: it is emitted, read back as a program of elements, and its nodes
// are dropped.
#include "compiler/elaborate/elaborate_priv.h"
#include "runtime/plan/code.h"

#include <string.h>

struct xlm_el_drawing {
  const xlm_el_shape *shape;
  xlm_init *init;
  xlm_val drawn; // 0: nothing was drawn yet
};

// --- kinds

static void say_forms(xlm_el *e, xlm_diag *g) {
  xlm_diag_help(
      e->diags, g,
      "write normal(0.02), truncated_normal(0.02, 3), uniform(-0.1, 0.1), constant(2), ones, zeros, or a "
      "formula such as log(1 + iota(d))");
}

static bool bad_initializer(xlm_el *e, const xlm_expr *x, const char *name) {
  const char *names[XLM_INITS];
  for (int i = 0; i < XLM_INITS; i++) names[i] = xlm_enum_name(XLM_ENUM_INIT, i);
  const char *near = name ? xlm_text_nearest(name, names, XLM_INITS) : NULL;
  xlm_diag *g =
      name ? xlm_diag_push(e->diags, XLM_E_INITIALIZER, x->span, "no initialiser is called `%s`", name)
           : xlm_diag_push(e->diags, XLM_E_INITIALIZER, x->span, "this is not an initialiser");
  if (near)
    xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  else
    say_forms(e, g);
  return false;
}

static bool read_numbers(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_init *init) {
  const xlm_arg *a = x->kind == XLM_EXPR_CALL ? x->call.args : NULL;
  const char *name = xlm_enum_name(XLM_ENUM_INIT, init->kind);
  int n = 0, want = xlm_init_numbers(init->kind);
  for (; a; a = a->next, n++) {
    xlm_number v;
    if (a->kind != XLM_ARG_VALUE || n == want) break;
    if (!xlm_el_number(e, f, a->value, "an initialiser", &v)) return false;
    init->x[n] = v.v;
  }
  if (!a && n == want) return true;
  say_forms(e, xlm_diag_push(e->diags, XLM_E_INITIALIZER, x->span, "`%s` takes %d number%s", name, want,
                             want == 1 ? "" : "s"));
  return false;
}

static const char *name_of(const xlm_expr *x) {
  return x->kind == XLM_EXPR_NAME ? x->name.text : x->kind == XLM_EXPR_CALL ? x->call.callee->text : NULL;
}

static bool read_kind(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, int kind, xlm_init *init) {
  init->kind = (xlm_init_kind)kind;
  if (!read_numbers(e, f, x, init)) return false;
  const char *wrong = xlm_init_wrong(init, e->arena);
  if (wrong) say_forms(e, xlm_diag_push(e->diags, XLM_E_INITIALIZER, x->span, "%s", wrong));
  return !wrong;
}

// --- formulas

bool xlm_el_is_draw(const xlm_el *e, const char *name) {
  int kind;
  return e->drawing && xlm_enum_find(XLM_ENUM_INIT, name, &kind) &&
         xlm_init_is_drawn(&(xlm_init){.kind = (xlm_init_kind)kind});
}

// Stands for what is drawn: a leaf with the dimensions of the tensor.
xlm_el_value xlm_el_draw(xlm_el *e, xlm_el_frame *f, const xlm_expr *x) {
  struct xlm_el_drawing *d = e->drawing;
  int kind;
  if (d->drawn) {
    xlm_diag *g =
        xlm_diag_push(e->diags, XLM_E_INITIALIZER, x->span, "a second random draw in one initialiser");
    xlm_diag_help(e->diags, g, "a formula has one: add two parameters that have one each");
    return xlm_el_bad();
  }
  if (!xlm_enum_find(XLM_ENUM_INIT, x->call.callee->text, &kind) || !read_kind(e, f, x, kind, d->init))
    return xlm_el_bad();
  xlm_attr_list l = xlm_attr_list_new(e->arena);
  xlm_attr_put_text(&l, XLM_A_name, x->call.callee->text);
  xlm_attr_put_dims(&l, XLM_A_dims, d->shape->dim, d->shape->n);
  xlm_attr_put_enum(&l, XLM_A_dtype, xlm_el_wide(e));
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_init, .init = *d->init});
  xlm_el_value v = xlm_el_emit(e, XLM_OP_STATE, NULL, 0, &l, x->span);
  d->drawn = v.kind == XLM_EL_TENSOR ? v.val : 0;
  return v;
}

typedef struct program {
  xlm_el *e;
  const struct xlm_el_drawing *d;
  xlm_val first; // of the formula's values
  uint16_t *reg; // by value from `first` on
  xlm_code_instr at[XLM_CODE_MAX];
  int n, n_in;
  const char *wrong;
} program;

static uint16_t push(program *p, xlm_code_instr i) {
  if (p->n == XLM_CODE_MAX) {
    p->wrong = "this initialiser has too many operations";
    return 0;
  }
  p->at[p->n++] = i;
  return (uint16_t)(p->n_in + p->n - 1);
}

// A number is the instruction's immediate if that is unused, else a register.
static uint16_t operand(program *p, xlm_val v, xlm_code_instr *into, bool *used) {
  const xlm_node_info *def = xlm_val_node(p->e->g, v);
  if (!xlm_node_is(def, XLM_LEAF_CONSTANT)) return v >= p->first ? p->reg[v - p->first] : 0;
  double number = xlm_attr_float(&def->attrs, XLM_A_value, 0);
  if (*used) return push(p, (xlm_code_instr){.fn = XLM_FN_NEG, .a = {XLM_CODE_IMM}, .imm = -number});
  *used = true;
  into->imm = number;
  return XLM_CODE_IMM;
}

static uint16_t index_of(program *p, const xlm_node_info *n) {
  xlm_dim d = xlm_val_type(p->e->g, n->out)->dim[0];
  for (int i = 0; i < p->d->shape->n; i++)
    if (p->d->shape->dim[i] == d) return (uint16_t)(i + 1);
  p->wrong = "a formula uses the indices of the tensor's own dimensions only";
  return 0;
}

static uint16_t register_of(program *p, const xlm_node_info *n) {
  if (n->out == p->d->drawn) return 0;
  if (xlm_op_facts_of(n->op)->indices) return index_of(p, n);
  if (xlm_op_casts(n->op)) return operand(p, n->in[0], &(xlm_code_instr){0}, &(bool){true});
  if (!(xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE)) {
    p->wrong = "an initialiser consists of numbers, indices, one random draw and functions of elements";
    return 0;
  }
  xlm_code_instr i = {.fn = (uint16_t)xlm_fn_of(n->op)};
  bool used = false;
  for (int k = 0; k < n->n_in; k++) {
    if (n->in[k] < p->first) p->wrong = "an initialiser cannot depend on other tensors";
    i.a[k] = operand(p, n->in[k], &i, &used);
  }
  return push(p, i);
}

static const xlm_code *code_of(program *p, xlm_node from, xlm_val result) {
  xlm_graph *g = p->e->g;
  for (xlm_node id = from; id < g->n_nodes && !p->wrong; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (!xlm_node_is(n, XLM_LEAF_CONSTANT)) p->reg[n->out - p->first] = register_of(p, n);
  }
  xlm_code *code = XLM_NEW(p->e->arena, xlm_code);
  *code = (xlm_code){.n_in = (uint16_t)p->n_in, .n_out = 1};
  code->out[0] = result >= p->first ? p->reg[result - p->first] : 0;
  code->n = (uint16_t)p->n;
  code->at = xlm_arena_grow(p->e->arena, p->at, (size_t)p->n, (size_t)p->n, sizeof *p->at);
  return code;
}

static bool has_only(const xlm_type *t, const xlm_el_shape *shape) {
  int found = 0;
  for (int i = 0; i < shape->n; i++) found += xlm_type_find(t, shape->dim[i]) >= 0;
  return found == t->rank;
}

static bool read_result(xlm_el *e, const xlm_expr *x, xlm_el_value v, xlm_node node, xlm_val val) {
  struct xlm_el_drawing *d = e->drawing;
  if (v.kind == XLM_EL_NUMBER) return bad_initializer(e, x, NULL);
  if (v.kind != XLM_EL_TENSOR) return false;
  if (!has_only(xlm_val_type(e->g, v.val), d->shape)) {
    xlm_diag_push(e->diags, XLM_E_INITIALIZER, x->span, "this initialiser is %s, and the tensor %s",
                  xlm_el_type_text(e, v.val), xlm_el_dims_text(e, d->shape->dim, d->shape->n, false));
    return false;
  }
  program p = {.e = e, .d = d, .first = val, .n_in = d->shape->n + 1};
  p.reg = XLM_NEW_N(e->arena, uint16_t, e->g->n_values - val + 1);
  if (v.val < val) p.wrong = "an initialiser cannot depend on other tensors";
  d->init->code = code_of(&p, node, v.val);
  if (p.wrong) say_forms(e, xlm_diag_push(e->diags, XLM_E_INITIALIZER, x->span, "%s", p.wrong));
  return !p.wrong;
}

static bool read_formula(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const xlm_el_shape *shape,
                         xlm_init *init) {
  struct xlm_el_drawing drawing = {.shape = shape, .init = init}, *outer = e->drawing;
  xlm_node node = e->g->n_nodes;
  xlm_val val = e->g->n_values;
  e->drawing = &drawing;
  bool ok = read_result(e, x, xlm_el_one(e, f, x), node, val);
  e->drawing = outer;
  e->g->n_nodes = node, e->g->n_values = val;
  return ok;
}

bool xlm_el_initializer(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const xlm_el_shape *shape,
                        xlm_init *init) {
  int kind;
  xlm_number c;
  *init = (xlm_init){0};
  if (!x) return true;
  const char *name = name_of(x);
  if (name && xlm_enum_find(XLM_ENUM_INIT, name, &kind)) return read_kind(e, f, x, kind, init);
  if (x->kind == XLM_EXPR_IF)
    return xlm_el_condition(e, f, x->cond.cond, &c) &&
           xlm_el_initializer(e, f, c.v != 0 ? x->cond.then : x->cond.otherwise, shape, init);
  bool known = !name || xlm_op_find(name) || xlm_num_find(name) || xlm_dict_get(&e->blocks, name);
  return known ? read_formula(e, f, x, shape, init) : bad_initializer(e, x, name);
}

// --- formulas of `value`

static xlm_val value_leaf(xlm_el *e, const xlm_el_shape *shape, const xlm_expr *x) {
  xlm_attr_list l = xlm_attr_list_new(e->arena);
  xlm_attr_put_text(&l, XLM_A_name, "value");
  xlm_attr_put_dims(&l, XLM_A_dims, shape->dim, shape->n);
  xlm_attr_put_enum(&l, XLM_A_dtype, xlm_el_wide(e));
  xlm_attr_put(&l, (xlm_attr){.key = XLM_A_init, .init = {0}});
  xlm_el_value v = xlm_el_emit(e, XLM_OP_STATE, NULL, 0, &l, x->span);
  return v.kind == XLM_EL_TENSOR ? v.val : 0;
}

static xlm_el_value eval_of_value(xlm_el *e, const xlm_expr *x, xlm_val leaf) {
  xlm_el_frame *f = XLM_NEW(e->arena, xlm_el_frame);
  *f = (xlm_el_frame){.parent = &e->global, .kind = XLM_FRAME_ROUND, .path = ""};
  xlm_el_symbol *s = xlm_el_define(e, f, XLM_SYM_VALUE, "value", x->span);
  s->value = (xlm_el_value){.kind = XLM_EL_TENSOR, .val = leaf};
  if (s->use) s->use->read = true;
  return xlm_el_one(e, f, x);
}

static const xlm_code *code_of_value(xlm_el *e, const xlm_expr *x, const struct xlm_el_drawing *d,
                                     xlm_node node, xlm_val val) {
  uint32_t errors = e->diags->errors;
  xlm_el_value v = eval_of_value(e, x, d->drawn);
  program p = {.e = e, .d = d, .first = val, .n_in = 1};
  p.reg = XLM_NEW_N(e->arena, uint16_t, e->g->n_values - val + 1);
  bool is_own = v.kind == XLM_EL_TENSOR && v.val >= val;
  const xlm_code *code = is_own ? code_of(&p, node, v.val) : NULL;
  if (code && !p.wrong) return code;
  if (e->diags->errors == errors)
    xlm_diag_push(e->diags, XLM_E_WEIGHT_VALUE, x->span,
                  "the stored value is a formula of `value`, numbers and functions of elements");
  return NULL;
}

const xlm_code *xlm_el_of_value(xlm_el *e, const xlm_expr *x, const xlm_type *t) {
  xlm_el_shape shape = {.n = t->rank}, none = {.n = 0}; // no indices
  memcpy(shape.dim, t->dim, sizeof t->dim);
  struct xlm_el_drawing d = {.shape = &none, .init = &(xlm_init){0}}, *outer = e->drawing;
  xlm_node node = e->g->n_nodes;
  xlm_val val = e->g->n_values;
  e->drawing = &d;
  d.drawn = value_leaf(e, &shape, x);
  const xlm_code *code = d.drawn ? code_of_value(e, x, &d, node, val) : NULL;
  e->drawing = outer;
  e->g->n_nodes = node, e->g->n_values = val;
  return code;
}
