// The global norm is exact: values of all sizes, given whole, in parts, in another order, to one thread and
// to several, give the same bits; and what is not finite stays so. Built for the CPU and for the emulated card.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/norm_sq.h"
#include "runtime/base/philox.h"
#include "runtime/device/cpu.h"
#include "tests/here.h"

enum { N = 50021, PARTS = 7, OPERANDS = 300 };

typedef struct limbs {
  double at[XLM_NORM_LIMBS];
} limbs;

typedef struct norm {
  float factor, norm;
} norm;

// One call of a kernel: operands of `size` elements.
static void call(const char *backend, xlm_op_id op, xlm_dtype t, void *const *in, const int64_t *size, int n, void *const *out,
                 xlm_attr *attr, xlm_device *device) {
  xlm_dim_info dims[OPERANDS + 2] = {{0}};
  xlm_type types[OPERANDS], result = {.dtype = XLM_F64};
  const xlm_type *in_type[OPERANDS], *out_type[] = {&result, &result};
  xlm_instr instr = {.op = op, .n_in = (uint16_t)n, .n_out = 1, .attrs = {.at = attr, .n = attr ? 1 : 0}};
  for (int i = 0; i < n; i++) {
    dims[i + 1] = (xlm_dim_info){.name = "n", .size = size[i], .full = size[i]};
    types[i] = (xlm_type){.dtype = t, .rank = 1, .dim = {(xlm_dim)(i + 1)}};
    in_type[i] = &types[i];
  }
  xlm_call c = {
      .instr = &instr, .dims = dims, .in_type = in_type, .out_type = out_type, .in = in, .out = out};
  xlm_target target = target_here(backend, xlm_pool_size(device ? device->pool : NULL));
  const xlm_kernel *k = xlm_backend_find(backend)->find(NULL, op);
  assert_non_null(k);
  instr.workspace = k->workspace ? k->workspace(&c, &target) : 0;
  c.workspace = aligned_alloc(64, (instr.workspace + 127) / 64 * 64);
  c.device = device;
  assert_int_equal(k->run(&c), XLM_OK);
  free(c.workspace);
}

static limbs square(xlm_dtype t, void *const *in, const int64_t *size, int n, xlm_device *device) {
  limbs l, cpu;
  call(XLM_KERNELS_HERE, XLM_OP_NORM_SQ, t, in, size, n, (void *[]){&l}, NULL, device);
  call("cpu", XLM_OP_NORM_SQ, t, in, size, n, (void *[]){&cpu}, NULL, NULL);
  bool finite = isfinite(cpu.at[XLM_NORM_LIMBS - 1]);
  if (finite) assert_memory_equal(&l, &cpu, sizeof l); // every backend gives the same digits
  return l;
}

static norm clip(limbs *l, int n) {
  norm x;
  void *in[PARTS];
  int64_t size[PARTS];
  xlm_attr most = {.key = XLM_A_value, .f = 1};
  for (int i = 0; i < n; i++) in[i] = &l[i], size[i] = XLM_NORM_LIMBS;
  call(XLM_KERNELS_HERE, XLM_OP_CLIP_SCALE, XLM_F64, in, size, n, (void *[]){&x.factor, &x.norm}, &most, NULL);
  return x;
}

static limbs add(const limbs *l, int n) { // as all_reduce does
  limbs sum = l[0];
  for (int i = 1; i < n; i++)
    for (int k = 0; k < XLM_NORM_LIMBS; k++) sum.at[k] += l[i].at[k];
  return sum;
}

static float random_value(uint64_t seed, int64_t i, int spread) {
  uint64_t r = xlm_hash_mix(seed * 1000003 + (uint64_t)i);
  float m = (float)(r >> 40) / 16777216.0f - 0.5f;
  return ldexpf(m, (int)(r % (uint64_t)(2 * spread + 1)) - spread);
}

static void check_same(norm a, norm b) {
  assert_memory_equal(&a, &b, sizeof a);
}

