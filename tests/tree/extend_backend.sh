# A backend with its device by the files that docs/extending.md lists: `toy`, the CPU's kernels under another name, and
# one of its own.
add_backend() {
  mkdir "$copy/ops/toy"
  cat > "$copy/ops/toy/backend.c" <<'C'
// toy: a backend of one kernel; for all other operations the CPU's.
#include "runtime/device/kernel.h"
#include "runtime/device/toy.h"

extern const xlm_backend xlm_backend_cpu, xlm_backend_toy;

static const xlm_kernel *of_cpu(xlm_op_id op) {
  return xlm_backend_cpu.find("base", op);
}

static xlm_status run(const xlm_call *c) {
  return of_cpu(c->instr->op)->run(c);
}

static bool applicable(const xlm_call *c, const xlm_target *t, int variant) {
  (void)c, (void)t;
  return variant == 0;
}

static const xlm_kernel *find(const char *arch, xlm_op_id op) {
  static const char *const variants[] = {"toy-sum", NULL};
  static const xlm_kernel own = {.op = XLM_OP_ACCUMULATE, .variants = variants, .applicable = applicable, .run = run};
  (void)arch;
  return op == own.op ? &own : of_cpu(op);
}

static xlm_planned plan(const xlm_instr *instr, const xlm_tensor *tensors, const xlm_dim_info *dims, const xlm_mesh *mesh,
                        const xlm_target *t, xlm_kernel_choice *out) {
  return xlm_kernel_plan(find(t->arch, instr->op), instr, tensors, dims, mesh, t, out);
}

static const char *const archs[] = {"toy1", NULL};
static const char *here(void) {
  return archs[0];
}

const xlm_backend xlm_backend_toy = {
    .info = {"toy", archs, 64, plan}, .title = "Toy", .device = &xlm_device_toy, .here = here, .find = find};
C
  insert ops/backends.def after '^XLM_BACKEND\(ref\)' <<< 'XLM_BACKEND(toy)  // ops/toy'
  cat > "$copy/runtime/device/toy.c" <<'C'
// The toy device: a CPU that says so.
#include "runtime/device/cpu.h"
#include "runtime/device/toy.h"

#define CPU xlm_device_cpu

static xlm_status start(const xlm_device_options *o, xlm_device **out, xlm_error *err) {
  XLM_TRY(CPU.open(o, out, err));
  (*out)->kind = &xlm_device_toy;
  return XLM_OK;
}
static void stop(xlm_device *d) {
  CPU.close(d);
}
static xlm_status alloc(xlm_device *d, size_t bytes, void **out, xlm_error *err) {
  return CPU.alloc(d, bytes, out, err);
}
static xlm_status put(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err) {
  return CPU.put(d, to, from, bytes, err);
}
static xlm_status get(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err) {
  return CPU.get(d, to, from, bytes, err);
}
static xlm_status fill(xlm_device *d, void *to, int byte, size_t bytes, xlm_error *err) {
  return CPU.fill(d, to, byte, bytes, err);
}
static void wait_mark(xlm_device *d, xlm_queue queue, uint32_t mark) {
  CPU.wait(d, queue, mark);
}
static void enqueue(xlm_device *d, xlm_queue queue, const xlm_work *w) {
  CPU.enqueue(d, queue, w);
}
static void set_mark(xlm_device *d, xlm_queue queue, uint32_t mark) {
  CPU.mark(d, queue, mark);
}
static xlm_status join(xlm_device *d, uint32_t *instr, xlm_error *err) {
  return CPU.join(d, instr, err);
}
static xlm_status sync_all(xlm_device *d, uint32_t *instr, xlm_error *err) {
  return CPU.sync(d, instr, err);
}
static void seconds(xlm_device *d, xlm_device_timer *timer, void *arg) {
  CPU.seconds(d, timer, arg);
}
static void memory(const xlm_device *d, xlm_device_memory *out) {
  CPU.memory(d, out);
}

const xlm_device_kind xlm_device_toy = {.name = "toy",
                                        .backend = "toy",
                                        .open = start,
                                        .close = stop,
                                        .alloc = alloc,
                                        .put = put,
                                        .get = get,
                                        .fill = fill,
                                        .wait = wait_mark,
                                        .enqueue = enqueue,
                                        .mark = set_mark,
                                        .join = join,
                                        .sync = sync_all,
                                        .seconds = seconds,
                                        .memory = memory};
C
  cat > "$copy/runtime/device/toy.h" <<'C'
// The toy device.
#ifndef XLM_DEVICE_TOY_H
#define XLM_DEVICE_TOY_H

#include "runtime/device/device.h"

extern const xlm_device_kind xlm_device_toy;

#endif
C
  sed -i 's/&xlm_device_cpu,/& \&xlm_device_toy,/' "$copy/runtime/device/list.c" "$copy/tests/layouts/test_device.c"
  insert runtime/device/list.c after '^#include "runtime/device/cpu.h"' <<< '#include "runtime/device/toy.h"'
  insert tests/layouts/test_device.c after '^#include "runtime/device/cpu.h"' <<< '#include "runtime/device/toy.h"'
}

check_backend() {
  "$programs/tests/test_device" > device.txt 2>&1 || complain "test_device: $(tail -n 20 device.txt)"
  "$programs/xlmc" plan "$source_dir/models/llama.xlm" "${nano[@]}" --arch toy1 --global-batch-size 4 --micro-batch-size 2 --format json > toy.json 2> toy.txt || complain "no plan: $(cat toy.txt)"
  grep -q '"backend": *"toy"' toy.json && grep -q '"toy-sum"' toy.json || complain "the plan's target: $(grep -m 1 -A 6 '"target"' toy.json)"
  train cpu --arch base
  train toy --arch toy1
  train toy.tp --arch toy1 --tp 2
  same_losses cpu toy
  near_losses toy toy.tp
  "$programs/xlmrun" train "$source_dir/models/llama.xlm" "${nano[@]}" --data "$source_dir/docs" --max-steps 1 --arch toy1 --device cpu --output-dir wrong > wrong.txt 2>&1 &&
    complain "a plan for toy runs on the device cpu"
  grep -q 'the plan is for the toy backend' wrong.txt || complain "the device: $(cat wrong.txt)"
}
