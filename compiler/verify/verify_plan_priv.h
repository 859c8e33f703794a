// Shared by the files of plan verification; see verify_plan.c.
#ifndef XLM_VERIFY_VERIFY_PLAN_PRIV_H
#define XLM_VERIFY_VERIFY_PLAN_PRIV_H

#include "compiler/verify/verify_plan.h"
#include "runtime/plan/mesh.h"

typedef struct verifier {
  const xlm_plan *plan;
  xlm_arena *arena;
  int pp;            // the mesh axis of messages between stages; -1 = none
  const char *wrong; // the first error
  int64_t operations;
} verifier;

// Records an error, unless there already is one; returns false.
bool xlm_verify_fail(verifier *v, const char *fmt, ...) XLM_PRINTF(2, 3);

// Names for messages: "rank 5 (pp 1, tp 1)", "`all_reduce` over tp of layers.3.mlp (llama.xlm:48)", "F of
// microbatch 3", "dp, tp".
const char *xlm_verify_rank(const verifier *v, int64_t rank);
const char *xlm_verify_instr(const verifier *v, const xlm_instr *in);
const char *xlm_verify_tensor(const verifier *v, const xlm_rank_plan *r, uint32_t tensor);
const char *xlm_verify_run(const verifier *v, const xlm_rank_plan *r, const xlm_segment_run *run);
const char *xlm_verify_axes(const verifier *v, uint32_t axes);
const char *xlm_verify_owner(const verifier *v, uint32_t rank_plan); // the first rank of a rank_plan

// ---- one rank_plan at a time
bool xlm_verify_tables(verifier *v); // indices and offsets are within bounds
bool xlm_verify_flow(verifier *v,
                     uint32_t rank_plan); // no instruction reads memory that was not written, or was
                                          // overwritten

bool xlm_verify_rules(verifier *v, uint32_t rank_plan); // instructions obey the rules of their ops

// ---- communication instructions
typedef enum comm_form { COMM_SEND, COMM_RECV, COMM_COLLECTIVE, COMM_FORMS } comm_form;

typedef struct comm_op {
  uint32_t instr;
  comm_form form;
  uint32_t axes;     // collective: those with more than one member
  int64_t peer, tag; // messages
} comm_op;

typedef struct comm_program { // of a rank_plan; the ops of segment s are first[s] <= i < first[s + 1]
  comm_op *at;
  uint32_t n, cap;
  uint32_t *first;
} comm_program;

bool xlm_verify_form(xlm_op_id op, comm_form *out);
comm_program *xlm_verify_programs(verifier *v); // [n_rank_plans]

// Members of one group that enter a collective together, in the order of the group: do their operations and
// sizes match?
typedef struct comm_entry {
  int64_t rank;
  const xlm_rank_plan *plan;
  const xlm_instr *instr;
  const xlm_segment_run *run;
} comm_entry;
bool xlm_verify_meeting(verifier *v, uint32_t axes, const comm_entry *e, int64_t n);
bool xlm_verify_message(verifier *v, const comm_entry *from, const comm_entry *to);

// ---- kinds: ranks that are indistinguishable in the simulation
typedef struct rank_kind {
  uint32_t rank_plan;
  int64_t rank, members; // the first rank; the number of ranks
} rank_kind;

typedef struct rank_kinds {
  rank_kind *at;
  uint32_t n;
  uint32_t *of; // [n_ranks]
} rank_kinds;

// Masks: the axes of all collectives, and pp when there are messages.
rank_kinds xlm_verify_kinds(verifier *v, const uint32_t *masks, int n_masks);

// ---- all ranks together, in one of the plan's programs
// The runs of segments that it consists of: the schedule, or one; *n = 0: the plan does not have it.
const xlm_segment_run *xlm_verify_runs(verifier *v, const xlm_rank_plan *r, xlm_program_id p, uint32_t *n);
bool xlm_verify_program(verifier *v, const comm_program *programs, const rank_kinds *kinds,
                        xlm_program_id which);

#endif
