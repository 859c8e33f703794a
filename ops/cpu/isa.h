// Which copy of a CPU kernel runs: every kernel file of ops/cpu is compiled once per instruction set
// (ops/CMakeLists.txt defines XLM_ISA=base|avx2|avx512 and XLM_ISA_<it>=1), and its exported names carry the
// set's name as a suffix:
//
//   void XLM_ISA_NAME(xlm_gelu_rows)(...) { ... }       defines xlm_gelu_rows_avx512 in the avx512 copy
//
// A *_dispatch.c file is compiled once, declares the copies, and picks one by xlm_cpu_isa(). Off x86 only
// base exists.
#ifndef XLM_OPS_CPU_ISA_H
#define XLM_OPS_CPU_ISA_H

#include <stdbool.h>

typedef enum xlm_isa {
  XLM_ISA_BASE,
  XLM_ISA_AVX2,
  XLM_ISA_AVX512
} xlm_isa; // ordered: each contains those before it

// The best set that this machine has and for which copies are built (x86-64-v2, v3, v4). The environment
// variable XLM_CPU_ISA=base|avx2|avx512 can lower it, never raise it; read once. Cheap after the first call;
// any thread.
xlm_isa xlm_cpu_isa(void);
// vdpbf16ps may be used: AVX512-BF16 exists and xlm_cpu_isa() is AVX512.
bool xlm_cpu_has_bf16(void);

#define XLM_ISA_PASTE2(sym, isa) sym##_##isa
#define XLM_ISA_PASTE(sym, isa) XLM_ISA_PASTE2(sym, isa)
#define XLM_ISA_NAME(sym) XLM_ISA_PASTE(sym, XLM_ISA)

#endif
