// The program of `fused` as the CPU's kernel runs it: registers assigned, its space cut into blocks. Built
// once, at load, and for planning.
#ifndef XLM_OPS_CPU_FUSED_PROGRAM_PRIV_H
#define XLM_OPS_CPU_FUSED_PROGRAM_PRIV_H

#include "ops/cpu/reduce_priv.h"
#include "runtime/plan/code.h"

enum {
  FUSED_BLOCK = 512,
  FUSED_MAX_VALUES = XLM_CODE_MAX_IN + 2 * XLM_CODE_MAX,
  FUSED_TO_BF16 = XLM_FN_COUNT // a cast to bf16, as a function
};

typedef struct fused_step { // load operand a[0], or run fn
  bool load;
  uint16_t fn, a[3], out; // values
  float attribute;        // of a function of rows
} fused_step;

// Block i begins at element i / per_run * run + i % per_run * block, and ends before the next one, before the
// next multiple of `run`, and at the end of the space.
typedef struct fused_cut {
  int64_t run, block, per_run;
  int64_t count; // of blocks; those that would begin behind the end of the space are empty
  int64_t unit;  // blocks that belong to one worker: those that add to the same partial sums
} fused_cut;

// Values: operands, then the program's results, then its immediates.
typedef struct fused_program {
  int n_in, n_steps, n_values, n_slots, n_out;
  int n_whole;      // results; those that are summed follow
  int first_number; // values from here on are immediates
  fused_step steps[XLM_CODE_MAX_IN + XLM_CODE_MAX];
  uint16_t slot[FUSED_MAX_VALUES]; // register of each value
  float number[XLM_CODE_MAX];
  uint16_t out[XLM_CODE_MAX_OUT];
  int16_t stored_by[FUSED_MAX_VALUES]; // f32 result into which a value is computed directly; -1 = none
  bool fixed[XLM_CODE_MAX_IN];         // the same for all blocks: loaded once
  bool dense[XLM_CODE_MAX_IN];         // element i of the space is element i of the operand
  bool walks;                          // there are operands of neither kind: they need a block's index
  int n_dims;                          // after merging; at least 1
  int64_t size[XLM_MAX_RANK], total;
  int64_t stride[XLM_CODE_MAX_IN][XLM_MAX_RANK];
  int64_t len;       // of a row; 0: there are no rows
  bool whole_rows;   // blocks consist of them, for functions of rows
  reduce_tiles sums; // of each result that is summed
  fused_cut cut;
  int64_t slot_len; // floats of a register
} fused_program;

// Without the attribute `code` (`broadcast`), the program copies operand 0.
void XLM_ISA_NAME(fused_compile)(const xlm_call *c, fused_program *p);

#endif
