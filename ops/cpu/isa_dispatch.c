// Detects the CPU's instruction sets, once. The result is one atomic word: threads that race compute the same
// value, so no lock is needed.
#include "ops/cpu/isa.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char *const xlm_cpu_arch_names[XLM_CPU_ARCHS + 1] = {"base",        "avx2",       "avx512",
                                                           "avx512_bf16", "avx512_amx", NULL};

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

#if defined(XLM_EMULATED) // tests/ops
static xlm_cpu_arch detect(void) {
  return XLM_CPU_AVX512_AMX;
}
#elif defined(__x86_64__)
// Tiles of bf16, saved by the operating system, which must grant them to the process.
static bool has_amx(void) {
  enum { OSXSAVE = 1 << 27, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, TILE_STATES = 3 << 17 };
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (AMX_BF16 | AMX_TILE)) != (AMX_BF16 | AMX_TILE))
    return false;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & TILE_STATES) != TILE_STATES) return false;
#if defined(__linux__)
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
  return false;
#endif
}

static xlm_cpu_arch detect(void) {
  __builtin_cpu_init();
  bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
  if (v4 && __builtin_cpu_supports("avx512bf16")) return has_amx() ? XLM_CPU_AVX512_AMX : XLM_CPU_AVX512_BF16;
  if (v4) return XLM_CPU_AVX512;
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
