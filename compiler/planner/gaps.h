// What is taken of an area, in two dimensions: bytes and time. Finds the lowest place that is free over a
// whole life.
#ifndef XLM_PLANNER_GAPS_H
#define XLM_PLANNER_GAPS_H

#include <stdint.h>

#include "runtime/base/arena.h"

typedef struct xlm_gaps xlm_gaps;

xlm_gaps *xlm_gaps_new(xlm_arena *a);
// The lowest offset from which `bytes` are free at all positions begin .. end, both included.
uint64_t xlm_gaps_lowest(xlm_gaps *g, uint32_t begin, uint32_t end, uint64_t bytes);
void xlm_gaps_take(xlm_gaps *g, uint32_t begin, uint32_t end, uint64_t offset, uint64_t bytes);
// Places looked at so far: what the search has cost.
uint64_t xlm_gaps_visited(const xlm_gaps *g);

#endif
