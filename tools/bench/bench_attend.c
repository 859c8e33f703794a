// Measures attention: GFLOP/s of attend and attend_bwd over the visible half of causal attention. usage:
// bench_attend [threads] [f32 | bf16] [shape]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/device/cpu.h"
#include "runtime/base/clock.h"

enum { BATCH = 1, SEQ, HEADS, HEAD, DIMS };
enum { Q, K, V, OUT, LSE, DOUT, DQ, DK, DV, TENSORS };

typedef struct bench_shape {
  const char *name;
  int64_t batch, seq, heads, head;
} bench_shape;

static const bench_shape shapes[] = {
    {"nano", 16, 256, 6, 64}, {"124M", 4, 512, 12, 64}, {"long", 1, 2048, 12, 64}};

static double now(bool alone) { // one thread: processor time, which excludes other programs
  return alone ? (double)clock() / CLOCKS_PER_SEC : xlm_clock_seconds();
}

static void *filled(xlm_dtype t, int64_t n) {
  void *p = aligned_alloc(64, ((size_t)n * xlm_dtype_bytes(t) + 63) / 64 * 64);
  if (!p) exit(2);
  for (int64_t i = 0; i < n; i++) {
    float x = (float)rand() / (float)RAND_MAX - 0.5f;
    if (t == XLM_BF16)
      ((uint16_t *)p)[i] = xlm_f32_to_bf16(x);
    else
      ((float *)p)[i] = x;
  }
  return p;
}

// Minimum seconds of a call.
static double time_op(xlm_op_id op, const xlm_dim_info *dims, const xlm_type *types, void **data,
                      const int *in, int n_in, const int *out, int n_out, xlm_device *device) {
  xlm_attr attrs[] = {{.key = XLM_A_seq, .n = 1, .dims = {SEQ}},
                      {.key = XLM_A_kv_seq, .n = 1, .dims = {SEQ}},
                      {.key = XLM_A_feature, .n = 1, .dims = {HEAD}},
                      {.key = XLM_A_causal, .i = 1},
                      {.key = XLM_A_scale, .f = 1 / sqrt((double)dims[HEAD].size)}};
  const xlm_type *in_type[8], *out_type[8];
  void *in_data[8], *out_data[8];
  for (int i = 0; i < n_in; i++) in_type[i] = &types[in[i]], in_data[i] = data[in[i]];
  for (int i = 0; i < n_out; i++) out_type[i] = &types[out[i]], out_data[i] = data[out[i]];
  xlm_instr instr = {.op = op, .n_in = (uint16_t)n_in, .n_out = (uint16_t)n_out, .attrs = {5, attrs}};
  xlm_call c = {.instr = &instr,
                .dims = dims,
                .in_type = in_type,
                .out_type = out_type,
                .in = in_data,
                .out = out_data,
                .device = device};
  const xlm_backend *b = xlm_backend_find("cpu");
  const xlm_kernel *k = b->find(NULL, op);
  xlm_target target = xlm_backend_target(b, b->here(), xlm_pool_size(device->pool));
  while (k->variants && !k->applicable(&c, &target, c.variant)) c.variant++;
  c.workspace = aligned_alloc(64, (k->workspace(&c, &target) + 63) / 64 * 64);
  if (!c.workspace) exit(2);
  double best = 1e9;
  for (int i = 0; i < 40; i++) {
    double t = now(xlm_pool_size(device->pool) == 1);
    if (k->run(&c) != XLM_OK) exit(2);
    t = now(xlm_pool_size(device->pool) == 1) - t;
    if (t < best) best = t;
  }
  free(c.workspace);
  return best;
}

static void bench(const bench_shape *s, xlm_dtype dtype, xlm_device *device) {
  xlm_dim_info dims[DIMS] = {{0},
                             {"batch", s->batch, s->batch, 0, 0, false},
                             {"seq", s->seq, s->seq, 0, 0, false},
                             {"heads", s->heads, s->heads, 0, 0, false},
                             {"head", s->head, s->head, 0, 0, false}};
  xlm_type types[TENSORS];
  void *data[TENSORS];
  for (int i = 0; i < TENSORS; i++) {
    types[i] = (xlm_type){
        .dtype = i == LSE ? XLM_F32 : dtype, .rank = i == LSE ? 3 : 4, .dim = {BATCH, SEQ, HEADS, HEAD}};
    data[i] = filled(types[i].dtype, xlm_type_elements(&types[i], dims));
  }
  double product =
      (double)(s->batch * s->heads * s->head) * (double)s->seq * (double)(s->seq + 1); // of q k^T
  double fwd = time_op(XLM_OP_ATTEND, dims, types, data, (int[]){Q, K, V}, 3, (int[]){OUT, LSE}, 2, device);
  double bwd = time_op(XLM_OP_ATTEND_BWD, dims, types, data, (int[]){Q, K, V, OUT, LSE, DOUT}, 6,
                       (int[]){DQ, DK, DV}, 3, device);
  printf("%-6s %3lld x %4lld x %2lld x %2lld  forward %8.3f ms %6.1f GFLOP/s   backward %8.3f ms %6.1f "
         "GFLOP/s\n",
         s->name, (long long)s->batch, (long long)s->seq, (long long)s->heads, (long long)s->head, fwd * 1e3,
         2e-9 * product / fwd, bwd * 1e3, 5e-9 * product / bwd);
  for (int i = 0; i < TENSORS; i++) free(data[i]);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  xlm_dtype dtype = argc > 2 && !strcmp(argv[2], "bf16") ? XLM_BF16 : XLM_F32;
  xlm_device *device;
  xlm_error err;
  if (xlm_device_cpu.open(&(xlm_device_options){.threads = threads}, &device, &err) != XLM_OK)
    return fprintf(stderr, "%s\n", err.text), 2;
  printf("attention, causal, %s, %d threads (backward counted as 5 products)\n", xlm_dtype_name(dtype),
         threads);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    if (argc <= 3 || !strcmp(argv[3], shapes[i].name)) bench(&shapes[i], dtype, device);
  xlm_device_cpu.close(device);
  return 0;
}
