// Detects the CPU's instruction sets, once. The result is one atomic word: threads that race compute the same
// value, so no lock is needed.
#include "ops/cpu/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char *const xlm_cpu_arch_names[XLM_CPU_ARCHS + 1] = {"base", "avx2", "avx512", "avx512_bf16", NULL};

const xlm_cpu_tiles xlm_cpu_tiles_of[XLM_ISAS] = {
#define XLM_TILES(isa, lanes, gemm_rows, gemm_vectors, attend_rows, attend_vectors)                          \
  {lanes, gemm_rows, gemm_vectors, attend_rows, attend_vectors},
#include "ops/cpu/tiles.def"
#undef XLM_TILES
};

static xlm_cpu_arch named(const char *name, xlm_cpu_arch unknown) {
  for (int i = 0; name && i < XLM_CPU_ARCHS; i++)
    if (!strcmp(name, xlm_cpu_arch_names[i])) return (xlm_cpu_arch)i;
  return unknown;
}

xlm_cpu_arch xlm_cpu_arch_of(const xlm_target *t) {
  return named(t->arch, XLM_CPU_BASE);
}

#if defined(__x86_64__)
static xlm_cpu_arch detect(void) {
  __builtin_cpu_init();
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
  if (v4) return __builtin_cpu_supports("avx512bf16") ? XLM_CPU_AVX512_BF16 : XLM_CPU_AVX512;
  return v3 ? XLM_CPU_AVX2 : XLM_CPU_BASE;
}
#else
static xlm_cpu_arch detect(void) {
  return XLM_CPU_BASE;
}
#endif

typedef struct found {
  xlm_cpu_arch machine, here;
} found;

static found look(void) {
  enum { KNOWN = 0x100, HERE = 4 };
  static _Atomic int cached;
  int s = atomic_load_explicit(&cached, memory_order_relaxed);
  if (!s) {
    xlm_cpu_arch machine = detect(), wanted = named(getenv("XLM_CPU_ISA"), machine);
    s = KNOWN | (int)machine | (int)(wanted < machine ? wanted : machine) << HERE;
    atomic_store_explicit(&cached, s, memory_order_relaxed);
  }
  return (found){(xlm_cpu_arch)(s & 15), (xlm_cpu_arch)(s >> HERE & 15)};
}

xlm_cpu_arch xlm_cpu_machine(void) {
  return look().machine;
}
xlm_cpu_arch xlm_cpu_arch_here(void) {
  return look().here;
}
