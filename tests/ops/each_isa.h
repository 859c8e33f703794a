// Runs tests on every instruction set of this machine: a child process each, since XLM_CPU_ISA is read once.
// With XLM_EMULATED on those that an emulation has, which needs AVX2.
#ifndef XLM_TESTS_OPS_EACH_ISA_H
#define XLM_TESTS_OPS_EACH_ISA_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/cpu/isa.h"

#if defined(XLM_EMULATED)
enum { FIRST_ARCH = XLM_CPU_AVX512 };
static inline bool can_run(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
enum { FIRST_ARCH = XLM_CPU_BASE };
static inline bool can_run(void) {
  return true;
}
#endif

static inline int each_isa(int (*run_all)(void)) { // the program's exit code
  int failed = 0;
  if (!can_run()) return 77;
  for (int i = FIRST_ARCH; i < XLM_CPU_ARCHS; i++) {
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
