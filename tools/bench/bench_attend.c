// Measures attention: GFLOP/s of attend and attend_bwd over the visible half of causal attention, and GB/s of
// the caches that one query per sequence reads in decoding. usage: bench_attend [threads] [f32 | bf16]
// [shape]
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

// ---- decoding: one query per sequence, over caches of many layers in turn, so that they are in memory

typedef struct decode_shape {
  const char *name;
  int64_t batch, heads, kv_heads, head, past, used; // rows of a cache, and how many of them have keys
} decode_shape;

static const decode_shape decodes[] = {
    {"decode 124M", 1, 12, 12, 64, 1024, 1024},   {"decode 124M x 8", 8, 12, 12, 64, 1024, 1024},
    {"short", 1, 12, 12, 64, 1024, 100},          {"short x 8", 8, 12, 12, 64, 1024, 100},
    {"decode grouped", 1, 32, 8, 64, 8192, 8192}, {"decode one head", 1, 16, 1, 128, 8192, 8192}};
enum { CACHES = 96 << 20, LAYERS = 64, TURNS = 5 };

static int by_key(const void *a, const void *b) {
  return (int)((const xlm_attr *)a)->key - (int)((const xlm_attr *)b)->key;
}

static int by_time(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void bench_decode(const decode_shape *s, xlm_dtype dtype, xlm_device *device) {
  enum { D_BATCH = 1, D_CHUNK, D_HEADS, D_KV, D_HEAD, D_PAST, D_DIMS };
  enum { D_Q, D_K, D_V, D_PAST_K, D_PAST_V, D_START, D_OUT, D_LSE, D_TENSORS };
  int64_t sizes[] = {0, s->batch, 1, s->heads, s->kv_heads, s->head, s->past};
  static const char *const names[] = {"", "batch", "chunk", "heads", "kv_heads", "head", "past"};
  static const xlm_dim shape[D_TENSORS][4] = {
      [D_Q] = {D_BATCH, D_CHUNK, D_HEADS, D_HEAD},   [D_K] = {D_BATCH, D_CHUNK, D_KV, D_HEAD},
      [D_V] = {D_BATCH, D_CHUNK, D_KV, D_HEAD},      [D_PAST_K] = {D_BATCH, D_PAST, D_KV, D_HEAD},
      [D_PAST_V] = {D_BATCH, D_PAST, D_KV, D_HEAD},  [D_START] = {D_BATCH},
      [D_OUT] = {D_BATCH, D_CHUNK, D_HEADS, D_HEAD}, [D_LSE] = {D_BATCH, D_CHUNK, D_HEADS}};
  static const uint8_t rank[D_TENSORS] = {4, 4, 4, 4, 4, 1, 4, 3};
  xlm_dim_info dims[D_DIMS] = {{0}};
  xlm_type types[D_TENSORS];
  void *data[D_TENSORS];
  for (int i = 1; i < D_DIMS; i++) dims[i] = (xlm_dim_info){names[i], sizes[i], sizes[i], 0, 0, false};
  for (int i = 0; i < D_TENSORS; i++) {
    types[i] = (xlm_type){.dtype = i == D_START ? XLM_I32 : i == D_LSE ? XLM_F32 : dtype, .rank = rank[i]};
    memcpy(types[i].dim, shape[i], sizeof shape[i]);
    data[i] = bench_filled(types[i].dtype, xlm_type_elements(&types[i], dims), -0.5f, 0.5f);
  }
  for (int64_t i = 0; i < s->batch; i++) ((int32_t *)data[D_START])[i] = (int32_t)s->used - 1;
  static const int64_t given[] = {XLM_OPERAND_PAST_K, XLM_OPERAND_PAST_V, XLM_OPERAND_START};
  xlm_attr attrs[] = {{.key = XLM_A_seq, .n = 1, .dims = {D_CHUNK}},
                      {.key = XLM_A_kv_seq, .n = 1, .dims = {D_CHUNK}},
                      {.key = XLM_A_past, .n = 1, .dims = {D_PAST}},
                      {.key = XLM_A_heads, .n = 1, .dims = {D_HEADS}},
                      {.key = XLM_A_kv_heads, .n = 1, .dims = {D_KV}},
                      {.key = XLM_A_feature, .n = 1, .dims = {D_HEAD}},
                      {.key = XLM_A_causal, .i = 1},
                      {.key = XLM_A_scale, .f = 1 / sqrt((double)s->head)},
                      {.key = XLM_A_operands, .n = 3, .ints = given}};
  qsort(attrs, sizeof attrs / sizeof *attrs, sizeof *attrs, by_key);
  const size_t cache = xlm_type_bytes(&types[D_PAST_K], dims);
  const int layers = (int)(CACHES / (2 * cache) < LAYERS ? CACHES / (2 * cache) + 1 : LAYERS);
  void *keys[LAYERS] = {data[D_PAST_K]}, *values[LAYERS] = {data[D_PAST_V]};
  for (int i = 1; i < layers; i++) {
    keys[i] = bench_filled(dtype, xlm_type_elements(&types[D_PAST_K], dims), -0.5f, 0.5f);
    values[i] = bench_filled(dtype, xlm_type_elements(&types[D_PAST_V], dims), -0.5f, 0.5f);
  }
  bench_op x = {XLM_OP_ATTEND,
                attrs,
                sizeof attrs / sizeof *attrs,
                dims,
                types,
                data,
                (int[]){D_Q, D_K, D_V, D_PAST_K, D_PAST_V, D_START},
                (int[]){D_OUT, D_LSE},
                6,
                2};
  double seconds[TURNS * LAYERS];
  for (int i = 0; i < TURNS * layers; i++) {
    size_t bytes;
    data[D_PAST_K] = keys[i % layers], data[D_PAST_V] = values[i % layers];
    seconds[i] = bench_time(&x, 1, device, &bytes);
  }
  qsort(seconds, (size_t)(TURNS * layers), sizeof *seconds, by_time);
  double median = seconds[TURNS * layers / 2], read = 2 * (double)cache * (double)s->used / (double)s->past;
  printf("%-16s %3lld x %5lld x %2lld of %2lld x %3lld  %8.3f ms %6.1f GB/s\n", s->name, (long long)s->batch,
         (long long)s->used, (long long)s->heads, (long long)s->kv_heads, (long long)s->head, median * 1e3,
         read * 1e-9 / median);
  for (int i = 0; i < layers; i++) free(keys[i]), free(values[i]);
  for (int i = 0; i < D_TENSORS; i++)
    if (i != D_PAST_K && i != D_PAST_V) free(data[i]);
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
  for (size_t i = 0; i < sizeof decodes / sizeof *decodes; i++)
    if (argc <= 3 || !strcmp(argv[3], decodes[i].name)) bench_decode(&decodes[i], dtype, device);
  xlm_device_cpu.close(device);
  return 0;
}
