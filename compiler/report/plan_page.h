// The page that `xlmc plan` prints for a plan of several ranks, as text and as JSON. Both use the same
// tables.
#ifndef XLM_REPORT_PLAN_PAGE_H
#define XLM_REPORT_PLAN_PAGE_H

#include "compiler/cost/estimate.h"
#include "compiler/optimizer/optimizer.h"
#include "compiler/report/report.h"

typedef struct xlm_plan_page {
  xlm_program_id program;        // the one that is shown
  const xlm_source *source;      // the model text, for its lines; may be NULL
  uint64_t memory_limit;         // bytes per rank; 0 = unknown
  const char *schedule;          // of the pipeline; NULL = none
  const xlm_cluster *cluster;    // NULL = no estimate
  const xlm_estimate *estimate;  // of it
  int64_t verified;              // number of operations matched by verification
  const char *advice;            // the cheapest change that would make it fit; NULL
  int top;                       // rows of the communication table; 0 = 24
  const xlm_update_row *updates; // how parameters are updated; NULL = unknown
  int n_updates;
} xlm_plan_page;

// The first lines: model, ranks, what a run of the program does, target. schedule: NULL = none.
void xlm_report_plan_header(const xlm_plan *p, xlm_program_id program, const char *schedule, xlm_text *out);
void xlm_report_plan_ranks(const xlm_plan *p, const xlm_plan_page *page, xlm_text *out);
// The same as JSON, as member `key` of an open object; a: for the tables. docs/estimates.md lists the fields.
void xlm_report_plan_ranks_json(const xlm_plan *p, const xlm_plan_page *page, xlm_arena *a, const char *key,
                                xlm_json *out);
// How parameters are updated, as a table; prints nothing without rows.
void xlm_report_updates(const xlm_plan_page *page, xlm_text *out);
// The estimate alone, for the page of one rank: of the step, or of runs of the programs other than training.
void xlm_report_estimate(const xlm_plan *p, const xlm_plan_page *page, xlm_text *out);

// ---- tables

typedef struct xlm_stage_row { // the rank of a stage with the largest arena
  const xlm_rank_plan *rank;
  uint32_t rank_plan;
  const char *rounds; // "0-3,16-19"; "" if there are none
} xlm_stage_row;
xlm_stage_row *xlm_report_stages(const xlm_plan *p, xlm_arena *a, int *n);

typedef struct xlm_traffic_row { // bytes that one rank sends per step; the maximum over the stages
  uint32_t axes;
  int axis;               // the axis they are attributed to
  const char *op, *value; // value: the tensor or, if unnamed, the scope, with rounds as `*`
  uint32_t line;
  int64_t count;
  uint64_t bytes; // of one transfer
  double seconds; // of all transfers on the cluster; 0 without one
} xlm_traffic_row;
// Of a step, or of a run of another program; per axis, most bytes first.
xlm_traffic_row *xlm_report_traffic(const xlm_plan *p, xlm_program_id program, const xlm_cluster *c,
                                    xlm_arena *a, uint32_t *n);
const char *xlm_report_axes(const xlm_mesh *m, uint32_t axes, xlm_arena *a); // "dp, ep"

typedef struct xlm_kernel_row { // all calls of one kernel in a step, or in a run of another program
  const char *name;             // the op and its variant
  const xlm_instr *first;
  int64_t calls;
  double flops, bytes;   // of all calls
  double seconds, floor; // estimated, and xlm_estimate_floor; 0 without a cluster
} xlm_kernel_row;
// Largest first, by FLOPs and bytes. c may be NULL. Without communication.
xlm_kernel_row *xlm_report_kernels(const xlm_plan *p, const xlm_rank_plan *r, xlm_program_id program,
                                   const xlm_cluster *c, xlm_arena *a, uint32_t *n);

// What decoding keeps of one sequence, over all ranks.
typedef struct xlm_cache_row {
  const char *name, *type; // rounds as `*`; what one sequence has: "f32[context 256, kv_heads 6, head 64]"
  uint32_t n;              // caches of that name and type
  uint64_t sequence,
      token; // bytes of all: of a sequence; of a token, 0 when the size does not depend on their number
} xlm_cache_row;

typedef struct xlm_caches {
  xlm_cache_row *rows;
  uint32_t n;
  uint64_t sequence, token, rank; // bytes of all rows; rank: of the caches on the rank with the most
} xlm_caches;
xlm_caches xlm_report_caches(const xlm_plan *p, xlm_arena *a);

typedef struct xlm_experts {      // memory of packed rows at the peak of the rank with the most
  uint64_t worst, balanced;       // bytes of the packed tensors
  uint64_t arena, arena_balanced; // the whole arena of that rank
} xlm_experts;
xlm_experts xlm_report_experts(const xlm_plan *p, xlm_arena *a); // zeros when no rows are packed

// The line an instruction comes from, or that of its first operand if it has none (gradients, updates). 0 =
// none.
uint32_t xlm_report_line_of(const xlm_rank_plan *r, const xlm_instr *in);
// The name of the first operand, or the scope.
const char *xlm_report_value_of(const xlm_rank_plan *r, const xlm_instr *in);
// "layers.3.h" -> "layers.*.h"
const char *xlm_report_pattern(xlm_arena *a, const char *name);
// "1.25 ms"
const char *xlm_report_seconds(xlm_arena *a, double s);
// A line of the model, trimmed to at most `most` characters; "" when unknown.
const char *xlm_report_line(const xlm_source *s, uint32_t line, int most, xlm_arena *a);

#endif
