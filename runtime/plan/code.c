// Names and arities of the elementwise functions; see code.h.
#include "runtime/plan/code.h"

static const struct {
  const char *name;
  int arity;
} fn_table[XLM_FN_COUNT] = {
#define XLM_FN(name, NAME, arity, doc) {#name, arity},
#include "ops/elementwise.def"
#undef XLM_FN
};

const char *xlm_fn_name(xlm_fn f) { return fn_table[f].name; }
int xlm_fn_arity(xlm_fn f) { return fn_table[f].arity; }

xlm_fn xlm_fn_of(xlm_op_id op) {
  static const xlm_fn of[XLM_OP_COUNT] = {
#define XLM_FN(name, NAME, arity, doc) [XLM_OP_##NAME] = XLM_FN_##NAME,
#include "ops/elementwise.def"
#undef XLM_FN
  };
  return of[op];
}
