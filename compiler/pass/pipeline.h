// Pipeline: cuts the graph of one rank coordinate into parts and extracts those of one stage, with sends and
// receives for values that cross.
//
// A part consists of consecutive rounds of `repeat .. over pp`; nodes before the first round belong to the
// first part that uses them, nodes after the last to the last part. Part k is on stage k % stages. Loops over
// the same layers are all cut alike where a stage has a multiple of their number of parts: then round i of
// every loop is on one stage, and the stage has its parameters once. Nodes that
// depend only on parameters and constants are repeated wherever they are used. A parameter used by several
// parts (a tied embedding) has its home in the first: the others have a copy, which the home stage sends
// after each update.
#ifndef XLM_PASS_PIPELINE_H
#define XLM_PASS_PIPELINE_H

#include "compiler/ir/build.h"
#include "runtime/plan/mesh.h"

typedef struct xlm_pipeline {
  int stages, chunks;   // parts = stages * chunks
  int32_t rounds;       // of the model
  const int32_t *first; // [parts + 1]: part k has rounds first[k] .. first[k + 1] - 1
  int pp_axis;          // of the mesh
} xlm_pipeline;

// Rounds first .. first + n * rounds - 1 run the same layers n times, `rounds` of them. n = 1: none do.
typedef struct xlm_loops {
  int32_t n, first, rounds;
} xlm_loops;
xlm_loops xlm_pipeline_loops(const xlm_graph *g, xlm_arena *a);

typedef struct xlm_round_costs {
  int32_t rounds;
  xlm_loops loops;
  double *round;        // [rounds]
  double before, after; // of the nodes before and after the rounds: the embedding, the head
} xlm_round_costs;
// From the FLOPs and bytes of the nodes.
xlm_round_costs xlm_pipeline_costs(const xlm_graph *train, xlm_arena *a);

// Cuts the rounds to minimise the cost of the most expensive part. `list` (may be NULL): the number of rounds
// of each part instead, or those of one loop where loops are cut alike.
xlm_status xlm_pipeline_cut(const xlm_round_costs *c, xlm_arena *a, int stages, int chunks, const int32_t *list,
                            int n_list, xlm_pipeline *out, xlm_error *err) XLM_MUST_CHECK;

// Assigns the nodes of g, a partitioned graph, to stages, and determines the values that stages send each
// other. Done once for all stages.
typedef struct xlm_stages xlm_stages;
xlm_stages *xlm_pipeline_assign(const xlm_graph *g, xlm_arena *a, const xlm_pipeline *p);
// A state that the forward updates on one stage and reads on another, which a pipeline cannot have; 0: none.
xlm_val xlm_stages_torn_state(const xlm_stages *s);
// The parts of `stage`: nodes have `stage` = chunk on this stage.
xlm_graph *xlm_pass_pipeline(const xlm_stages *s, xlm_arena *a, int stage);

#endif
