// See init.h.
#include "runtime/plan/init.h"

#include <float.h>
#include <math.h>

#include "runtime/plan/code.h"

int xlm_init_numbers(xlm_init_kind kind) {
  static const int of[XLM_INITS] = {
#define XLM_INIT(name, NAME, numbers, doc) [XLM_INIT_##NAME] = numbers,
#include "runtime/plan/enum.def"
  };
  return of[kind];
}

static bool is_of_elements(const xlm_code *code) {
  for (int i = 0; i < code->n; i++)
    if (xlm_fn_is_row(code->at[i].fn)) return false;
  return code->n_out == 1 && !code->row && !code->n_summed && code->n_in <= XLM_MAX_RANK + 1;
}

const char *xlm_init_wrong(const xlm_init *init, xlm_arena *a) {
  const double *x = init->x;
  if (init->code && !is_of_elements(init->code)) return "its program is not a function of an element";
  for (int i = 0; xlm_init_is_drawn(init) && i < xlm_init_numbers(init->kind); i++)
    if (!(fabs(x[i]) <= FLT_MAX)) return xlm_arena_printf(a, "%g is no number of f32", x[i]);
  if ((init->kind == XLM_INIT_NORMAL || init->kind == XLM_INIT_TRUNCATED_NORMAL) && x[0] < 0)
    return xlm_arena_printf(a, "the standard deviation %g is negative", x[0]);
  if (init->kind == XLM_INIT_UNIFORM && x[0] > x[1])
    return xlm_arena_printf(a, "the lower bound %g lies above the upper bound %g", x[0], x[1]);
  if (init->kind == XLM_INIT_TRUNCATED_NORMAL && x[1] <= 0)
    return xlm_arena_printf(a, "nothing is nearer to 0 than %g deviations", x[1]);
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
  if (!init->code) return;
  xlm_text_add(out, " ");
  xlm_code_print(init->code, out);
}
