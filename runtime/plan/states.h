// How the states of a run are reached, wherever they lie: nobody but the executor has their addresses.
//
// `rank` counts the ranks of the plan, `state` the states of that rank's plan; `at` and `bytes` count bytes
// of the local tensor, dense in the order of its dimensions. Both functions return when the host's memory may
// be used again; several threads may call them at once.
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
