// Geometry of a matrix product, for the kernels of all backends: C[b][i][j] = add[b][i][j] + sum_p A[b][i][p]
// * B[b][p][j] + bias[j].
//
// Each of the index groups b (batch), i (m), j (n), p (k) is a list of (size, strides), outermost first: any
// order of dimensions is read where it lies.
#ifndef XLM_DEVICE_MATMUL_H
#define XLM_DEVICE_MATMUL_H

#include "runtime/device/kernel.h"

XLM_C_BEGIN

enum { XLM_MATMUL_DIMS = 6 }; // of one group, at most

typedef struct xlm_matmul_index { // strides in elements; 0 where the operand lacks the dimension
  int n;
  int64_t size[XLM_MATMUL_DIMS];
  int64_t a[XLM_MATMUL_DIMS], b[XLM_MATMUL_DIMS], c[XLM_MATMUL_DIMS];
} xlm_matmul_index;

typedef enum xlm_ragged { XLM_RAGGED_NONE, XLM_RAGGED_M, XLM_RAGGED_N, XLM_RAGGED_K } xlm_ragged;

typedef struct xlm_matmul {
  xlm_matmul_index batch, m, n, k;
  xlm_dtype a, b, c; // F32 or BF16 each; sums are fp32
  bool add;          // `add` has C's type and strides (add == C accumulates)
  // Elements of the bias, in C's type, which is added to the whole sum; 0: none. It belongs to the ends of
  // C's rows, so C's element at offset i gets element i % bias, and that depends on j alone.
  int64_t bias;
  // Ragged (experts): batch has exactly one dimension, of E entries; the ragged group is one dimension, and
  // entry e owns its indices offsets[e] .. offsets[e+1]. The ragged group's strides address rows from offset
  // 0 of the whole packed tensor, so an operand that has the ragged dimension has batch stride 0. RAGGED_K
  // with an empty range gives zero
  // (+ add).
  xlm_ragged ragged;
} xlm_matmul;

// The product of a call's operands `at` and `at + 1`, summed over the dims of the attribute `over`.
xlm_matmul xlm_matmul_of(const xlm_call *c, int at);
// The same of operands 0 and 1 of contract_bias, with what is added.
xlm_matmul xlm_matmul_biased(const xlm_call *c);
// Operands of contract_bias: the bias, and the addend of the result's type (`add`). 0: there is none.
int xlm_matmul_bias_operand(const xlm_call *c);
int xlm_matmul_add_operand(const xlm_call *c);
// Merges neighbouring dimensions of a group whose strides allow it, drops dimensions of size 1. Idempotent.
void xlm_matmul_simplify(xlm_matmul *p);
// Brings it to a form where C's rows are contiguous if C is contiguous in any way: dimensions of m and n in
// the order of C's strides, simplified; where C's neighbours run along m, A and B change places (C^T = B^T
// A^T): then it returns true. k keeps its order, which is that of the sum.
bool xlm_matmul_normalise(xlm_matmul *p);
int64_t xlm_matmul_count(const xlm_matmul_index *x); // product of the sizes

XLM_C_END

#endif
