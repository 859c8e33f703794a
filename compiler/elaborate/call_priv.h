// A call of an operation under construction, as call.c and call_params.c fill it and call_wrong.c reports on
// it. Private to this folder.
#ifndef XLM_ELABORATE_CALL_PRIV_H
#define XLM_ELABORATE_CALL_PRIV_H

#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

enum { MOST_PARAMS = 32 };

typedef struct xlm_el_filling { // a call under construction; large, so it is heap-allocated and reused
  xlm_el *e;
  xlm_el_frame *f;
  const xlm_expr *x;
  const xlm_op *op;
  xlm_el_operand *in;
  int n_in;
  xlm_el_operand named[XLM_OPERANDS]; // optional operands ..
  uint32_t given;                     // .. and which of them are there, as a set
  xlm_attr_list attrs;
  bool filled[MOST_PARAMS];
  const xlm_arg *over, *arrow;
  bool ok, surplus; // surplus: an argument too many has been reported
  struct xlm_el_filling *spare;
} filling;

static inline int xlm_call_params(const xlm_op *op) {
  int n = 0;
  while (op->params && op->params[n].name) n++;
  XLM_ASSERT(n <= MOST_PARAMS, "%s has %d parameters", op->name, n);
  return n;
}

static inline int xlm_call_find(const xlm_op *op, const char *name) { // -1: none
  for (int i = 0, n = xlm_call_params(op); i < n; i++)
    if (!strcmp(op->params[i].name, name)) return i;
  return -1;
}

static inline int xlm_call_find_kind(const xlm_op *op, xlm_param_kind k) { // the first of the kind; -1: none
  for (int i = 0, n = xlm_call_params(op); i < n; i++)
    if (op->params[i].kind == k) return i;
  return -1;
}

// call_params.c. A value that does not fit is reported and leaves c->ok false.
void xlm_call_set(filling *c, int i, const xlm_expr *x);  // parameter i of the operation
void xlm_call_put_operand(filling *c, const xlm_expr *x); // the next tensor
bool xlm_call_takes_numbers(const filling *c);            // in place of tensors

bool xlm_call_is_tensor(filling *c, const xlm_expr *x); // without evaluating it

// call_wrong.c. Each reports and leaves c->ok false. Those that return a bool recognise one mistake; false:
// it is another one, or none.
xlm_diag *xlm_call_wrong(filling *c, xlm_span at, const char *fmt, ...) XLM_PRINTF(3, 4);
void xlm_call_say_signature(filling *c, xlm_diag *g);
void xlm_call_unknown(filling *c, const xlm_arg *a); // an argument of a name that the operation does not have
void xlm_call_surplus(filling *c, const xlm_arg *a); // an argument too many
bool xlm_call_is_dimension(const filling *c, const xlm_expr *x); // the bare name of one
bool xlm_call_surplus_dimension(filling *c, const xlm_arg *a);
bool xlm_call_surplus_tensor(filling *c, const xlm_param *p, const xlm_expr *x);
bool xlm_call_one_too_many(filling *c, const xlm_arg *a);
bool xlm_call_misspelt_flag(filling *c, const xlm_expr *x);
bool xlm_call_bracketed_over(filling *c, const xlm_arg *a);
bool xlm_call_unset_operand(filling *c, const xlm_arg *a);

#endif
