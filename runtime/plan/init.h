// Initialisers: the contents of a state before the first step, as a kind and its parameters, from the model
// text to the plan; runtime/state/init.h draws the values.
#ifndef XLM_PLAN_INIT_H
#define XLM_PLAN_INIT_H

#include "runtime/plan/enum.h"

XLM_C_BEGIN

struct xlm_code;
typedef struct xlm_init { // zero: zeros
  xlm_init_kind kind;
  double x[2]; // as many as the kind has: constant: the value; normal: standard deviation; uniform: the
               // bounds; truncated_normal: standard deviation, largest distance in deviations
  // A program of elements (code.h) with one result, the value: register 0 is what the kind gives, register
  // i + 1 the index along dimension i. NULL: the value is what the kind gives.
  const struct xlm_code *code;
} xlm_init;

static inline bool xlm_init_is_drawn(const xlm_init *init) { // values are random
  return init->kind >= XLM_INIT_NORMAL;
}

int xlm_init_numbers(xlm_init_kind kind); // how many
// NULL if values can be drawn, else an error message without a full stop, in a.
const char *xlm_init_wrong(const xlm_init *init, xlm_arena *a);
void xlm_init_print(const xlm_init *init, xlm_text *out); // as in the model text: "uniform(-0.1, 0.1)"

XLM_C_END

#endif
