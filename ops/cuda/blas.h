// Matrix products as cublasLtMatmul takes them: D = op(A) op(B) + beta C + bias, column by column, one
// strided batch. Row-major C = A B is column-major C' = B' A', so the two operands change places, and a bias
// of C's columns is one of D's rows, as the library has it: packed, of D's type, with as many elements as D
// has rows.
#ifndef XLM_CUDA_BLAS_H
#define XLM_CUDA_BLAS_H

#include "runtime/device/matmul.h"

XLM_C_BEGIN

// The product of a call: of operands 0 and 1; of contract_acc, which adds it to operand 0, of 1 and 2.
xlm_matmul xlm_cuda_product_of(const xlm_call *c);

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
  // bias: elements between the vectors of two entries, and of two calls
  bool biased;
  int64_t bias_batch, bias_loop;
} xlm_blas;

// Is the product one that cublasLtMatmul computes? Types alike, no ragged rows, each of m, n, k one dimension
// with a unit stride where it is needed, and at most two dimensions more (batch, or what does not merge into
// m or n). A bias has an element for each row of D.
bool xlm_blas_of(const xlm_matmul *p, xlm_blas *out);

// Bytes that the library may use: room for the sums of 32 parts of k, and never more than 32 MiB.
uint64_t xlm_blas_workspace(const xlm_blas *b);

XLM_C_END

#endif
