// Initial values, in batches of BATCH Philox counters. Every step is a loop over the batch, which compilers
// vectorise; normal deviates use Box & Muller, with logarithm, sine and cosine as polynomials from Moshier's
// Cephes library (single precision, errors below 2 ulp); truncated ones the inverse error function of M.
// Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2010. On x86 the same code is also
// compiled for AVX2, without fused multiply-add, so that all such machines give the same bits.
#include "runtime/state/init.h"

#include <math.h>
#include <string.h>

#include "runtime/plan/code.h"

enum { BATCH = XLM_PHILOX_BATCH, PER = 4 * BATCH };

#define INLINE static inline __attribute__((always_inline))

INLINE float from_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

INLINE uint32_t to_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

// Uniform in (0, 1], 31 bits; signed conversion because vector units have no other.
INLINE float unit(uint32_t bits) {
  return ((float)(int32_t)(bits >> 1) + 0.5f) * 0x1p-31f;
}

INLINE float logarithm(float x) {        // of a positive normal number
  uint32_t u = to_bits(x) - 0x3F3504F3u; // sqrt(1/2): the mantissa below lies in [sqrt(1/2), sqrt(2))
  float e = (float)((int32_t)u >> 23), m = from_bits((u & 0x7FFFFFu) + 0x3F3504F3u) - 1.0f, z = m * m;
  float y = 7.0376836292e-2f;
  y = y * m - 1.1514610310e-1f;
  y = y * m + 1.1676998740e-1f;
  y = y * m - 1.2420140846e-1f;
  y = y * m + 1.4249322787e-1f;
  y = y * m - 1.6668057665e-1f;
  y = y * m + 2.0000714765e-1f;
  y = y * m - 2.4999993993e-1f;
  y = y * m + 3.3333331174e-1f;
  y = y * m * z - 2.12194440e-4f * e - 0.5f * z;
  return m + y + 0.693359375f * e;
}

// cos and sin of bits / 2^32 turns.
INLINE void turn(uint32_t bits, float *cosine, float *sine) {
  uint32_t quadrant = (bits + 0x20000000u) >> 30;
  float r = (float)(int32_t)(bits - (quadrant << 30)) * 1.4629180792671596e-9f, z = r * r;
  float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * r + r;
  float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
            0.5f * z + 1.0f;
  uint32_t swap = 0 - (quadrant & 1), s_bits = to_bits(s), c_bits = to_bits(c);
  *sine = from_bits(((s_bits & ~swap) | (c_bits & swap)) ^ (quadrant & 2) << 30);
  *cosine = from_bits(((c_bits & ~swap) | (s_bits & swap)) ^ ((quadrant + 1) & 2) << 30);
}

INLINE float inverse_erf(float x) {
  float w = -logarithm((1.0f - x) * (1.0f + x)), v = w - 2.5f, s = sqrtf(w) - 3.0f;
  float near = 2.81022636e-08f, far = -0.000200214257f;
  near = near * v + 3.43273939e-07f;
  near = near * v - 3.5233877e-06f;
  near = near * v - 4.39150654e-06f;
  near = near * v + 0.00021858087f;
  near = near * v - 0.00125372503f;
  near = near * v - 0.00417768164f;
  near = near * v + 0.246640727f;
  near = near * v + 1.50140941f;
  far = far * s + 0.000100950558f;
  far = far * s + 0.00134934322f;
  far = far * s - 0.00367342844f;
  far = far * s + 0.00573950773f;
  far = far * s - 0.0076224613f;
  far = far * s + 0.00943887047f;
  far = far * s + 1.00167406f;
  far = far * s + 2.83297682f;
  return (w < 5.0f ? near : far) * x;
}

typedef struct draw {
  xlm_init_kind kind;
  float a, b; // normal: b is the standard deviation; uniform: [a, b); truncated: b times what lies in [-a, a]
  float area; // truncated: the probability of [-a, a]
} draw;

INLINE void normals(const draw *d, const uint32_t word[4][BATCH], float out[PER]) {
  float z[4][BATCH];
  for (int pair = 0; pair < 4; pair += 2)
    for (int j = 0; j < BATCH; j++) {
      float radius = d->b * sqrtf(-2.0f * logarithm(unit(word[pair][j])) + 0.0f), c, s;
      turn(word[pair + 1][j], &c, &s);
      z[pair][j] = radius * c, z[pair + 1][j] = radius * s;
    }
  for (int j = 0; j < BATCH; j++)
    for (int w = 0; w < 4; w++) out[4 * j + w] = z[w][j];
}

