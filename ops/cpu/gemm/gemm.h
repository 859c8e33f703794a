// Matrix product for CPUs, the core of `contract`: C[b][i][j] = add[b][i][j] + sum_p A[b][i][p] * B[b][p][j].
//
// Blocked and packed after Goto & van de Geijn ("Anatomy of High-Performance Matrix Multiplication") and
// BLIS. Each of the index groups b, i (m), j (n), p (k) is a list of (size, strides): packing reads any order
// of dimensions directly, so operands are never transposed in memory. The order of the sum over p depends on
// k alone, never on threads, m, n or b, so an element has the same bits however the work is divided. Nothing
// is allocated; the caller provides the workspace.
#ifndef XLM_GEMM_GEMM_H
#define XLM_GEMM_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "ops/cpu/isa.h"
#include "runtime/base/pool.h"

enum { XLM_GEMM_DIMS = 6 };

typedef struct xlm_gemm_index { // one index group, outermost first; strides in elements; 0 where the operand
                                // lacks it
  int n;
  int64_t size[XLM_GEMM_DIMS];
  int64_t a[XLM_GEMM_DIMS], b[XLM_GEMM_DIMS], c[XLM_GEMM_DIMS];
} xlm_gemm_index;

typedef enum xlm_gemm_ragged {
  XLM_GEMM_DENSE,
  XLM_GEMM_RAGGED_M,
  XLM_GEMM_RAGGED_N,
  XLM_GEMM_RAGGED_K
} xlm_gemm_ragged;

// How it is computed; every form adds in the same order.
typedef enum xlm_gemm_form {
  XLM_GEMM_TILED,    // A and B packed, tile by tile
  XLM_GEMM_FEW_ROWS, // no more rows than a tile: bound by reading B, which is not packed for sharing
  XLM_GEMM_BY_EXPERT // ragged rows: one or the other, depending on each expert's rows
} xlm_gemm_form;

typedef struct xlm_gemm {
  xlm_gemm_index batch, m, n, k;
  xlm_dtype a, b, c; // F32 or BF16 each; sums are always f32
  bool add;          // C = add + A.B; `add` has C's type and strides (add == C accumulates)
  // Ragged (experts): batch has exactly one dimension, with E entries; the ragged group is one dimension, and
  // entry e has its indices offsets[e] .. offsets[e+1]. The ragged group's strides address rows from offset 0
  // of the whole packed tensor, so an operand with the ragged dimension has batch stride 0. RAGGED_K with an
  // empty range gives zero (+ add).
  xlm_gemm_ragged ragged;
  // The kernel, set by xlm_gemm_choose or from a plan.
  xlm_cpu_arch arch;
  xlm_gemm_form form;
  bool pairs;
} xlm_gemm;

// Merges neighbouring dimensions of a group where the strides allow it, and drops dimensions of size 1.
// Idempotent.
void xlm_gemm_simplify(xlm_gemm *g);

// Is this form possible on this arch? pairs: bf16 operands are multiplied in pairs (vdpbf16ps), which rounds
// differently. TILED without pairs is always possible.
bool xlm_gemm_can(const xlm_gemm *g, xlm_cpu_arch arch, xlm_gemm_form form, bool pairs);
// Sets arch, form and pairs to the best possible on this arch.
void xlm_gemm_choose(xlm_gemm *g, xlm_cpu_arch arch);

// Bytes of workspace for `threads` workers; a pure function of its arguments, for any arch on any machine.
size_t xlm_gemm_workspace(const xlm_gemm *g, int threads);

// Runs on `pool` (NULL: this thread). offsets: E + 1 entries, NULL unless ragged. add: NULL unless g->add.
void xlm_gemm_run(const xlm_gemm *g, const void *a, const void *b, const void *add, void *c,
                  const int32_t *offsets, void *workspace, xlm_pool *pool);

#endif
