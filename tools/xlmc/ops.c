// xlmc ops: the op reference as Markdown, generated from the definitions of the ops. docs/ops.md is its
// output.
#include <stdio.h>
#include <string.h>

#include "compiler/ir/signature.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_ops_usage[] =
    "usage: xlmc ops [NAME...]\n\n"
    "The reference of operations, as Markdown; of all without a name (docs/ops.md).\n";

static const char *const rooms[XLM_OP_COUNT] = {
#define XLM_OP(name, NAME, room, form) [XLM_OP_##NAME] = room,
#include "ops/ops.def"
#undef XLM_OP
};

static void signature(const xlm_op *op) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t = xlm_text_new(a);
  xlm_op_signature(op, &t, NULL);
  printf("### `%s`\n\n", t.data);
  xlm_arena_free(a);
}

// ---- attributes

static void count(int n, const char *what) {
  printf("%d %s%s", n, what, n == 1 ? "" : "s");
}

static void dims(const xlm_attr_rule *r) {
  if (r->least != r->most) printf("%d to ", r->least);
  count(r->most, "dimension");
  if (r->of) printf(" of %s %d", r->of > 0 ? "operand" : "result", r->of > 0 ? r->of : -r->of);
}

static void range(const char *what, const xlm_attr_rule *r) {
  bool low = r->low != r->high && r->low > -XLM_ATTR_MOST,
       high = r->low != r->high && r->high < XLM_ATTR_MOST;
  printf("%s", what);
  if (low) printf(high ? ", %g" : ", at least %g", r->low);
  if (high) printf(low ? " to %g" : ", at most %g", r->high);
}

static void names(const xlm_attr_rule *r) {
  xlm_enum set = xlm_attr_set_of(r->key);
  bool first = true;
  for (int i = 0; i < xlm_enum_end(set); i++) {
    if (!xlm_enum_name(set, i) || (r->among && !(r->among >> i & 1))) continue;
    printf("%s`%s`", first ? "" : ", ", xlm_enum_name(set, i));
    first = false;
  }
}

static void value(const xlm_attr_rule *r) {
  static const char *const what[XLM_ATTR_KINDS] = {[XLM_ATTR_INT] = "integer",
                                                   [XLM_ATTR_FLOAT] = "number",
                                                   [XLM_ATTR_INTS] = "list of integers",
                                                   [XLM_ATTR_INIT] = "initialiser",
                                                   [XLM_ATTR_SPLIT] = "list of dimensions and mesh axes",
                                                   [XLM_ATTR_TEXT] = "text",
                                                   [XLM_ATTR_CODE] = "program"};
  xlm_attr_kind kind = xlm_attr_kind_of(r->key);
  bool named = xlm_attr_set_of(r->key) != XLM_ENUM_NONE;
  if (kind == XLM_ATTR_DIMS) {
    dims(r);
  } else if (named) {
    printf(kind == XLM_ATTR_INTS ? "list of " : "one of ");
    names(r);
  } else {
    range(what[kind], r);
  }
}

static bool is_left_out(const xlm_op *op, const xlm_attr_rule *r) { // by the language; inference sets it
  for (const xlm_param *p = op->params; p && p->name; p++)
    if (p->key == r->key && p->kind != XLM_P_TENSOR && p->kind != XLM_P_REST && p->kind != XLM_P_NAMED)
      return !p->required;
  return op->params != NULL;
}

static void without(const xlm_op *op, const xlm_attr_rule *r) {
  xlm_attr_kind kind = xlm_attr_kind_of(r->key);
  if (!r->may)
    printf(is_left_out(op, r) ? "follows from the operands" : "required");
  else if (r->without)
    printf("%s", r->without);
  else if (kind == XLM_ATTR_ENUM)
    printf("`%s`", xlm_enum_name(xlm_attr_set_of(r->key), (int64_t)r->unset));
  else if (kind == XLM_ATTR_INT || kind == XLM_ATTR_FLOAT)
    printf("%g", r->unset);
  else
    printf("none");
}

static void attributes(const xlm_op *op) {
  if (!op->n_attrs) return;
  printf("| attribute | value | without it | meaning |\n|---|---|---|---|\n");
  for (int i = 0; i < op->n_attrs; i++) {
    printf("| `%s` | ", xlm_attr_name(op->attrs[i].key));
    value(&op->attrs[i]);
    printf(" | ");
    without(op, &op->attrs[i]);
    printf(" | %s |\n", xlm_attr_doc(op->attrs[i].key));
  }
  printf("\n");
}

static void entry(const xlm_op *op) {
  if (op->flags & XLM_OPF_INTERNAL)
    printf("### %s (internal)\n\n", op->name);
  else
    signature(op);
  printf("%s\n\n", op->doc);
  printf("Layout: `%s`.", op->layout);
  if (!op->grad && op->no_grad) printf(" No gradient: %s.", op->no_grad);
  printf("\n\n");
  attributes(op);
}

// What the names mean that attributes have as values.
static void meanings(void) {
  bool shown[XLM_ENUMS] = {true}; // not XLM_ENUM_NONE
  printf("## Named values\n\n");
  for (int k = 0; k < XLM_ATTR_KEYS; k++) {
    xlm_enum set = xlm_attr_set_of((xlm_attr_key)k);
    if (shown[set]) continue;
    shown[set] = true;
    printf("| %s | meaning |\n|---|---|\n", xlm_enum_what(set));
    for (int i = 0; i < xlm_enum_end(set); i++)
      if (xlm_enum_name(set, i)) printf("| `%s` | %s |\n", xlm_enum_name(set, i), xlm_enum_doc(set, i));
    printf("\n");
  }
}

static int unknown(const char *name) {
  const char *names[XLM_OP_COUNT];
  for (int i = 1; i < XLM_OP_COUNT; i++) names[i - 1] = xlm_op_at((xlm_op_id)i)->name;
  const char *near = xlm_text_nearest(name, names, XLM_OP_COUNT - 1);
  fprintf(stderr,
          near ? "xlmc: there is no operation `%s`; did you mean `%s`?\n"
               : "xlmc: there is no operation `%s`; `xlmc ops` lists all\n",
          name, near);
  return XLMC_USER;
}

static int some(int n, char *const *names) {
  for (int k = 0; k < n; k++) {
    int i = 1;
    while (i < XLM_OP_COUNT && strcmp(xlm_op_at((xlm_op_id)i)->name, names[k])) i++;
    if (i == XLM_OP_COUNT) return unknown(names[k]);
    entry(xlm_op_at((xlm_op_id)i));
  }
  return XLMC_OK;
}

int xlmc_ops(int argc, char *const *argv) {
  if (argc > 0) return some(argc, argv);
  printf("# Operations\n\nGenerated by `xlmc ops`. A layout rule reads: operands -> results | what a split "
         "of a dimension means "
         "(`sum`: the result is a partial sum; `whole`: it must not be split; `index`, `place`: the kernel "
         "works with the "
         "offset of its part); `+` marks an operand whose partial sums pass to the result with the other "
         "`+`. `*` "
         "stands for all other dimensions, which are split freely.\n");
  const char *room = "";
  for (int i = 1; i < XLM_OP_COUNT; i++) {
    if (strcmp(room, rooms[i])) printf("\n## %s\n\n", rooms[i]);
    room = rooms[i];
    entry(xlm_op_at((xlm_op_id)i));
  }
  meanings();
  return XLMC_OK;
}
