// Runs tests on every instruction set of this machine: a child process each, since XLM_CPU_ISA is read once.
#ifndef XLM_TESTS_OPS_EACH_ISA_H
#define XLM_TESTS_OPS_EACH_ISA_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/cpu/isa.h"

static inline int each_isa(int (*run_all)(void)) { // the program's exit code
  int failed = 0;
  for (int i = 0; i < XLM_CPU_ARCHS; i++) {
    pid_t child = fork();
    if (child == 0) {
      setenv("XLM_CPU_ISA", xlm_cpu_arch_names[i], 1);
      if ((int)xlm_cpu_arch_here() != i) _exit(0); // not on this machine
      fprintf(stderr, "%s\n", xlm_cpu_arch_names[i]);
      exit(run_all() != 0);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) < 0) return 1;
    failed |= status != 0;
  }
  return failed;
}

#endif
