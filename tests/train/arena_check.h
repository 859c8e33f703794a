// An independent check of where a plan puts things: runs the schedule over a model of the arena.
#ifndef XLM_TESTS_ARENA_CHECK_H
#define XLM_TESTS_ARENA_CHECK_H

#include "runtime/plan/plan.h"

// NULL when every operand still holds what was last written to it whenever it is read, results and scratch of
// one instruction are apart, everything lies in its area, and the figures of the plan add up; else a
// sentence.
const char *arena_check(const xlm_rank_plan *p, xlm_arena *a);

#endif
