// rope on CPUs: a table of cosines and sines of every (position, pair) is computed at load; run is one pass
// over memory. The angle of an absolute position is always computed in the same way (a multiple of STEP plus
// a remainder), so a rank with a later part of the sequence has the same bits as one with all of it.
#include <math.h>

#include "ops/cpu/kernel_priv.h"

enum { STEP = 64 };

typedef struct table {
  int64_t seq, pairs;
  float *cosine, *sine; // [seq][pairs]
  int64_t rows_inner;   // rows (feature vectors) between neighbours in seq; feature last only
  int64_t rows;
  bool contiguous; // feature is the last dimension
  bool interleaved, inverse;
} table;

// Fills one column of the table. Position p = STEP * q + r: cos and sin of both angles, then the addition
// theorem.
static void fill_pair(table *t, int64_t pair, double frequency, const xlm_dim_info *seq, int64_t position) {
  double rest_cos[STEP], rest_sin[STEP], c = 1, s = 0;
  for (int r = 0; r < STEP; r++) rest_cos[r] = cos(r * frequency), rest_sin[r] = sin(r * frequency);
  for (int64_t i = 0; i < t->seq; i++) {
    int64_t p = xlm_dim_global(seq, i) + position, r = p & (STEP - 1);
    if (i == 0 || i == seq->size - seq->tail || r == 0)
      c = cos((double)(p - r) * frequency), s = sin((double)(p - r) * frequency);
    t->cosine[i * t->pairs + pair] = (float)(c * rest_cos[r] - s * rest_sin[r]);
    t->sine[i * t->pairs + pair] = (float)(s * rest_cos[r] + c * rest_sin[r]);
  }
}

static xlm_status prepare(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  (void)err;
  const xlm_attrs *as = &c->instr->attrs;
  const xlm_type *x = c->in_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0), feature = xlm_call_dim(c, XLM_A_feature, 0);
  table *t = XLM_NEW(a, table);
  *t = (table){.seq = c->dims[seq].size,
               .pairs = c->dims[feature].size / 2,
               .contiguous = xlm_type_find(x, feature) == x->rank - 1,
               .interleaved = xlm_attr_int(as, XLM_A_interleaved, 0),
               .inverse = xlm_attr_int(as, XLM_A_inverse, 0)};
  t->cosine = XLM_NEW_N(a, float, t->seq * t->pairs);
  t->sine = XLM_NEW_N(a, float, t->seq * t->pairs);
  t->rows = xlm_call_elements(c, x) / (2 * t->pairs);
  t->rows_inner = xlm_call_stride(c, x, seq) / (2 * t->pairs);
  double base = xlm_attr_float(as, XLM_A_base, 10000);
  for (int64_t j = 0; j < t->pairs; j++)
    fill_pair(t, j, pow(base, -(double)j / (double)t->pairs), &c->dims[seq],
              xlm_attr_int(as, XLM_A_position, 0));
  *prepared = t;
  return XLM_OK;
}

static float load(const void *x, bool bf16, int64_t i) {
  return bf16 ? xlm_bf16_to_f32(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}
static void store(void *y, bool bf16, int64_t i, float v) {
  if (bf16)
    ((uint16_t *)y)[i] = xlm_f32_to_bf16(v);
  else
    ((float *)y)[i] = v;
}

// Rotates pairs [first, pairs) of the vector at element `at`, one at a time, for any position of the feature
// dimension and any type.
static void turn_pairs(const table *t, const xlm_call *c, int64_t seq, int64_t first, int64_t at,
                       int64_t stride) {
  bool bf16 = c->in_type[0]->dtype == XLM_BF16;
  int64_t gap = (t->interleaved ? 1 : t->pairs) * stride, step = (t->interleaved ? 2 : 1) * stride;
  for (int64_t j = first; j < t->pairs; j++) {
    float cs = t->cosine[seq * t->pairs + j], sn = t->sine[seq * t->pairs + j] * (t->inverse ? -1 : 1);
    float a = load(c->in[0], bf16, at + j * step), b = load(c->in[0], bf16, at + j * step + gap);
    store(c->out[0], bf16, at + j * step, a * cs - b * sn);
    store(c->out[0], bf16, at + j * step + gap, b * cs + a * sn);
  }
}

enum { LANES = 16 };
typedef float lanes __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(LANES * 4), aligned(4)));
typedef uint16_t halves __attribute__((vector_size(LANES * 2), aligned(2), may_alias));

