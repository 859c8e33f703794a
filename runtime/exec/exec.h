// The executor: runs the plan of one rank, and only the plan.
//
// Opening takes one arena of exactly plan->arena_bytes, resolves every instruction to a kernel and addresses,
// and lets kernels prepare. After that a step allocates nothing. States are not initialised here: the caller
// fills them (see runtime/checkpoint) before the first step. One thread drives one executor.
#ifndef XLM_EXEC_EXEC_H
#define XLM_EXEC_EXEC_H

#include "runtime/device/device.h"
#include "runtime/exec/record.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/states.h"

XLM_C_BEGIN

typedef struct xlm_exec xlm_exec;

// rank: index into plan->rank_plan_of. threads: workers of this rank, at most plan->target.threads. comm: of
// this rank, kept by the caller; NULL when the plan has one rank.
xlm_status xlm_exec_open(const xlm_plan *plan, uint32_t rank, const xlm_backend *backend, int threads,
                         xlm_comm *comm, xlm_exec **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_exec_close(xlm_exec *e);

const xlm_plan *xlm_exec_plan(const xlm_exec *e);
const xlm_rank_plan *xlm_exec_rank_plan(const xlm_exec *e);
xlm_pool *xlm_exec_pool(xlm_exec *e);

// What goes into the arena and what comes out of it, in pieces: `bytes` bytes from byte `at` of a local
// tensor of the type the plan gives, dense. Indices are those of the rank plan's states, inputs and outputs.
// All return when the host's memory may be used again. A put is seen by everything that runs after it, a get
// sees everything that was started before it. Nothing is allocated.
xlm_status xlm_exec_put_state(xlm_exec *e, uint32_t state, size_t at, const void *from, size_t bytes,
                              xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_exec_get_state(xlm_exec *e, uint32_t state, size_t at, void *to, size_t bytes,
                              xlm_error *err) XLM_MUST_CHECK;
// An input of the running microbatch, or of the eval segment. has: false for one that the running chunk (or
// the eval segment) does not have.
bool xlm_exec_has_input(const xlm_exec *e, uint32_t input, bool eval);
xlm_status xlm_exec_put_input(xlm_exec *e, uint32_t input, bool eval, size_t at, const void *from,
                              size_t bytes, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_exec_get_output(xlm_exec *e, uint32_t output, size_t at, void *to, size_t bytes,
                               xlm_error *err) XLM_MUST_CHECK;
// An output or input that is a scalar, f32 or f64 in the plan.
xlm_status xlm_exec_put_scalar(xlm_exec *e, uint32_t input, bool eval, double value,
                               xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_exec_get_scalar(xlm_exec *e, uint32_t output, double *value, xlm_error *err) XLM_MUST_CHECK;
// The states of a plan of one rank.
xlm_states xlm_exec_states(xlm_exec *e);

// Fills the microbatch's inputs before its first segment; microbatch -1: those of the step, before its first.
typedef xlm_status xlm_exec_feed(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err);

// One optimizer step: the plan's schedule. env.first_row is that of the first microbatch. Outputs of role
// loss and metric are readable afterwards.
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

XLM_C_END

#endif
