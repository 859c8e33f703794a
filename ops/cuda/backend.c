// The CUDA backend. Every build plans for it; XLM_CUDA_KERNELS: this one has the kernels.
#include <pthread.h>

#include "ops/cuda/attend_cudnn.h"
#include "ops/cuda/backend_priv.h"
#include "runtime/device/cuda/cuda.h"

static const char *const archs[] = {"sm_80", "sm_90", "sm_100", NULL};

static xlm_planned plan(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                        const xlm_mesh *mesh, const xlm_target *t, xlm_kernel_choice *out) {
  return xlm_kernel_plan(xlm_cuda_planned(instr->op), instr, tensors, dims, mesh, t, out);
}

#ifdef XLM_CUDA_KERNELS
static xlm_kernel kernels[XLM_OP_COUNT];

static void fill_kernels(void) {
#define XLM_CUDA(name, NAME)                                                                                 \
  kernels[XLM_OP_##NAME] = *xlm_cuda_planned(XLM_OP_##NAME);                                                 \
  kernels[XLM_OP_##NAME].run = xlm_cuda_##name;
#define XLM_CUDA_PREPARED(name, NAME, what)                                                                  \
  XLM_CUDA(name, NAME)                                                                                       \
  kernels[XLM_OP_##NAME].prepare = xlm_cuda_prepare_##what;
#define XLM_CUDA_JOINED(name, NAME)                                                                          \
  XLM_CUDA(name, NAME)                                                                                       \
  kernels[XLM_OP_##NAME].joins = xlm_cuda_##name##_joins;                                                    \
  kernels[XLM_OP_##NAME].run_all = xlm_cuda_##name##_all;
#include "ops/cuda/kernels.def"
#undef XLM_CUDA
  kernels[XLM_OP_FUSED].request = xlm_cuda_request_fused;
}

static const xlm_kernel *find(const char *arch, xlm_op_id op) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)arch;
  (void)pthread_once(&once, fill_kernels);
  return kernels[op].run ? &kernels[op] : NULL;
}

static const char *here(void) {
  return xlm_cuda_arch_here();
}

static bool has_attention(const char *arch) {
  const xlm_cudnn *dnn;
  return xlm_cudnn_table(&dnn, NULL) == XLM_OK && xlm_cudnn_attends(dnn, arch);
}
#else
static bool has_attention(const char *arch) {
  (void)arch;
  return false;
}

static const char *here(void) {
  return NULL;
}

static const xlm_kernel *find(const char *arch, xlm_op_id op) {
  (void)arch, (void)op;
  return NULL;
}
#endif

extern const xlm_backend xlm_backend_cuda;
const xlm_backend xlm_backend_cuda = {.info = {"cuda", archs, 256, plan},
                                      .device = &xlm_device_cuda,
                                      .title = "CUDA",
                                      .here = here,
                                      .has_attention = has_attention,
                                      .find = find};
