// Finds the CPU's instruction set once. The answer is kept in one atomic word: two threads that ask first at
// the same time both compute the same value, so no lock is needed.
#include "ops/cpu/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN = 0x100, BF16 = 0x80, LEVEL = 0x7f };

#if defined(__x86_64__)
static xlm_isa machine_isa(void) {
  __builtin_cpu_init();
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
  return v4 ? XLM_ISA_AVX512 : v3 ? XLM_ISA_AVX2 : XLM_ISA_BASE;
}

static bool machine_bf16(void) {
  return __builtin_cpu_supports("avx512bf16");
}
#else
static xlm_isa machine_isa(void) {
  return XLM_ISA_BASE;
}
static bool machine_bf16(void) {
  return false;
}
#endif

static xlm_isa wanted_isa(void) {
  const char *e = getenv("XLM_CPU_ISA");
  if (e && !strcmp(e, "base")) return XLM_ISA_BASE;
  if (e && !strcmp(e, "avx2")) return XLM_ISA_AVX2;
  return XLM_ISA_AVX512;
}

static int detect(void) {
  xlm_isa have = machine_isa(), want = wanted_isa(), isa = want < have ? want : have;
  return KNOWN | (int)isa | (isa == XLM_ISA_AVX512 && machine_bf16() ? BF16 : 0);
}

static int state(void) {
  static _Atomic int cached;
  int s = atomic_load_explicit(&cached, memory_order_relaxed);
  if (!s) {
    s = detect();
    atomic_store_explicit(&cached, s, memory_order_relaxed);
  }
  return s;
}

xlm_isa xlm_cpu_isa(void) {
  return (xlm_isa)(state() & LEVEL);
}
bool xlm_cpu_has_bf16(void) {
  return state() & BF16;
}
