// The compiler from model text to plan. compile.c has the pipeline, passes.c its passes.
#ifndef XLM_DRIVER_COMPILE_H
#define XLM_DRIVER_COMPILE_H

#include "compiler/elaborate/elaborate.h"
#include "compiler/pass/pass.h"
#include "runtime/plan/plan.h"

// Sets of programs. Prefill and decode belong together: settings.batch sequences of at most settings.seq
// tokens; encode comes with them where the model computes something once per sequence.
enum {
  XLM_WITH_TRAIN = 1 << XLM_PROGRAM_TRAIN,
  XLM_WITH_EVAL = 1 << XLM_PROGRAM_EVAL,
  XLM_WITH_PREFILL = 1 << XLM_PROGRAM_PREFILL,
  XLM_WITH_DECODE = 1 << XLM_PROGRAM_DECODE,
  XLM_WITH_ENCODE = 1 << XLM_PROGRAM_ENCODE
};

typedef struct xlm_compile_options {
  xlm_elaborate_options settings; // preset, sets, batch (of one microbatch), seq, dtype
  xlm_train_options train;
  xlm_recompute recompute;
  int loss_chunks; // parts of the rows for which logits and loss are computed at a time; 0: by their size
  uint32_t programs; // which the plan has: a set of XLM_WITH_..
  bool outputs_only; // evaluation computes the model's outputs, not its losses and metrics
  bool with_samples; // beside training the plan can write text: it has prefill and decode or, where the model has
                     // none, evaluation computes its outputs, too
  int64_t chunk;     // positions of every sequence that prefill takes at once, at most settings.seq
  bool every_place;  // prefill has its outputs at all of them, not only at the last that counts
  uint64_t seed;
  uint64_t memory_limit;                    // bytes per rank; 0 = none
  xlm_mesh mesh;                            // empty = one rank; an axis `pp` makes a pipeline
  int zero;                                 // 0..3: what data-parallel ranks split, see docs/zero.md
  bool reduce_each;                         // gradients are reduced per microbatch, not per step (zero >= 2)
  const char *schedule;                     // of the pipeline: gpipe, 1f1b, interleaved, zb-h1
  const char *schedule_csv, *schedule_path; // text of a schedule file to use instead; NULL
  int chunks; // parts per stage; 0: one per loop over the same layers (interleaved: or 2)
  const int32_t *stage_rounds;              // rounds of each part; NULL = balanced
  int n_stage_rounds;
  const xlm_plan_setting *asked; // these options as a run file has them, stored in the plan
  int n_asked;
  int64_t shown_rank;              // whose graph `stop_after` returns, from pass "partition" on
  bool figures_only;               // the plan is measured and thrown away (search): nothing is verified
  struct xlm_times *times;         // receives the time of every pass (times.h); may be NULL
  const xlm_backend_info *backend; // NULL: no plan, only graphs
  xlm_target target;               // of that backend
} xlm_compile_options;

xlm_compile_options xlm_compile_defaults(void);

static inline bool xlm_compile_makes(const xlm_compile_options *o, xlm_program_id p) {
  return o->programs >> p & 1;
}

typedef struct xlm_compiled {
  const xlm_source *source;
  const xlm_graph *model; // after simplify
  const xlm_plan *plan;   // NULL when there were errors
  int64_t operations;     // of communication, matched when the plan of several ranks was verified
} xlm_compiled;

// Parses, checks and plans. Errors go to d; result->plan is NULL iff d->errors > 0. `stop_after` (the name of
// a pass, or "simplify,2" for its second run; may be NULL) stops there and returns the graph in *dump, which
// is left unchanged if the pass is not reached.
xlm_compiled xlm_compile(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o, xlm_diags *d,
                         const char *stop_after, const xlm_graph **dump);

#endif
