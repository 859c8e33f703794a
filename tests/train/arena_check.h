// An independent check of a plan's memory: runs the schedule on a model of the arena.
#ifndef XLM_TESTS_ARENA_CHECK_H
#define XLM_TESTS_ARENA_CHECK_H

#include "runtime/plan/plan.h"

// NULL if every operand still has the value last written to it whenever it is read, results and scratch of an
// instruction are disjoint, everything is within its area, and the figures of the plan add up; else a
// sentence.
const char *arena_check(const xlm_rank_plan *p, xlm_arena *a);

#endif
