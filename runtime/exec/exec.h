// The executor: runs the plan of one rank, and only the plan.
//
// Opening takes one arena of exactly plan->arena_bytes, resolves every instruction to a kernel and addresses,
// and lets kernels prepare. After that a step allocates nothing. States are not initialised here: the caller
// fills them (see runtime/checkpoint) before the first step. One thread drives one executor.
#ifndef XLM_EXEC_EXEC_H
#define XLM_EXEC_EXEC_H

#include "runtime/device/kernel.h"
#include "runtime/exec/record.h"
#include "runtime/plan/plan.h"

typedef struct xlm_exec xlm_exec;

// rank: index into plan->rank_plan_of. threads: workers of this rank, at most plan->threads. comm: of this rank,
// kept by the caller; NULL when the plan has one rank.
xlm_status xlm_exec_open(const xlm_plan *plan, uint32_t rank, const xlm_backend *backend, int threads,
                         struct xlm_comm *comm, xlm_exec **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_exec_close(xlm_exec *e);

const xlm_plan *xlm_exec_plan(const xlm_exec *e);
const xlm_rank_plan *xlm_exec_rank_plan(const xlm_exec *e);
xlm_pool *xlm_exec_pool(xlm_exec *e);

// Addresses in the arena; indices are those of the rank plan's states, inputs and outputs. Inputs and outputs
// are local tensors of the types the plan gives. Inputs are those of the running microbatch; NULL for an
// input that the running chunk (or the eval segment, or this rank) does not have.
void *xlm_exec_state(xlm_exec *e, uint32_t state);
void *xlm_exec_input(xlm_exec *e, uint32_t input, bool eval);
const void *xlm_exec_output(xlm_exec *e, uint32_t output);

// Fills the microbatch's inputs (role "tokens" and "scalar") before its first segment; microbatch -1: those
// of the step.
typedef xlm_status xlm_exec_feed(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err);

// One optimizer step: the plan's schedule. env.microbatch is set by the executor. Outputs of role loss and
// metric are readable afterwards.
xlm_status xlm_exec_step(xlm_exec *e, xlm_step_env env, xlm_exec_feed *feed, void *feed_arg,
                         xlm_error *err) XLM_MUST_CHECK;

// The eval segment once, on inputs already in place.
xlm_status xlm_exec_eval(xlm_exec *e, xlm_step_env env, xlm_error *err) XLM_MUST_CHECK;

// Bytes of the arena (== plan's) and bytes taken beside it at open (tables, prepared kernels).
uint64_t xlm_exec_arena_bytes(const xlm_exec *e);
uint64_t xlm_exec_table_bytes(const xlm_exec *e);

// For the message after a loss that is not finite: runs forward segments again on the present inputs,
// instruction by instruction, and gives the first result (name, op, model line) that holds a non-finite
// value; name NULL when none does.
typedef struct xlm_bad_tensor {
  const char *name, *op, *scope;
  uint32_t line;
} xlm_bad_tensor;
xlm_bad_tensor xlm_exec_first_bad(xlm_exec *e, xlm_step_env env);

// Per-instruction wall seconds, summed while on; index as in the rank plan's instrs. NULL turns it off.
// Caller's memory.
void xlm_exec_profile(xlm_exec *e, double *seconds);

// Notes every run of a segment and every instruction of training steps while on; NULL turns it off.
void xlm_exec_record(xlm_exec *e, xlm_record *r);

// Memory errors of kernels show: fills dead memory with NaN between instructions (tests).
void xlm_exec_poison(xlm_exec *e, bool on);

#endif
