// The passes that decide something for all ranks (rank_decisions.c), for the table in passes.c.
#ifndef XLM_DRIVER_PASSES_PRIV_H
#define XLM_DRIVER_PASSES_PRIV_H

#include "compiler/driver/passes.h"

int xlm_stages_of(const xlm_pass_context *c); // of the mesh; 1: no axis pp

// partition. Decides the layouts of all values of the program's graph g, into c->partitioning.
bool xlm_decide_layouts(xlm_pass_context *c, const xlm_graph *g);
// The graph of the rank at c->coord; stored in c->partitioned for the other stages of this coordinate.
xlm_graph *xlm_partition_rank(xlm_pass_context *c, const xlm_graph *g);

// pipeline. Decides the cut into stages, c->pipeline, once for all programs, and the schedule of the training
// step.
bool xlm_decide_stages(xlm_pass_context *c, const xlm_graph *g);
// The part of g, a partitioned graph, of the stage at c->coord; the assignment is stored in c->staged.
xlm_graph *xlm_take_stage(xlm_pass_context *c, const xlm_graph *g);

#endif
