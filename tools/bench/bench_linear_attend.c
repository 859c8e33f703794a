// Measures linear attention at the sizes of Mamba-2 130M, with decays per head or per channel of the keys,
// for sequences up to 8,192: time and workspace should grow as the sequence does. Operations are counted as
// in ops/linear_attend.c for decays per head. usage: bench_linear_attend [threads] [f32 | bf16] [heads |
// channels]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_op.h"

enum { BATCH = 1, SEQ, HEADS, HEAD, STATE, DIMS };
enum { Q, K, V, DOUT, DECAY, OUT, DQ, DK, DV, DDECAY, TENSORS };

static double time_op(xlm_op_id op, const xlm_dim_info *dims, const xlm_type *types, void **data,
                      const int *in, int n_in, const int *out, int n_out, xlm_device *device, size_t *bytes) {
  xlm_attr attrs[] = {{.key = XLM_A_over, .n = 2, .dims = {HEADS, HEAD}},
                      {.key = XLM_A_seq, .n = 1, .dims = {SEQ}},
                      {.key = XLM_A_feature, .n = 1, .dims = {STATE}}};
  bench_op x = {op, attrs, 3, dims, types, data, in, out, n_in, n_out};
  return bench_time(&x, 5, device, bytes);
}

static void bench(int64_t seq, xlm_dtype dtype, bool channels, xlm_device *device) {
  enum { CHUNK = 64 };
  xlm_dim_info dims[DIMS] = {{0},
                             {"batch", 1, 1, 0, 0, false},
                             {"seq", seq, seq, 0, 0, false},
                             {"heads", 24, 24, 0, 0, false},
                             {"head", 64, 64, 0, 0, false},
                             {"state", 128, 128, 0, 0, false}};
  xlm_type types[TENSORS];
  void *data[TENSORS];
  for (int i = 0; i < TENSORS; i++) {
    bool keys = i == Q || i == K || i == DQ || i == DK, decay = i == DECAY || i == DDECAY;
    types[i] = (xlm_type){
        .dtype = decay ? XLM_F32 : dtype, .rank = keys || decay ? 3 : 4, .dim = {BATCH, SEQ, HEADS, HEAD}};
    if (keys) types[i].dim[2] = STATE;
    if (decay && channels) types[i].dim[types[i].rank++] = STATE;
    data[i] = bench_filled(types[i].dtype, xlm_type_elements(&types[i], dims), -0.5f, decay ? 0 : 0.5f);
  }
  double values = (double)seq * 24 * 64, keys = (double)seq * 128;
  double fwd_flops = 2 * (2 * values * 128 + values * CHUNK / 2 + keys * CHUNK / 2);
  double bwd_flops = 2 * (5 * values * 128 + 2 * values * CHUNK / 2 + 3 * keys * CHUNK / 2);
  size_t fwd_bytes, bwd_bytes;
  double fwd = time_op(XLM_OP_LINEAR_ATTEND, dims, types, data, (int[]){Q, K, V, DECAY}, 4, (int[]){OUT}, 1,
                       device, &fwd_bytes);
  double bwd = time_op(XLM_OP_LINEAR_ATTEND_BWD, dims, types, data, (int[]){Q, K, V, DOUT, DECAY}, 5,
                       (int[]){DQ, DK, DV, DDECAY}, 4, device, &bwd_bytes);
  printf("seq %5lld  forward %8.2f ms %6.1f GFLOP/s, workspace %6.1f MiB   backward %8.2f ms %6.1f GFLOP/s, "
         "workspace "
         "%6.1f MiB\n",
         (long long)seq, fwd * 1e3, 1e-9 * fwd_flops / fwd, (double)fwd_bytes / 0x1p20, bwd * 1e3,
         1e-9 * bwd_flops / bwd, (double)bwd_bytes / 0x1p20);
  for (int i = 0; i < TENSORS; i++) free(data[i]);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  xlm_dtype dtype = argc > 2 && !strcmp(argv[2], "bf16") ? XLM_BF16 : XLM_F32;
  bool channels = argc > 3 && !strcmp(argv[3], "channels");
  xlm_device *device;
  xlm_error err;
  if (xlm_device_cpu.open(&(xlm_device_options){.threads = threads}, &device, &err) != XLM_OK)
    return fprintf(stderr, "%s\n", err.text), 2;
  printf("linear attention, %s, %d threads, 24 heads of 64, states of 128 x 64, decays per %s\n",
         xlm_dtype_name(dtype), threads, channels ? "channel" : "head");
  for (int64_t seq = 1024; seq <= 8192; seq *= 2) bench(seq, dtype, channels, device);
  xlm_device_cpu.close(device);
  return 0;
}
