// What the benchmarks of single operations share: operands, and the time of a call.
#ifndef XLM_TOOLS_BENCH_OP_H
#define XLM_TOOLS_BENCH_OP_H

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/device/cpu.h"

// n elements, evenly distributed; malloc'd.
static inline void *bench_filled(xlm_dtype t, int64_t n, float low, float high) {
  enum { HUGE_PAGE = 2 << 20 };
  size_t room = ((size_t)n * xlm_dtype_bytes(t) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  void *p = aligned_alloc(HUGE_PAGE, room); // as the memory of a plan
  if (!p) exit(2);
  madvise(p, room, MADV_HUGEPAGE);
  for (int64_t i = 0; i < n; i++) {
    float x = low + (high - low) * (float)rand() / (float)RAND_MAX;
    if (t == XLM_BF16)
      ((uint16_t *)p)[i] = xlm_f32_to_bf16(x);
    else
      ((float *)p)[i] = x;
  }
  return p;
}

static inline double bench_now(bool alone) { // one thread: processor time, which excludes other programs
  return alone ? (double)clock() / CLOCKS_PER_SEC : xlm_clock_seconds();
}

typedef struct bench_op {
  xlm_op_id op;
  const xlm_attr *attrs;
  uint16_t n_attrs;
  const xlm_dim_info *dims;
  const xlm_type *types; // of all tensors; in and out are indices of them
  void *const *data;
  const int *in, *out;
  int n_in, n_out;
} bench_op;

// Minimum seconds of `rounds` calls; *bytes: of the workspace.
static inline double bench_time(const bench_op *x, int rounds, xlm_device *device, size_t *bytes) {
  const xlm_type *in_type[8], *out_type[8];
  void *in_data[8], *out_data[8];
  for (int i = 0; i < x->n_in; i++) in_type[i] = &x->types[x->in[i]], in_data[i] = x->data[x->in[i]];
  for (int i = 0; i < x->n_out; i++) out_type[i] = &x->types[x->out[i]], out_data[i] = x->data[x->out[i]];
  xlm_instr instr = {
      .op = x->op, .n_in = (uint16_t)x->n_in, .n_out = (uint16_t)x->n_out, .attrs = {x->n_attrs, x->attrs}};
  xlm_call c = {.instr = &instr,
                .dims = x->dims,
                .in_type = in_type,
                .out_type = out_type,
                .in = in_data,
                .out = out_data,
                .device = device};
  const xlm_backend *b = xlm_backend_find("cpu");
  const xlm_kernel *k = b->find(NULL, x->op);
  int threads = xlm_pool_size(device->pool);
  xlm_target target = xlm_backend_target(b, b->here(), threads);
  while (k->variants && !k->applicable(&c, &target, c.variant)) c.variant++;
  *bytes = k->workspace(&c, &target);
  c.workspace = aligned_alloc(64, (*bytes + 63) / 64 * 64);
  if (!c.workspace) exit(2);
  double best = 1e9;
  for (int i = 0; i < rounds; i++) {
    double t = bench_now(threads == 1);
    if (k->run(&c) != XLM_OK) exit(2);
    t = bench_now(threads == 1) - t;
    if (t < best) best = t;
  }
  free(c.workspace);
  return best;
}

#endif
