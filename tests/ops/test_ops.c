// Runs every op case. `test_ops [PATTERN]`: only cases whose "op.name" contains PATTERN. XLM_CPU_ISA chooses
// the kernels' instruction set (the test suite runs all of them): then without finite differences, which are
// of the reference, and skipped if these are the kernels that run without it.
#include <stdio.h>
#include <stdlib.h>

#include "ops/cpu/isa.h"
#include "tests/ops/run_op.h"

static int threads_of_way(int way) {
  return way;
}

int main(int argc, char **argv) {
  const op_subject cpu = {
      .backend = xlm_backend_find("cpu"), .ways = 3, .begin = threads_of_way, .way = "threads"};
  bool chosen = getenv("XLM_CPU_ISA");
  if (chosen && argc == 1 && xlm_cpu_arch_here() == xlm_cpu_machine())
    return printf("skipped: test_ops runs the kernels of %s\n", xlm_cpu_arch_names[xlm_cpu_arch_here()]), 77;
  if (chosen) op_compare(&cpu);
  return op_cases_main("ops", argc > 1 ? argv[1] : NULL, NULL);
}
