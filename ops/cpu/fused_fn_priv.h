// The functions of `fused` on one block: o[i] = f(a[i], b[i], c[i]) for n elements, n a multiple of VEC_PAD.
// Only the operands that a function has are read.
#ifndef XLM_OPS_CPU_FUSED_FN_PRIV_H
#define XLM_OPS_CPU_FUSED_FN_PRIV_H

#include "ops/cpu/fused_program_priv.h"
#include "ops/cpu/vec_priv.h"

#define FN_ARGS                                                                                              \
  float *restrict o, const float *restrict a, const float *restrict b, const float *restrict c, int64_t n
typedef void fused_fn(FN_ARGS);

static void fn_add(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] + b[i];
}
static void fn_sub(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] - b[i];
}
static void fn_mul(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] * b[i];
}
static void fn_div(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] / b[i];
}
static void fn_min(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] <= b[i] ? a[i] : b[i];
}
static void fn_max(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = b[i] <= a[i] ? a[i] : b[i];
}
static void fn_neg(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = -a[i];
}
static void fn_abs(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_abs(a[i]);
}
static void fn_square(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] * a[i];
}
static void fn_sqrt(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = sqrtf(a[i]);
}
static void fn_rsqrt(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = 1.0f / sqrtf(a[i]);
}
static void fn_recip(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = 1.0f / a[i];
}
static void fn_exp(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_exp(a[i]);
}
static void fn_log(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_log(a[i]);
}
static void fn_sin(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_sin(a[i], 0);
}
static void fn_cos(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_sin(a[i], 1);
}
static void fn_tanh(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_tanh(a[i]);
}
static void fn_sigmoid(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_sigmoid(a[i]);
}
static void fn_silu(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] / (1.0f + vec_exp(-a[i]));
}

// 0.5 (1 + tanh(u)) = sigmoid(2u); 2 u = 2 sqrt(2/pi) (x + 0.044715 x^3).
static inline float gelu_gate(float x) {
  return vec_sigmoid(1.5957691216057308f * x * (1.0f + 0.044715f * x * x));
}

static void fn_gelu(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] * gelu_gate(a[i]);
}
static void fn_gelu_erf(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++)
    o[i] = 0.5f * a[i] * (1.0f + vec_erf(0.70710678118654752f * a[i]));
}
static void fn_relu(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] < 0.0f ? 0.0f : a[i]; // propagates NaN
}
static void fn_sign(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = (a[i] > 0.0f ? 1.0f : 0.0f) - (a[i] < 0.0f ? 1.0f : 0.0f);
}
static void fn_floor(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = floorf(a[i]);
}
static void fn_ceil(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = ceilf(a[i]);
}
static void fn_round(FN_ARGS) {
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = rintf(a[i]);
}
static void fn_mod(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] - b[i] * floorf(a[i] / b[i]);
}
static void fn_pow(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_pow(a[i], b[i]);
}
static void fn_lt(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] < b[i] ? 1.0f : 0.0f;
}
static void fn_le(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] <= b[i] ? 1.0f : 0.0f;
}
static void fn_eq(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i] == b[i] ? 1.0f : 0.0f;
}
static void fn_where(FN_ARGS) {
  for (int64_t i = 0; i < vec_lanes(n); i++) {
    float yes = b[i], no = c[i]; // loads under a condition would keep the loop from being vectorised
    o[i] = a[i] != 0.0f ? yes : no;
  }
}
static void fn_cast(FN_ARGS) { // to f32; i32 is converted when stored
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = a[i];
}
static void fn_i32(FN_ARGS) { // as the store of an integer has it
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_whole(truncf(a[i]));
}
static void fn_to_bf16(FN_ARGS) { // cast to bf16: later functions read what a store would leave
  (void)b, (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) o[i] = vec_from_bits((uint32_t)vec_to_bf16(a[i]) << 16);
}

// Of the *_grad functions a is dy, b is x.
static void fn_silu_grad(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) {
    float s = vec_sigmoid(b[i]);
    o[i] = a[i] * (s * (1.0f + b[i] * (1.0f - s)));
  }
}
static void fn_gelu_grad(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) {
    float x = b[i], s = gelu_gate(x), slope = 1.5957691216057308f * (1.0f + 3.0f * 0.044715f * x * x);
    o[i] = a[i] * (s + x * s * (1.0f - s) * slope);
  }
}
static void fn_gelu_erf_grad(FN_ARGS) {
  (void)c;
  for (int64_t i = 0; i < vec_lanes(n); i++) {
    float x = b[i], cdf = 0.5f * (1.0f + vec_erf(0.70710678118654752f * x));
    o[i] = a[i] * (cdf + x * 0.39894228040143268f * vec_exp(-0.5f * x * x));
  }
}

static fused_fn *const fused_fns[FUSED_TO_BF16 + 1] = {
    [FUSED_TO_BF16] = fn_to_bf16,
#define XLM_FN(name, NAME, arity, doc) [XLM_FN_##NAME] = fn_##name,
#include "ops/elementwise.def"
#undef XLM_FN
};

#endif
