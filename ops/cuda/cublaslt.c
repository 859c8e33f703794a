// See cublaslt.h: the library itself.
#include "ops/cuda/cublaslt.h"

#include <pthread.h>

#include "runtime/base/library.h"

static const xlm_library_symbol symbols[] = {
    {"cublasLtCreate", offsetof(xlm_cublaslt, create)},
    {"cublasLtDestroy", offsetof(xlm_cublaslt, destroy)},
    {"cublasLtMatmulDescCreate", offsetof(xlm_cublaslt, desc_create)},
    {"cublasLtMatmulDescSetAttribute", offsetof(xlm_cublaslt, desc_set)},
    {"cublasLtMatmulDescDestroy", offsetof(xlm_cublaslt, desc_destroy)},
    {"cublasLtMatrixLayoutCreate", offsetof(xlm_cublaslt, layout_create)},
    {"cublasLtMatrixLayoutSetAttribute", offsetof(xlm_cublaslt, layout_set)},
    {"cublasLtMatrixLayoutDestroy", offsetof(xlm_cublaslt, layout_destroy)},
    {"cublasLtMatmulPreferenceCreate", offsetof(xlm_cublaslt, preference_create)},
    {"cublasLtMatmulPreferenceSetAttribute", offsetof(xlm_cublaslt, preference_set)},
    {"cublasLtMatmulPreferenceDestroy", offsetof(xlm_cublaslt, preference_destroy)},
    {"cublasLtMatmulAlgoGetHeuristic", offsetof(xlm_cublaslt, heuristic)},
    {"cublasLtMatmul", offsetof(xlm_cublaslt, matmul)},
};

static xlm_cublaslt table;
static bool is_loaded;

static void load(void) {
  static const char *const names[] = {"libcublasLt.so", "libcublasLt.so.13", "libcublasLt.so.12", NULL};
  is_loaded = xlm_library_load(names, symbols, sizeof symbols / sizeof *symbols, &table, NULL);
}

xlm_status xlm_cublaslt_table(const xlm_cublaslt **out, xlm_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, load);
  *out = &table;
  if (is_loaded) return XLM_OK;
  return xlm_fail(
      err, XLM_ENV,
      "matrix products need libcublasLt.so (of CUDA 12 or later), which was not found: add its folder to "
      "LD_LIBRARY_PATH");
}
