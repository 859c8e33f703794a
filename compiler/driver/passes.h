// The table of passes (passes.c) and the function that runs them (run_passes.c). A pass maps a graph to a
// graph; its other inputs are in the context. compile.c has the order of passes.
#ifndef XLM_DRIVER_PASSES_H
#define XLM_DRIVER_PASSES_H

#include "compiler/driver/compile.h"
#include "compiler/pass/partition.h"
#include "compiler/pass/pipeline.h"
#include "compiler/schedule/schedule.h"

typedef enum xlm_pass_id {
  XLM_PASS_END, // ends a list of passes
  XLM_PASS_ELABORATE,
  XLM_PASS_LORA,
  XLM_PASS_NARROW_WEIGHTS,
  XLM_PASS_SIMPLIFY,
  XLM_PASS_INCREMENTAL,
  XLM_PASS_STACK_PRODUCTS,
  XLM_PASS_GLOBAL_BATCH,
  XLM_PASS_EVAL_WEIGHTS,
  XLM_PASS_DIFFERENTIATE,
  XLM_PASS_CAST_WEIGHTS,
  XLM_PASS_LATE_LOSS,
  XLM_PASS_REMATERIALIZE,
  XLM_PASS_RECOMPUTE,
  XLM_PASS_PARTITION,
  XLM_PASS_PIPELINE,
  XLM_PASS_CHUNK_LOSS,
  XLM_PASS_MERGE_LOSS,
  XLM_PASS_BIAS,
  XLM_PASS_RESIDUAL,
  XLM_PASS_FUSE,
  XLM_PASS_OVERLAP,
  XLM_PASS_COUNT
} xlm_pass_id;

// The inputs and results of passes besides the graph, for one compilation.
typedef struct xlm_pass_context {
  xlm_arena *arena;
  xlm_arena *scratch; // of the running pass; freed when it ends
  const xlm_compile_options *options;
  xlm_diags *diags;
  xlm_program_id program;   // the one that is compiled, by the passes and options of all
  const xlm_ast *ast;       // elaborate: the model
  bool encodes;             // prefill and decode read what is computed once per sequence
  int32_t recompute_rounds; // for recompute with XLM_RECOMPUTE_AUTO: the number of rounds
  // Results of `prepare` of the passes that run per rank; computed once for all ranks (rank_decisions.c).
  xlm_partitioning *partitioning[XLM_PROGRAMS];
  xlm_pipeline pipeline; // of all programs; stages = 0: not decided yet
  xlm_schedule_plan *schedule;
  int32_t coord[XLM_MAX_AXES]; // of the rank
  struct xlm_partitioned {     // the last partitioned graph: the stages of one coordinate share it
    xlm_graph *graph;
    uint64_t signature;
    int32_t coord[XLM_MAX_AXES];
  } partitioned[XLM_PROGRAMS];
  struct xlm_staged { // the last graph that was cut into stages
    const xlm_graph *of;
    const xlm_stages *stages;
    xlm_arena *arena; // of `stages`
  } staged[XLM_PROGRAMS];
  struct xlm_made { // the rank plans made so far, see rank_plans.c
    uint64_t signature;
    int32_t recompute_rounds;
    xlm_rank_plan *plan;
  } * made;
  uint32_t n_made, cap_made;
  // Dumping: the graph after run number stop_run (from 1) of this pass.
  xlm_pass_id stop_after; // XLM_PASS_END: none
  int stop_run, runs;
  bool stopped;
  const xlm_graph *dump;
} xlm_pass_context;

typedef struct xlm_pass {
  const char *name, *what;
  bool per_rank; // runs for every distinct rank, after `prepare`; otherwise once for all ranks
  uint32_t needs, excludes, gives, breaks; // sets of xlm_property_id
  // Why the pass has nothing to do in this context; NULL = it has work.
  const char *(*idle)(const xlm_pass_context *c);
  // Decides what is common to all ranks. false: a diagnostic was pushed.
  bool (*prepare)(xlm_pass_context *c, const xlm_graph *g);
  // The pass: of_graph if it reads the graph only, run if it reads the context, too. The driver maintains the
  // properties.
  xlm_graph *(*of_graph)(const xlm_graph *g, xlm_arena *scratch);
  xlm_graph *(*run)(xlm_pass_context *c, const xlm_graph *g); // NULL: a diagnostic was pushed
} xlm_pass;

extern const xlm_pass xlm_pass_table[XLM_PASS_COUNT]; // [XLM_PASS_END] is empty

xlm_pass_id xlm_pass_find(const char *name, size_t n); // XLM_PASS_END: unknown
// Why the pass cannot run on this graph, as a sentence that says what to run first; NULL = it can.
const char *xlm_pass_unmet(xlm_pass_id id, const xlm_graph *g, xlm_arena *a);

// Runs `prepare` of the per-rank passes of a list (which ends with XLM_PASS_END) for this program.
bool xlm_passes_prepare(xlm_pass_context *c, const xlm_pass_id *list, const xlm_graph *g);
// Runs a list of passes: checks what they need, times and (in checked builds) verifies them, and stores the
// graph to dump. NULL: a diagnostic was pushed, or the pass to stop after has run (c->stopped). Frees the
// graphs between two passes; the caller may pass the last one to xlm_passes_release.
xlm_graph *xlm_passes_run(xlm_pass_context *c, const xlm_pass_id *list, const xlm_graph *g);
// Frees the graph of a pass, unless it is stored for other ranks.
void xlm_passes_release(const xlm_pass_context *c, xlm_graph *g);
// Frees what is stored for other ranks of this program; preparation starts again.
void xlm_passes_forget(xlm_pass_context *c, xlm_program_id program);
void xlm_passes_forget_all(xlm_pass_context *c);

#endif
