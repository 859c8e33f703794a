// Matrix products as cublasLtMatmul takes them: D = op(A) op(B) + beta C, column by column, one strided
// batch. Row-major C = A B is column-major C' = B' A', so the two operands change places.
#ifndef XLM_CUDA_BLAS_H
#define XLM_CUDA_BLAS_H

#include "runtime/device/matmul.h"

XLM_C_BEGIN

typedef struct xlm_blas_matrix { // as stored, column-major
  int64_t rows, cols, ld;
  int64_t batch, loop; // elements between entries
} xlm_blas_matrix;

typedef struct xlm_blas {
  bool first_is_b; // A is the call's second operand; it is the first where the normal form changed their
                   // places
  bool trans_a, trans_b; // op(A) is A transposed
  xlm_blas_matrix a, b, d;
  xlm_dtype in, out;    // of A and B; of C and D
  int64_t batch, loops; // entries of one call; calls
} xlm_blas;

// Is the product one that cublasLtMatmul computes? Types alike, no ragged rows, each of m, n, k one dimension
// with a unit stride where it is needed, and at most two dimensions more (batch, or what does not merge into
// m or n).
bool xlm_blas_of(const xlm_matmul *p, xlm_blas *out);

// Bytes that the library may use: room for the sums of 32 parts of k, and never more than 32 MiB.
uint64_t xlm_blas_workspace(const xlm_blas *b);

XLM_C_END

#endif