// Parts of uneven sizes; as operands of one norm, as norms of their own added up, and in reverse.
static void check_splits(xlm_dtype t, char *x, norm whole, xlm_device *device) {
  size_t elem = xlm_dtype_bytes(t);
  limbs part[PARTS], back[PARTS];
  void *in[PARTS], *reverse[PARTS];
  int64_t size[PARTS], reverse_size[PARTS], at = 0;
  for (int i = 0; i < PARTS; i++) {
    size[i] = i < PARTS - 1 ? 1 + i * i * 577 : N - at;
    in[i] = x + (size_t)at * elem;
    at += size[i];
    reverse[PARTS - 1 - i] = in[i], reverse_size[PARTS - 1 - i] = size[i];
    part[i] = square(t, &in[i], &size[i], 1, NULL);
  }
  limbs joined[2] = {square(t, in, size, PARTS, device), square(t, reverse, reverse_size, PARTS, device)};
  check_same(clip(&joined[0], 1), whole);
  check_same(clip(&joined[1], 1), whole);
  check_same(clip(part, PARTS), whole);
  for (int i = 0; i < PARTS; i++) back[i] = part[PARTS - 1 - i];
  limbs sums[] = {add(part, PARTS), add(back, 3), add(back + 3, PARTS - 3)};
  check_same(clip(sums, 1), whole);
  check_same(clip(sums + 1, 2), whole);
}

static void exact_in_any_order(void **state) {
  (void)state;
  static const int spreads[] = {0, 10, 60, 126};
  xlm_device *device;
  xlm_error err;
  assert_int_equal(xlm_device_cpu.open(&(xlm_device_options){.threads = 3}, &device, &err), XLM_OK);
  float *x = malloc(N * sizeof *x);
  uint16_t *narrow = malloc(N * sizeof *narrow);
  for (int s = 0; s < 4; s++) {
    long double sum = 0, sum_narrow = 0;
    for (int64_t i = 0; i < N; i++) {
      x[i] = random_value((uint64_t)s, i, spreads[s]), narrow[i] = xlm_f32_to_bf16(x[i]);
      float n = xlm_bf16_to_f32(narrow[i]);
      sum += (long double)x[i] * x[i], sum_narrow += (long double)n * n;
    }
    int64_t n = N;
    limbs f = square(XLM_F32, (void *[]){x}, &n, 1, NULL),
          b = square(XLM_BF16, (void *[]){narrow}, &n, 1, device);
    norm nf = clip(&f, 1), nb = clip(&b, 1);
    assert_true(nf.norm == (float)sqrtl(sum));
    assert_true(nb.norm == (float)sqrtl(sum_narrow));
    check_splits(XLM_F32, (char *)x, nf, device);
    check_splits(XLM_BF16, (char *)narrow, nb, device);
  }
  free(x);
  free(narrow);
  xlm_device_cpu.close(device);
}

static norm norm_of(float *x, int64_t n) {
  limbs l = square(XLM_F32, (void *[]){x}, &n, 1, NULL);
  return clip(&l, 1);
}

static void ends_of_the_range(void **state) {
  (void)state;
  float tiny = FLT_TRUE_MIN, small[] = {-FLT_TRUE_MIN * 3, FLT_TRUE_MIN * 4}, zero[] = {0, -0.0f};
  float large[] = {FLT_MAX * 0.5f, FLT_MAX * 0.5f}, inf[] = {1, -INFINITY}, nan[] = {NAN, 2};
  assert_true(norm_of(&tiny, 1).norm == FLT_TRUE_MIN);
  assert_true(norm_of(small, 2).norm == FLT_TRUE_MIN * 5);
  assert_true(norm_of(zero, 2).norm == 0 && norm_of(zero, 2).factor == 1);
  assert_true(norm_of(zero, 0).norm == 0);
  assert_true(fabs(norm_of(large, 2).norm / ((double)FLT_MAX * sqrt(0.5)) - 1) < 1e-7);
  assert_true(isinf(norm_of(inf, 2).norm) && isnan(norm_of(inf, 2).factor));
  assert_true(isnan(norm_of(nan, 2).norm) && isnan(norm_of(nan, 2).factor));
}

static void many_operands(void **state) { // more than fit into a table of a launch
  (void)state;
  float x[OPERANDS];
  void *in[OPERANDS];
  int64_t size[OPERANDS], n = OPERANDS;
  for (int64_t i = 0; i < n; i++) x[i] = random_value(9, i, 3), in[i] = &x[i], size[i] = 1;
  limbs whole = square(XLM_F32, (void *[]){x}, &n, 1, NULL), parts = square(XLM_F32, in, size, OPERANDS, NULL);
  assert_memory_equal(&whole, &parts, sizeof whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(exact_in_any_order),
                                     cmocka_unit_test(ends_of_the_range), cmocka_unit_test(many_operands)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
