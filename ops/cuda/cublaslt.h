// The functions of cuBLASLt that products use, in one table: the library's own, loaded when first used, or a
// test's. Types and values are those of cublasLt.h (CUDA 12 and later), which does not change them.
#ifndef XLM_CUDA_CUBLASLT_H
#define XLM_CUDA_CUBLASLT_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct lt_context *lt_handle;
typedef struct lt_matmul_desc *lt_desc;
typedef struct lt_matrix_layout *lt_layout;
typedef struct lt_preference *lt_preference;
typedef struct lt_algo { // opaque
  uint64_t data[8];
} lt_algo;
typedef struct lt_heuristic {
  lt_algo algo;
  size_t workspace;
  int state; // 0: it may be used
  float waves;
  int reserved[4];
} lt_heuristic;

enum { LT_R_32F = 0, LT_R_16BF = 14, LT_COMPUTE_32F = 68 };
enum { LT_DESC_TRANSA = 3, LT_DESC_TRANSB = 4 };                    // int32_t
// uint32_t; const void *, whose alignment the choice of an algorithm depends on; int64_t
enum { LT_DESC_EPILOGUE = 7, LT_DESC_BIAS = 8, LT_DESC_BIAS_STRIDE = 10 };
enum { LT_EPILOGUE_NONE = 1, LT_EPILOGUE_BIAS = 4 };
enum { LT_LAYOUT_BATCH_COUNT = 5, LT_LAYOUT_BATCH_STRIDE = 6 };     // int32_t, int64_t
enum { LT_PREFERENCE_WORKSPACE = 1, LT_PREFERENCE_REDUCTIONS = 3 }; // uint64_t, uint32_t
enum {
  LT_PREFERENCE_ALIGN_A = 5,
  LT_PREFERENCE_ALIGN_B,
  LT_PREFERENCE_ALIGN_C,
  LT_PREFERENCE_ALIGN_D
}; // uint32_t
enum { LT_REDUCTION_IN_PLACE = 1, LT_REDUCTION_COMPUTE_TYPE = 2, LT_REDUCTION_OUTPUT_TYPE = 4 };

typedef struct xlm_cublaslt { // all return 0 for success
  int (*create)(lt_handle *h);
  int (*destroy)(lt_handle h);
  int (*desc_create)(lt_desc *d, int compute, int scale);
  int (*desc_set)(lt_desc d, int attr, const void *value, size_t bytes);
  int (*desc_destroy)(lt_desc d);
  int (*layout_create)(lt_layout *l, int type, uint64_t rows, uint64_t cols, int64_t ld);
  int (*layout_set)(lt_layout l, int attr, const void *value, size_t bytes);
  int (*layout_destroy)(lt_layout l);
  int (*preference_create)(lt_preference *p);
  int (*preference_set)(lt_preference p, int attr, const void *value, size_t bytes);
  int (*preference_destroy)(lt_preference p);
  int (*heuristic)(lt_handle h, lt_desc d, lt_layout a, lt_layout b, lt_layout c, lt_layout out,
                   lt_preference p, int n, lt_heuristic *results, int *found);
  int (*matmul)(lt_handle h, lt_desc d, const void *alpha, const void *a, lt_layout la, const void *b,
                lt_layout lb, const void *beta, const void *c, lt_layout lc, void *out, lt_layout lout,
                const lt_algo *algo, void *workspace, size_t workspace_bytes, void *stream);
} xlm_cublaslt;

// XLM_ENV when there is none, with what to do.
xlm_status xlm_cublaslt_table(const xlm_cublaslt **out, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
