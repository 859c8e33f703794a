// The occupied parts of an area in two dimensions, bytes and time. Finds the lowest offset that is free for a
// whole lifetime.
#ifndef XLM_PLANNER_GAPS_H
#define XLM_PLANNER_GAPS_H

#include <stdint.h>

#include "runtime/base/arena.h"

typedef struct xlm_gaps xlm_gaps;

xlm_gaps *xlm_gaps_new(xlm_arena *a);
// The lowest offset from which `bytes` are free at all positions begin .. end, both included.
uint64_t xlm_gaps_lowest(xlm_gaps *g, uint32_t begin, uint32_t end, uint64_t bytes);
void xlm_gaps_take(xlm_gaps *g, uint32_t begin, uint32_t end, uint64_t offset, uint64_t bytes);
// Number of nodes visited so far: the cost of the search.
uint64_t xlm_gaps_visited(const xlm_gaps *g);

#endif
