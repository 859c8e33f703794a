// Is every op of ops.def complete? Rules, documentation, gradient or a reason for none, kernels on both
// backends, cases.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/pass/layout.h"
#include "tests/ops/run_op.h"

typedef struct op_form {
  const char *name, *form;
} op_form;

static const op_form forms[XLM_OP_COUNT] = {
#define XLM_OP(name, NAME, room, form) [XLM_OP_##NAME] = {#name, #form},
#include "ops/ops.def"
#undef XLM_OP
};

static int demand(bool ok, int op, const char *what) {
  if (!ok) print_error("op `%s` lacks %s\n", forms[op].name, what);
  return !ok;
}

static bool kernel_of(const xlm_backend *b, xlm_op_id op) {
  const xlm_kernel *k = b->find(NULL, op);
  return k && k->run && k->op == op;
}

static bool has_text(const char *s) {
  return s && *s;
}

static int check_rules(int i, const xlm_op *op) {
  bool internal = op->flags & XLM_OPF_INTERNAL, leaf = op->facts.leaf;
  int bad = demand(op->name && !strcmp(op->name, forms[i].name), i, "its own name");
  bad += demand(has_text(op->doc), i, "documentation");
  bad += demand(op->infer, i, "inference");
  bad += demand(has_text(op->layout), i, "a layout rule");
  bad += demand(leaf || (op->grad != NULL) != has_text(op->no_grad), i,
                "a gradient or (not and) a reason for none");
  bad += demand(internal || leaf || op->params, i, "parameters, though the language can call it");
  return bad;
}

static void rules_are_complete(void **state) {
  (void)state;
  int bad = 0;
  for (int i = 1; i < XLM_OP_COUNT; i++) bad += check_rules(i, xlm_op_table[i]);
  assert_int_equal(bad, 0);
}

// Facts and layout rule speak of the same things and must not contradict each other.
static int check_facts(int i, const xlm_op *op) {
  const xlm_op_facts *f = xlm_op_facts_of((xlm_op_id)i);
  xlm_layout_rule r = xlm_layout_parse(op);
  int bad = demand(f == &op->facts, i, "its facts");
  for (int k = 0; k < r.n_keys; k++) {
    bool apart = r.key[k].rule == XLM_SPLIT_SUM || r.key[k].rule == XLM_SPLIT_WHOLE;
    bad += demand(!apart || f->mixes >> r.key[k].key & 1, i,
                  "the fact that it mixes along a dimension which its layout rule sums or keeps whole");
  }
  bad += demand((xlm_comm_of((xlm_op_id)i) != NULL) == (f->comm != XLM_COMM_NONE), i,
                "what follows from its form");
  bad += demand(!f->comm || (f->converts_layout && op->flags & XLM_OPF_INTERNAL), i,
                "a form that fits its flags");
  int most = op->max_in < 0 ? 255 : op->max_in;
  bad +=
      demand(f->index <= most && f->targets <= most && f->valid <= most, i, "the operand that a fact names");
  bad += demand(!f->accumulating || (xlm_op_at(f->accumulating)->n_alias == 1 &&
                                     xlm_op_at(f->accumulating)->max_in == op->max_in + 1),
                i, "an accumulating form with one operand more");
  return bad + demand(!op->cut || r.n_keys, i, "a dimension to be cut along");
}

static void facts_are_consistent(void **state) {
  (void)state;
  int bad = 0;
  for (int i = 1; i < XLM_OP_COUNT; i++) bad += check_facts(i, xlm_op_table[i]);
  assert_int_equal(bad, 0);
  xlm_attr over = {.key = XLM_A_over, .n = 1, .dims = {3}};
  assert_false(xlm_op_is_local(XLM_OP_SOFTMAX, &(xlm_attrs){1, &over}, 3));
  assert_true(xlm_op_is_local(XLM_OP_SOFTMAX, &(xlm_attrs){1, &over}, 4));
}

static void kernels_are_complete(void **state) {
  (void)state;
  int bad = 0;
  for (int i = 1; i < XLM_OP_COUNT; i++) {
    if (strcmp(forms[i].form, "kernel")) continue;
    bad += demand(kernel_of(xlm_backend_find("cpu"), (xlm_op_id)i), i, "a cpu kernel");
    bad += demand(kernel_of(xlm_backend_find("ref"), (xlm_op_id)i), i, "a reference kernel");
  }
  assert_int_equal(bad, 0);
}

static void cases_are_complete(void **state) {
  (void)state;
  bool covered[XLM_OP_COUNT] = {false};
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  for (int f = 0; op_case_files[f]; f++)
    for (int i = 0; i < op_case_files[f]->n; i++) op_case_cover(&op_case_files[f]->at[i], a, covered);
  int bad = 0;
  for (int i = 1; i < XLM_OP_COUNT; i++)
    if (strcmp(forms[i].form, "leaf")) bad += demand(covered[i], i, "a test case");
  xlm_arena_free(a);
  assert_int_equal(bad, 0);
}

static void names_are_found(void **state) {
  (void)state;
  for (int i = 1; i < XLM_OP_COUNT; i++) assert_int_equal(xlm_op_find(forms[i].name), i);
  assert_int_equal(xlm_op_find("no_such_op"), XLM_OP_NONE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules_are_complete),   cmocka_unit_test(facts_are_consistent),
      cmocka_unit_test(kernels_are_complete), cmocka_unit_test(cases_are_complete),
      cmocka_unit_test(names_are_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
