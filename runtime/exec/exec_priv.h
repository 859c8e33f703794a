// Internals shared by the files of the executor.
#ifndef XLM_EXEC_EXEC_PRIV_H
#define XLM_EXEC_EXEC_PRIV_H

#include "runtime/exec/exec.h"

typedef struct exec_bound { // one instruction, ready to run
  xlm_call call;
  const xlm_kernel *kernel;
  xlm_work work;
  const uint32_t *slotted; // positions of operands (inputs, then outputs) that are in slots
  uint16_t n_slotted;
  bool marked; // the other stream waits for it
  // From this instruction on, n_series that the kernel runs at once; 0 = none, or it belongs to an earlier
  // one's.
  const xlm_call *const *series;
  uint32_t n_series;
  xlm_work together;   // their work
  const xlm_call *own; // &call: a list of one
} exec_bound;

typedef struct exec_rows { // of a program; see exec_rows.c
  xlm_dim batch;           // 0: nothing is left out
  int64_t places;          // of every sequence
  xlm_row_range all, last; // [batch, chunk]; [batch, chunk.last]
} exec_rows;

struct xlm_exec {
  const xlm_plan *plan;
  const xlm_rank_plan *rank; // points to `own`
  xlm_rank_plan own;         // the shared plan with this rank's offsets
  xlm_device *device;
  char *arena;       // arena_bytes of device memory; the executor passes addresses on and never dereferences
                     // them
  xlm_arena *tables; // bound instructions and what kernels prepared
  exec_bound *bound;
  bool *communicates, *together; // by segment; see xlm_device_segment
  xlm_routes routes;
  xlm_step_env env;
  exec_rows rows[XLM_PROGRAMS];
  xlm_comm *comm;
  size_t *box_at;         // by output: its bytes in a box; of losses and metrics
  char *boxes[XLM_BOXES]; // where the device has none
  double *seconds;
  xlm_record *record;
  int16_t chunk;       // of the segment that runs or is being fed
  const int32_t *slot; // its slots; NULL = the first of each area
  bool poison;
};

static inline void *exec_address(const xlm_exec *e, uint32_t tensor) {
  return xlm_plan_address(e->rank, &e->rank->tensors[tensor], e->arena, e->slot);
}

// Copies part of a tensor, in the slots of the current microbatch.
xlm_status exec_put(xlm_exec *e, uint32_t tensor, size_t at, const void *from, size_t bytes, xlm_error *err);
xlm_status exec_get(xlm_exec *e, uint32_t tensor, size_t at, void *to, size_t bytes, xlm_error *err);

// Starts a run of the segment on the device. *known: the device repeats it as a whole. apart: its
// instructions are run and inspected one by one.
xlm_status exec_begin(xlm_exec *e, uint32_t segment, bool apart, bool *known, xlm_error *err) XLM_MUST_CHECK;
// Passes instruction i to the device, after what it depends on. Operands in slots are bound to those of the
// current microbatch.
void exec_enqueue(xlm_exec *e, uint32_t i);
// The same with its series, if it begins one; returns the next instruction.
uint32_t exec_enqueue_series(xlm_exec *e, uint32_t i);
// Finds the series of all segments (exec_series.c).
void exec_find_series(xlm_exec *e);
// Finds the calls that can leave out rows; and which count in the next run of the program, from the counts of this
// rank's sequences; NULL: all rows (exec_rows.c).
void exec_find_rows(xlm_exec *e);
void exec_count_rows(xlm_exec *e, xlm_program_id program, const int32_t *count);
// Finds for every work what the work after it reads (exec_ahead.c).
void exec_find_ahead(xlm_exec *e);
// Prefixes the message in err with `op` of scope (file:line).
xlm_status exec_name(const xlm_exec *e, uint32_t instr, xlm_error *err);
// Waits for all work. A failure is reported with the op and its model line.
xlm_status exec_sync(xlm_exec *e, xlm_error *err) XLM_MUST_CHECK;
xlm_status exec_run(void *arg, uint32_t instr); // the work of an instruction

#endif
