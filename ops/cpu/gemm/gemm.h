// Matrix product for CPUs, the core of `contract`: C[b][i][j] = add[b][i][j] + sum_p A[b][i][p] * B[b][p][j]
// + bias[j].
//
// Blocked and packed after Goto & van de Geijn ("Anatomy of High-Performance Matrix Multiplication") and
// BLIS. Any order of dimensions (runtime/device/matmul.h) is
// read where it lies, packing absorbs it, and no operand is ever transposed in memory. The sum over p runs in
// one fixed order that depends on k alone, never on threads, m, n or b: the same element has the same bits
// however the work is divided. Nothing is allocated; the caller gives the workspace.
#ifndef XLM_GEMM_GEMM_H
#define XLM_GEMM_GEMM_H

#include "ops/cpu/isa.h"
#include "runtime/base/pool.h"
#include "runtime/device/matmul.h"

// How it is computed; every form adds in the same order.
typedef enum xlm_gemm_form {
  XLM_GEMM_TILED,    // A and B packed, tile by tile
  XLM_GEMM_FEW_ROWS, // up to 16 rows: bound by reading B, which is not packed for sharing
  XLM_GEMM_BY_EXPERT // ragged rows: one or the other, depending on each expert's rows
} xlm_gemm_form;

typedef struct xlm_gemm {
  xlm_matmul p;
  // Which of the kernels, by xlm_gemm_choose or a plan.
  xlm_cpu_arch arch;
  xlm_gemm_form form;
  bool pairs, amx; // bf16 operands are multiplied two at a time, as vdpbf16ps does or AMX tiles: each rounds
                   // otherwise
  // Columns of the panels that B is stored in, as xlm_gemm_panel gave them, of bf16 two rows together; 0: as
  // the strides say.
  int panel;
} xlm_gemm;

// May the product be computed on its arch as form, pairs and amx say? TILED without pairs always may.
bool xlm_gemm_can(const xlm_gemm *g);
// Sets arch, form, pairs and amx to the best possible on this arch.
void xlm_gemm_choose(xlm_gemm *g, xlm_cpu_arch arch);

// The columns of panels (runtime/plan/type.h) in which B, of which p has the strides of the dense matrix, is
// read fastest on this arch; columns_first: it is [n, k] there. 0: it cannot be stored so.
int xlm_gemm_panel(const xlm_gemm *g, xlm_cpu_arch arch, bool columns_first);

// Bytes of workspace for `threads` workers; a pure function of its arguments, for any arch on any machine.
size_t xlm_gemm_workspace(const xlm_gemm *g, int threads);

// Does it read all of one operand once, each worker its part (xlm_pool_range of its bytes) in the order of
// memory? 0: A, 1: B, -1: neither.
int xlm_gemm_streamed(const xlm_gemm *g);

// Runs on `pool` (NULL: this thread). offsets: E + 1 entries, NULL unless ragged. add, bias: NULL unless g->p
// has them.
void xlm_gemm_run(const xlm_gemm *g, const void *a, const void *b, const void *add, const void *bias, void *c,
                  const int32_t *offsets, void *workspace, xlm_pool *pool);

#endif
