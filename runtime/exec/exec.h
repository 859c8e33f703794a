// The executor: runs the plan of one rank, and only the plan.
//
// Opening allocates one arena of exactly plan->arena_bytes, resolves every instruction to a kernel and
// addresses, and lets kernels prepare. After that a step allocates nothing. States are not initialised here:
// the caller fills them (runtime/state) before the first step. One thread drives one executor.
#ifndef XLM_EXEC_EXEC_H
#define XLM_EXEC_EXEC_H

#include "runtime/device/device.h"
#include "runtime/exec/record.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/states.h"

XLM_C_BEGIN

typedef struct xlm_exec xlm_exec;

// rank: index into plan->rank_plan_of. threads: workers of this rank, at most plan->target.threads. comm: of
// this rank, owned by the caller; NULL when the plan has one rank.
xlm_status xlm_exec_open(const xlm_plan *plan, uint32_t rank, const xlm_backend *backend, int threads,
                         xlm_comm *comm, xlm_exec **out, xlm_error *err) XLM_MUST_CHECK;
// Connects the device's link; see connect in device.h. All ranks call it at once, each from the thread that
// drives its executor; and so they close, if they are connected.
xlm_status xlm_exec_connect(xlm_exec *e, xlm_error *err) XLM_MUST_CHECK;
void xlm_exec_close(xlm_exec *e);
const char *xlm_exec_link(const xlm_exec *e); // how data gets to other ranks; NULL: over the control plane

const xlm_plan *xlm_exec_plan(const xlm_exec *e);
const xlm_rank_plan *xlm_exec_rank_plan(const xlm_exec *e);
xlm_pool *xlm_exec_pool(xlm_exec *e);

// Data in and out of the arena, in pieces: `bytes` bytes from byte `at` of a local tensor of the type in the
// plan, dense. Indices are those of the rank plan's states, inputs and outputs. All return when the host
// buffer may be reused. Everything that runs after a put sees it; a get sees the results of everything
// started before it. Nothing is allocated.
xlm_status xlm_exec_put_state(xlm_exec *e, uint32_t state, size_t at, const void *from, size_t bytes,
                              xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_exec_get_state(xlm_exec *e, uint32_t state, size_t at, void *to, size_t bytes,
                              xlm_error *err) XLM_MUST_CHECK;
// An input of the current microbatch (train), or of another program. has: false if the current chunk (or the
// program) does not have it. An output belongs to one program; it can be read until another runs.
bool xlm_exec_has_input(const xlm_exec *e, uint32_t input, xlm_program_id program);
xlm_status xlm_exec_put_input(xlm_exec *e, uint32_t input, xlm_program_id program, size_t at,
                              const void *from, size_t bytes, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_exec_get_output(xlm_exec *e, uint32_t output, size_t at, void *to, size_t bytes,
                               xlm_error *err) XLM_MUST_CHECK;
// A scalar output or input, f32 or f64 in the plan.
xlm_status xlm_exec_put_scalar(xlm_exec *e, uint32_t input, xlm_program_id program, double value,
                               xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_exec_get_scalar(xlm_exec *e, uint32_t output, double *value, xlm_error *err) XLM_MUST_CHECK;
// The values of a loss or metric, f32 or f64 in the plan, in two parts: fetch starts to copy those that
// everything started so far gives, into a box (0 .. XLM_BOXES - 1); fetched waits for them. Between the two
// the next step may be started; what was fetched stays until the box is used again.
xlm_status xlm_exec_fetch(xlm_exec *e, int box, uint32_t output, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_exec_fetched(xlm_exec *e, int box, uint32_t output, double *values,
                            xlm_error *err) XLM_MUST_CHECK;
// How many values the output has, 1 if it is a scalar.
int64_t xlm_exec_output_size(const xlm_exec *e, uint32_t output);
// Do steps go on after xlm_exec_step has returned? Then the next is best started before results are read.
bool xlm_exec_runs_behind(const xlm_exec *e);
// The states of a plan with one rank.
xlm_states xlm_exec_states(xlm_exec *e);

// Fills the microbatch's inputs before its first segment; microbatch -1: those of the step, before its first
// segment.
typedef xlm_status xlm_exec_feed(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err);

// One optimizer step: runs the plan's schedule. env.first_row is that of the first microbatch. Outputs of
// role loss and metric are readable afterwards.
xlm_status xlm_exec_step(xlm_exec *e, xlm_step_env env, xlm_exec_feed *feed, void *feed_arg,
                         xlm_error *err) XLM_MUST_CHECK;

// Runs a program other than train once, on inputs already put. XLM_USER: the plan does not have it.
xlm_status xlm_exec_run(xlm_exec *e, xlm_program_id program, xlm_step_env env, xlm_error *err) XLM_MUST_CHECK;

// May kernels of prefill or decode leave out rows that the input `decode/count` does not count (xlm_row_range)?
// The same for all ranks.
bool xlm_exec_leaves_rows(const xlm_plan *p, xlm_program_id program);

// Bytes of the arena, equal to the plan's; all memory, with that of tables.
uint64_t xlm_exec_arena_bytes(const xlm_exec *e);
const xlm_device_kind *xlm_exec_device(const xlm_exec *e);
xlm_device_memory xlm_exec_memory(const xlm_exec *e);

// For the message after a non-finite loss: runs forward segments again on the present inputs, instruction by
// instruction, and returns the first result (name, op, model line) with a non-finite value; name NULL when
// there is none.
typedef struct xlm_bad_tensor {
  const char *name, *op, *scope;
  uint32_t line;
} xlm_bad_tensor;
xlm_bad_tensor xlm_exec_first_bad(xlm_exec *e, xlm_step_env env);

// Adds up wall seconds per instruction in `seconds` (caller's memory, indexed like the rank plan's instrs);
// NULL turns it off.
void xlm_exec_profile(xlm_exec *e, double *seconds);

// Records every run of a segment and of an instruction in training steps; NULL turns it off.
void xlm_exec_record(xlm_exec *e, xlm_record *r);

// Fills dead memory with NaN between instructions, so that kernels that read it are found (tests).
void xlm_exec_poison(xlm_exec *e, bool on);

XLM_C_END

#endif
