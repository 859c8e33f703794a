// Random programs of `fused`, with functions of rows and sums: each in a graph that computes the same by
// single operations, with every value in memory as f32. t.out are what these give; t.leaf the operands.
#ifndef XLM_TESTS_OPS_FUSED_EXAMPLES_H
#define XLM_TESTS_OPS_FUSED_EXAMPLES_H

#include "runtime/plan/code.h"
#include "tests/ops/run_op.h"

enum { EXAMPLE_DIMS = 3, EXAMPLE_OPERANDS = 5, EXAMPLE_INSTRS = 10 };

typedef struct fused_example {
  op_test t;
  uint64_t seed, state; // of the random numbers
  int64_t size[EXAMPLE_DIMS];
  xlm_dim dim[EXAMPLE_DIMS]; // the space
  xlm_code code;
  xlm_code_instr at[EXAMPLE_INSTRS];
  xlm_val operand[EXAMPLE_OPERANDS];
  xlm_val value[EXAMPLE_OPERANDS + EXAMPLE_INSTRS]; // each register, by itself: of the whole space, f32
  int64_t dtypes[XLM_CODE_MAX_OUT];
} fused_example;

// Returns the first result of the `fused` node.
xlm_val fused_example_build(fused_example *e, xlm_arena *a, uint64_t seed);

#endif
