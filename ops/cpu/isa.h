// Selects copies of CPU kernels. Every kernel file of ops/cpu is compiled once per instruction set
// (ops/CMakeLists.txt defines XLM_ISA=base|avx2|avx512 and XLM_ISA_<it>=1), and its exported names have the
// set's name as a suffix:
//
//   void XLM_ISA_NAME(xlm_gelu_rows)(...) { ... }       defines xlm_gelu_rows_avx512 in the avx512 copy
//
// A *_dispatch.c file is compiled once and declares the copies. The plan's target names the arch, and hence
// the copy that runs. Functions for planning (workspace, applicable) are the same in all copies: if they
// depend on tile sizes they use those of the target's arch from ops/cpu/tiles.def. Only base exists on
// machines other than x86.
#ifndef XLM_OPS_CPU_ISA_H
#define XLM_OPS_CPU_ISA_H

#include <stdbool.h>

#include "runtime/plan/target.h"

typedef enum xlm_isa {
  XLM_ISA_BASE,
  XLM_ISA_AVX2,
  XLM_ISA_AVX512,
  XLM_ISAS
} xlm_isa; // each includes those before it

// The archs of the backend: instruction sets, and features that change bits (vdpbf16ps sums pairs, AMX
// tiles sum sixteen pairs at a time).
typedef enum xlm_cpu_arch {
  XLM_CPU_BASE,
  XLM_CPU_AVX2,
  XLM_CPU_AVX512,
  XLM_CPU_AVX512_BF16,
  XLM_CPU_AVX512_AMX,
  XLM_CPU_ARCHS
} xlm_cpu_arch;
extern const char *const xlm_cpu_arch_names[XLM_CPU_ARCHS + 1]; // "base" ..; ends with NULL

enum {
  xlm_arch_base = XLM_CPU_BASE,
  xlm_arch_avx2 = XLM_CPU_AVX2,
  xlm_arch_avx512 = XLM_CPU_AVX512
}; // number of lanes in a copy

static inline xlm_isa xlm_cpu_isa_of(xlm_cpu_arch a) { // the copy that runs
  return a < XLM_CPU_AVX512 ? (xlm_isa)a : XLM_ISA_AVX512;
}
xlm_cpu_arch xlm_cpu_arch_of(const xlm_target *t); // an unknown name: base

// The best arch of this machine for which there is a copy (x86-64-v2, v3, v4, v4 with AVX512-BF16, with
// AMX-BF16 too). Detected once, thread-safe; where the processor has AMX the kernel is asked for its tiles.
xlm_cpu_arch xlm_cpu_machine(void);
// The same, limited by the environment variable XLM_CPU_ISA; an unknown value has no effect (the tools reject
// it).
xlm_cpu_arch xlm_cpu_arch_here(void);

typedef struct xlm_cpu_tiles { // lanes of f32 in a vector; rows and vectors of the tile kept in registers
  int lanes, gemm_rows, gemm_vectors, attend_rows, attend_vectors;
} xlm_cpu_tiles;
extern const xlm_cpu_tiles xlm_cpu_tiles_of[XLM_ISAS];
#define XLM_TILES(isa, lanes, gemm_rows, gemm_vectors, attend_rows, attend_vectors)                          \
  enum {                                                                                                     \
    xlm_tiles_lanes_##isa = lanes,                                                                           \
    xlm_tiles_gemm_rows_##isa = gemm_rows,                                                                   \
    xlm_tiles_gemm_vectors_##isa = gemm_vectors,                                                             \
    xlm_tiles_attend_rows_##isa = attend_rows,                                                               \
    xlm_tiles_attend_vectors_##isa = attend_vectors                                                          \
  };
#include "ops/cpu/tiles.def"
#undef XLM_TILES

#define XLM_ISA_PASTE2(sym, isa) sym##_##isa
#define XLM_ISA_PASTE(sym, isa) XLM_ISA_PASTE2(sym, isa)
#define XLM_ISA_NAME(sym) XLM_ISA_PASTE(sym, XLM_ISA)

#endif
