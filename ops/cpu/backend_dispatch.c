// The CPU backend: a kernel table per instruction set. Planning uses the base table, which every build has;
// its answers depend on the target's arch, not on the copy.
#include "ops/cpu/isa.h"
#include "runtime/device/cpu.h"

typedef const xlm_kernel *const *table_fn(void);
table_fn xlm_cpu_kernels_base;
#if defined(__x86_64__)
table_fn xlm_cpu_kernels_avx2, xlm_cpu_kernels_avx512;
static table_fn *const tables[XLM_ISAS] = {xlm_cpu_kernels_base, xlm_cpu_kernels_avx2,
                                           xlm_cpu_kernels_avx512};
#else
static table_fn *const tables[XLM_ISAS] = {xlm_cpu_kernels_base};
#endif

static const xlm_kernel *find_in(table_fn *table, xlm_op_id op) {
  return table ? table()[op] : NULL;
}

static const char *here(void) {
  return xlm_cpu_arch_names[xlm_cpu_arch_here()];
}

static const xlm_kernel *find(const char *arch, xlm_op_id op) {
  xlm_target t = {.arch = arch};
  return find_in(tables[xlm_cpu_isa_of(arch ? xlm_cpu_arch_of(&t) : xlm_cpu_arch_here())], op);
}

static xlm_planned plan(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims,
                        const xlm_mesh *mesh, const xlm_target *t, xlm_kernel_choice *out) {
  return xlm_kernel_plan(find_in(xlm_cpu_kernels_base, instr->op), instr, tensors, dims, mesh, t, out);
}

static xlm_panel_use panels_of(const xlm_instr *instr, int operand, const xlm_tensor *tensors,
                               const xlm_dim_info *dims, const xlm_mesh *mesh, const xlm_target *t,
                               xlm_panels *panels) {
  return xlm_kernel_panels(find_in(xlm_cpu_kernels_base, instr->op), instr, operand, tensors, dims, mesh, t,
                           panels);
}

extern const xlm_backend xlm_backend_cpu;
const xlm_backend xlm_backend_cpu = {.info = {"cpu", xlm_cpu_arch_names, 64, plan, panels_of},
                                     .title = "CPU",
                                     .device = &xlm_device_cpu,
                                     .here = here,
                                     .find = find};
