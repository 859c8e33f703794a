// Between the files of the executor.
#ifndef XLM_EXEC_EXEC_PRIV_H
#define XLM_EXEC_EXEC_PRIV_H

#include "runtime/exec/exec.h"

typedef struct exec_bound { // one instruction, ready to run
  xlm_call call;
  const xlm_kernel *kernel;
  xlm_work work;
  const uint32_t *slotted; // operand positions (inputs, then outputs) that lie in slots
  uint16_t n_slotted;
  bool marked; // another one waits for it
} exec_bound;

struct xlm_exec {
  const xlm_plan *plan;
  const xlm_rank_plan *rank; // own
  xlm_rank_plan own;         // the shared plan with this rank's offsets
  xlm_device *device;
  char *arena;       // arena_bytes of the device's memory: addresses to hand on, never to follow
  xlm_arena *tables; // bound instructions and what kernels prepared
  exec_bound *bound;
  xlm_step_env env;
  xlm_comm *comm;
  double *seconds;
  xlm_record *record;
  int16_t chunk;       // of the segment that runs or is fed
  const int32_t *slot; // its slots; NULL = the first
  char where[256];     // see announce
  bool poison;
};

static inline void *exec_address(const xlm_exec *e, uint32_t tensor) {
  return xlm_plan_address(e->rank, &e->rank->tensors[tensor], e->arena, e->slot);
}

// Bytes of a tensor in pieces, in the slots of the running microbatch.
xlm_status exec_put(xlm_exec *e, uint32_t tensor, size_t at, const void *from, size_t bytes, xlm_error *err);
xlm_status exec_get(xlm_exec *e, uint32_t tensor, size_t at, void *to, size_t bytes, xlm_error *err);

// Hands instruction i to the device, behind what it must not overtake; the operands move to the slots of the
// running microbatch.
void exec_enqueue(xlm_exec *e, uint32_t i);
// `op` of scope (file:line), before the sentence in err.
xlm_status exec_name(const xlm_exec *e, uint32_t instr, xlm_error *err);
// All of it is done. What failed is named with the op and its model line.
xlm_status exec_sync(xlm_exec *e, xlm_error *err) XLM_MUST_CHECK;
xlm_status exec_run(void *arg, uint32_t instr); // the work of an instruction

#endif
