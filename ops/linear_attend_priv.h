// What linear_attend is along the sequence, and for some of its places: linear_attend_from.c.
#ifndef XLM_OPS_LINEAR_ATTEND_PRIV_H
#define XLM_OPS_LINEAR_ATTEND_PRIV_H

#include "ops/cut_priv.h"

xlm_reach linear_attend_reach(const xlm_graph *g, xlm_node n, const bool *sequence);
void linear_attend_chunk(xlm_chunk *c);

#endif