static inline lanes load_lanes(const void *x, bool bf16, int64_t i) {
  if (!bf16) return *(const lanes *)((const float *)x + i);
  return (lanes)(__builtin_convertvector(*(const halves *)((const uint16_t *)x + i), words) << 16);
}

static inline void store_lanes(void *y, bool bf16, int64_t i, lanes v) {
  if (!bf16) {
    *(lanes *)((float *)y + i) = v;
    return;
  }
  words w = (words)v, nan = (words)(v != v); // to nearest even, as xlm_f32_to_bf16
  words rounded = (w + 0x7FFFu + ((w >> 16) & 1)) >> 16, quiet = (w >> 16) | 0x40;
  *(halves *)((uint16_t *)y + i) = __builtin_convertvector((rounded & ~nan) | (quiet & nan), halves);
}

// Rotates one contiguous vector. x and y may be the same: every pair is read before it is written.
static inline void turn_row(const table *t, const xlm_call *c, int64_t row, bool bf16) {
  int64_t seq = row / t->rows_inner % t->seq, n = t->pairs, at = row * 2 * n, j = 0;
  const float *cosine = t->cosine + seq * n, *sine = t->sine + seq * n;
  float sign = t->inverse ? -1 : 1;
  for (; !t->interleaved && j + LANES <= n; j += LANES) {
    lanes a = load_lanes(c->in[0], bf16, at + j), b = load_lanes(c->in[0], bf16, at + n + j);
    lanes cs = *(const lanes *)(cosine + j), sn = *(const lanes *)(sine + j) * sign;
    store_lanes(c->out[0], bf16, at + j, a * cs - b * sn);
    store_lanes(c->out[0], bf16, at + n + j, b * cs + a * sn);
  }
  turn_pairs(t, c, seq, j, at, 1);
}

// Feature is not the last dimension: row r is the r-th index of the others.
static void turn_scattered(const table *t, const xlm_call *c, int64_t row) {
  const xlm_type *x = c->in_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0), feature = xlm_call_dim(c, XLM_A_feature, 0);
  int64_t at = 0, position = 0, stride = 1, feature_stride = 1;
  for (int i = x->rank - 1; i >= 0; i--) {
    int64_t size = xlm_call_size(c, x, i);
    if (x->dim[i] == feature) {
      feature_stride = stride;
    } else {
      int64_t index = row % size;
      row /= size;
      at += index * stride;
      if (x->dim[i] == seq) position = index;
    }
    stride *= size;
  }
  turn_pairs(t, c, position, 0, at, feature_stride);
}

static void part(void *arg, int worker, int workers) {
  const xlm_call *c = arg;
  const table *t = c->prepared;
  int64_t row, end;
  xlm_pool_range(t->rows, worker, workers, &row, &end);
  for (; row < end; row++) {
    if (!t->contiguous)
      turn_scattered(t, c, row);
    else if (c->in_type[0]->dtype == XLM_BF16)
      turn_row(t, c, row, true);
    else
      turn_row(t, c, row, false);
  }
}

static xlm_status run(const xlm_call *c) {
  const table *t = c->prepared;
  xlm_pool_run(t->rows * t->pairs > 2048 ? xlm_cpu_pool(c) : NULL, part, (void *)c);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(rope) = {.op = XLM_OP_ROPE, .prepare = prepare, .run = run};
