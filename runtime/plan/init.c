// See init.h.
#include "runtime/plan/init.h"

#include <float.h>
#include <math.h>

int xlm_init_numbers(xlm_init_kind kind) {
  static const int of[XLM_INITS] = {
#define XLM_INIT(name, NAME, numbers, doc) [XLM_INIT_##NAME] = numbers,
#include "runtime/plan/enum.def"
  };
  return of[kind];
}

const char *xlm_init_wrong(const xlm_init *init, xlm_arena *a) {
  const double *x = init->x;
  bool drawn = init->kind == XLM_INIT_NORMAL || init->kind == XLM_INIT_UNIFORM;
  for (int i = 0; drawn && i < xlm_init_numbers(init->kind); i++)
    if (!(fabs(x[i]) <= FLT_MAX)) return xlm_arena_printf(a, "%g is no number of f32", x[i]);
  if (init->kind == XLM_INIT_NORMAL && x[0] < 0)
    return xlm_arena_printf(a, "the standard deviation %g is negative", x[0]);
  if (init->kind == XLM_INIT_UNIFORM && x[0] > x[1])
    return xlm_arena_printf(a, "the lower bound %g lies above the upper bound %g", x[0], x[1]);
  return NULL;
}

void xlm_init_print(const xlm_init *init, xlm_text *out) {
  int n = xlm_init_numbers(init->kind);
  xlm_text_add(out, xlm_enum_name(XLM_ENUM_INIT, init->kind));
  for (int i = 0; i < n; i++) {
    xlm_text_add(out, i ? ", " : "(");
    xlm_text_double(out, init->x[i]);
  }
  if (n) xlm_text_add(out, ")");
}
