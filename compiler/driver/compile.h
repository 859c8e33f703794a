// The whole way from model text to plan; compile.c is the pipeline on one screen, passes.c its passes.
#ifndef XLM_DRIVER_COMPILE_H
#define XLM_DRIVER_COMPILE_H

#include "compiler/elaborate/elaborate.h"
#include "compiler/pass/pass.h"
#include "runtime/plan/plan.h"

typedef struct xlm_compile_options {
  xlm_elaborate_options settings; // preset, sets, batch (of one microbatch), seq, dtype
  xlm_train_options train;
  xlm_recompute recompute;
  bool with_train, with_eval; // which segments the plan shall have; generate and eval use with_train = false
  uint64_t seed;
  uint64_t memory_limit;                    // bytes per rank; 0 = none
  xlm_mesh mesh;                            // empty = one rank; an axis `pp` makes a pipeline
  int zero;                                 // 0..3, see DESIGN: what data-parallel ranks share
  bool reduce_each;                         // gradients are reduced per microbatch, not per step (zero >= 2)
  const char *schedule;                     // of the pipeline: gpipe, 1f1b, interleaved, zb-h1
  const char *schedule_csv, *schedule_path; // text of a schedule file instead; NULL
  int chunks;                               // parts per stage (interleaved); 0 = 1
  const int32_t *stage_rounds;              // how many rounds each part has; NULL = balanced
  int n_stage_rounds;
  const xlm_plan_setting *asked; // all this as a run file has it, for the plan to keep
  int n_asked;
  int64_t shown_rank;              // whose graph `stop_after` gives, from pass "partition" on
  struct xlm_times *times;         // gets what every pass takes (times.h); may be NULL
  const xlm_backend_info *backend; // NULL: only graphs are wanted
  xlm_target target;               // of that backend
} xlm_compile_options;

xlm_compile_options xlm_compile_defaults(void); // the defaults of DESIGN.md section 8

typedef struct xlm_compiled {
  const xlm_source *source;
  const xlm_graph *model; // after simplify
  const xlm_plan *plan;   // NULL when there were errors
} xlm_compiled;

// Parses, checks and plans. Mistakes go to d; result->plan is NULL iff d->errors > 0. `stop_after` (the name
// of a pass, or "simplify,2" for its second run; may be NULL) ends there and gives the graph in *dump, which
// is left alone when that does not come.
xlm_compiled xlm_compile(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o, xlm_diags *d,
                         const char *stop_after, const xlm_graph **dump);

#endif
