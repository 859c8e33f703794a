// Pipeline: the graph of one rank coordinate is cut into parts, and one stage's parts are taken out with
// sends and receives where values cross. DESIGN.md section 5.
//
// A part is a run of rounds of `repeat .. over pp`; what comes before the first round belongs to the first
// part that uses it, what comes after to the last. Part k stands on stage k % stages. Nodes that depend on
// parameters and constants alone are repeated wherever they are used. A parameter used by several parts (a
// tied embedding) is at home in the first: the others hold a copy, which the home stage sends after each
// update.
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

// Cuts `rounds` so that the most expensive part is as cheap as possible; cost of a round from its nodes'
// FLOPs and bytes, the head and the embedding counted where they will stand. `list` (may be NULL): how many
// rounds each part has, instead.
xlm_status xlm_pipeline_cut(const xlm_graph *train, xlm_arena *a, int stages, int chunks, const int32_t *list,
                            int n_list, xlm_pipeline *out, xlm_error *err) XLM_MUST_CHECK;

// Where every node of a graph stands and what its stages send each other, decided once for all of them. g: as
// partitioned.
typedef struct xlm_stages xlm_stages;
xlm_stages *xlm_pipeline_assign(const xlm_graph *g, xlm_arena *a, const xlm_pipeline *p);
// The parts of `stage`: nodes have `stage` = chunk on this stage.
xlm_graph *xlm_pass_pipeline(const xlm_stages *s, xlm_arena *a, int stage);

#endif
