// The CPU backend: the kernel table of the best instruction set this machine has.
#include "ops/cpu/isa.h"
#include "runtime/device/cpu.h"

typedef const xlm_kernel *const *table_fn(void);
table_fn xlm_cpu_kernels_base;
#if defined(__x86_64__)
table_fn xlm_cpu_kernels_avx2, xlm_cpu_kernels_avx512;
static table_fn *const tables[] = {[XLM_ISA_BASE] = xlm_cpu_kernels_base,
                                   [XLM_ISA_AVX2] = xlm_cpu_kernels_avx2,
                                   [XLM_ISA_AVX512] = xlm_cpu_kernels_avx512};
#else
static table_fn *const tables[] = {[XLM_ISA_BASE] = xlm_cpu_kernels_base};
#endif

static const xlm_kernel *find(xlm_op_id op) {
  return tables[xlm_cpu_isa()]()[op];
}

static bool workspace(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                      int threads, uint64_t *bytes) {
  return xlm_backend_workspace(find(instr->op), instr, tensors, dims, threads, bytes);
}

const xlm_backend *xlm_backend_cpu(void) {
  static const xlm_backend backend = {
      .info = {.name = "cpu", .workspace = workspace}, .device = &xlm_device_cpu, .find = find};
  return &backend;
}
