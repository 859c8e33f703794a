// Measures attention: GFLOP/s of attend and attend_bwd over the visible half of causal attention. usage:
// bench_attend [threads] [f32 | bf16] [shape]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_op.h"

enum { BATCH = 1, SEQ, HEADS, HEAD, DIMS };
enum { Q, K, V, OUT, LSE, DOUT, DQ, DK, DV, TENSORS };

typedef struct bench_shape {
  const char *name;
  int64_t batch, seq, heads, head;
} bench_shape;

static const bench_shape shapes[] = {
    {"nano", 16, 256, 6, 64}, {"124M", 4, 512, 12, 64}, {"long", 1, 2048, 12, 64}};

static double time_op(xlm_op_id op, const xlm_dim_info *dims, const xlm_type *types, void **data,
                      const int *in, int n_in, const int *out, int n_out, xlm_device *device) {
  xlm_attr attrs[] = {{.key = XLM_A_seq, .n = 1, .dims = {SEQ}},
                      {.key = XLM_A_kv_seq, .n = 1, .dims = {SEQ}},
                      {.key = XLM_A_feature, .n = 1, .dims = {HEAD}},
                      {.key = XLM_A_causal, .i = 1},
                      {.key = XLM_A_scale, .f = 1 / sqrt((double)dims[HEAD].size)}};
  size_t bytes;
  bench_op x = {op, attrs, 5, dims, types, data, in, out, n_in, n_out};
  return bench_time(&x, 40, device, &bytes);
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
    data[i] = bench_filled(types[i].dtype, xlm_type_elements(&types[i], dims), -0.5f, 0.5f);
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
