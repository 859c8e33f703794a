// Access to the states of a run, wherever they are stored: only the executor has their addresses.
//
// `rank` is an index into the ranks of the plan, `state` into the states of that rank's plan. `at` and
// `bytes` count bytes of the local tensor, dense in the order of its dimensions. Both functions return when
// the host buffer may be reused. They are safe to call from several threads at once.
#ifndef XLM_PLAN_STATES_H
#define XLM_PLAN_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_states {
  void *arg;
  bool (*here)(void *arg, uint32_t rank); // false: another process has this rank
  xlm_status (*put)(void *arg, uint32_t rank, uint32_t state, size_t at, const void *from, size_t bytes,
                    xlm_error *err);
  xlm_status (*get)(void *arg, uint32_t rank, uint32_t state, size_t at, void *to, size_t bytes,
                    xlm_error *err);
} xlm_states;

XLM_C_END

#endif