INLINE void uniforms(const draw *d, const uint32_t word[4][BATCH], float out[PER]) {
  float width = d->b - d->a;
  for (int j = 0; j < BATCH; j++)
    for (int w = 0; w < 4; w++) out[4 * j + w] = d->a + width * unit(word[w][j]);
}

INLINE void truncated(const draw *d, const uint32_t word[4][BATCH], float out[PER]) {
  for (int j = 0; j < BATCH; j++)
    for (int w = 0; w < 4; w++) {
      float x = 1.41421356f * inverse_erf(d->area * (2.0f * unit(word[w][j]) - 1.0f));
      x = x > d->a ? d->a : x;
      out[4 * j + w] = d->b * (x < -d->a ? -d->a : x);
    }
}

INLINE void batch(const draw *d, xlm_philox key, uint64_t first, float out[PER]) {
  uint32_t word[4][BATCH];
  xlm_philox_batch(key, 0, first, word);
  if (d->kind == XLM_INIT_NORMAL)
    normals(d, word, out);
  else if (d->kind == XLM_INIT_UNIFORM)
    uniforms(d, word, out);
  else
    truncated(d, word, out);
}

INLINE void fill(const draw *d, xlm_philox key, int64_t first, int64_t n, float *out) {
  float part[PER];
  for (int64_t at = first; at < first + n;) {
    int64_t lead = at % PER, take = PER - lead < first + n - at ? PER - lead : first + n - at;
    batch(d, key, (uint64_t)(at - lead) / 4, part);
    memcpy(out + (at - first), part + lead, (size_t)take * sizeof *out);
    at += take;
  }
}

static void fill_base(const draw *d, xlm_philox key, int64_t first, int64_t n, float *out) {
  fill(d, key, first, n, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void fill_avx2(const draw *d, xlm_philox key, int64_t first,
                                                      int64_t n, float *out) {
  fill(d, key, first, n, out);
}
static int has_avx2(void) {
  return __builtin_cpu_supports("avx2");
}
#else
static void (*const fill_avx2)(const draw *, xlm_philox, int64_t, int64_t, float *) = fill_base;
static int has_avx2(void) {
  return 0;
}
#endif

static draw draw_of(const xlm_init *init) {
  float first = (float)init->x[0], second = (float)init->x[1];
  if (init->kind == XLM_INIT_NORMAL) return (draw){.kind = init->kind, .b = first};
  if (init->kind == XLM_INIT_UNIFORM) return (draw){.kind = init->kind, .a = first, .b = second};
  return (draw){.kind = init->kind, .a = second, .b = first, .area = (float)erf(init->x[1] * M_SQRT1_2)};
}

static float value_of(const xlm_init *init) { // of all elements, if the kind is not random
  return init->kind == XLM_INIT_ONES ? 1 : init->kind == XLM_INIT_CONSTANT ? (float)init->x[0] : 0;
}

bool xlm_init_is_zero(const xlm_init *init) {
  return !init->code && !xlm_init_is_drawn(init) && value_of(init) == 0;
}

static void apply(const xlm_init *init, const int64_t *shape, int rank, int64_t first, int64_t n,
                  float *out) {
  for (int64_t i = 0; i < n; i++) {
    double in[XLM_CODE_MAX_IN] = {out[i]};
    int64_t rest = first + i;
    for (int k = rank; k-- > 0; rest /= shape[k]) in[k + 1] = (double)(rest % shape[k]);
    out[i] = (float)xlm_code_number(init->code, in);
  }
}

void xlm_init_fill(const xlm_init *init, xlm_philox key, const int64_t *shape, int rank, int64_t first,
                   int64_t n, float *out) {
  const draw d = draw_of(init);
  if (!xlm_init_is_drawn(init))
    for (int64_t i = 0; i < n; i++) out[i] = value_of(init);
  else if (has_avx2())
    fill_avx2(&d, key, first, n, out);
  else
    fill_base(&d, key, first, n, out);
  if (init->code) apply(init, shape, rank, first, n, out);
}
