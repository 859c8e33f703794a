// Runs every op case. `test_ops [PATTERN]`: only cases whose "op.name" contains PATTERN. XLM_CPU_ISA chooses
// the kernels' instruction set (the test suite runs all of them).
#include "tests/ops/run_op.h"

int main(int argc, char **argv) {
  return op_cases_main("ops", argc > 1 ? argv[1] : NULL, NULL);
}
