// rope on CPUs: a table of cosines and sines of every place (where positions differ) and pair, then one pass
// over memory. Where positions are those of a sequence, the table is computed at load: the angle of an
// absolute position is always computed in the same way (a multiple of STEP plus a remainder), so a rank with
// a later part of the sequence has the same bits as one with all of it. Positions that are an operand are
// places each, and the table is scratch memory; whole numbers have the bits of the same places of a sequence,
// from the angles of multiples and remainders that are computed at load.
#include <math.h>

#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/vec_priv.h"
#include "runtime/device/over.h"
#include "runtime/device/rope.h"

enum { STEP = 64, BLOCKS = 64, SMALL = 2048 };

typedef struct angles { // cosines and sines [n][pairs] of multiples of an angle per pair
  double *cosine, *sine;
} angles;

typedef struct table {
  xlm_rope r;
  int64_t places;
  float *cosine, *sine;  // [places][pairs], times the scale; NULL: computed in every run, in the workspace
  double *frequency;     // [pairs], before factors
  angles rest, multiple; // of the remainders, and of the first BLOCKS multiples of STEP; NULL: not needed
  int64_t rows;          // feature vectors
  int64_t rows_inner;    // of neighbouring places: vectors between them; 0: they are found by `place`
  over_dims at, place;   // of a row: its first element; its place
  int64_t stride;        // between neighbours in feature
} table;

static inline void turn_of(const table *t, double c, double s, double rest_cos, double rest_sin, int64_t at) {
  t->cosine[at] = (float)((c * rest_cos - s * rest_sin) * t->r.scale);
  t->sine[at] = (float)((s * rest_cos + c * rest_sin) * t->r.scale);
}

// Fills one column of the table. Position p = STEP * q + r: cos and sin of both angles, then the addition
// theorem.
static void fill_pair(table *t, int64_t pair, const xlm_dim_info *seq) {
  double rest_cos[STEP], rest_sin[STEP], c = 1, s = 0, frequency = t->frequency[pair];
  for (int r = 0; r < STEP; r++) rest_cos[r] = cos(r * frequency), rest_sin[r] = sin(r * frequency);
  for (int64_t i = 0; i < t->places; i++) {
    int64_t p = xlm_dim_global(seq, i) + t->r.position, r = p & (STEP - 1);
    if (i == 0 || i == seq->size - seq->tail || r == 0)
      c = cos((double)(p - r) * frequency), s = sin((double)(p - r) * frequency);
    turn_of(t, c, s, rest_cos[r], rest_sin[r], i * t->r.pairs + pair);
  }
}

// Fills row i of the table, that of position p.
static void fill_place(const table *t, int64_t i, int64_t p) {
  int64_t n = t->r.pairs, r = p & (STEP - 1), block = (p - r) / STEP;
  const double *rest_cos = t->rest.cosine + r * n, *rest_sin = t->rest.sine + r * n;
  bool known = block >= 0 && block < BLOCKS;
  for (int64_t k = 0; k < n; k++) {
    double c = known ? t->multiple.cosine[block * n + k] : cos((double)(p - r) * t->frequency[k]);
    double s = known ? t->multiple.sine[block * n + k] : sin((double)(p - r) * t->frequency[k]);
    turn_of(t, c, s, rest_cos[k], rest_sin[k], i * n + k);
  }
}

static angles angles_of(const table *t, xlm_arena *a, int64_t n, int64_t step) {
  angles x = {XLM_NEW_N(a, double, n * t->r.pairs), XLM_NEW_N(a, double, n * t->r.pairs)};
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < t->r.pairs; k++)
      x.cosine[i * t->r.pairs + k] = cos((double)(i * step) * t->frequency[k]),
                                x.sine[i * t->r.pairs + k] = sin((double)(i * step) * t->frequency[k]);
  return x;
}

static void find_rows(const xlm_call *c, table *t) {
  const xlm_type *x = c->in_type[0];
  t->rows = 1;
  for (int i = 0; i < x->rank; i++) {
    int64_t size = xlm_call_size(c, x, i);
    bool turns = x->dim[i] == t->r.seq;
    if (x->dim[i] == t->r.feature) continue;
    t->rows *= size;
    over_add(&t->at, size, xlm_call_inner(c, x, i));
    over_add(&t->place, size, t->r.seq ? turns : xlm_call_stride(c, c->in_type[1], x->dim[i]));
  }
  t->stride = xlm_call_stride(c, x, t->r.feature);
  if (t->r.seq && t->stride == 1) t->rows_inner = xlm_call_stride(c, x, t->r.seq) / t->r.size;
}

static xlm_status prepare(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  (void)err;
  table *t = XLM_NEW(a, table);
  *t = (table){.r = xlm_rope_of(c)};
  t->places = t->r.seq ? c->dims[t->r.seq].size : xlm_call_elements(c, c->in_type[1]);
  t->frequency = XLM_NEW_N(a, double, t->r.pairs);
  for (int64_t j = 0; j < t->r.pairs; j++) t->frequency[j] = xlm_rope_frequency(c, &t->r, j);
  find_rows(c, t);
  *prepared = t;
  if (!t->r.seq && !t->r.factors && c->in_type[1]->dtype == XLM_I32)
    t->rest = angles_of(t, a, STEP, 1), t->multiple = angles_of(t, a, BLOCKS, STEP);
  if (!t->r.seq) return XLM_OK;
  t->cosine = XLM_NEW_N(a, float, t->places * t->r.pairs);
  t->sine = XLM_NEW_N(a, float, t->places * t->r.pairs);
  for (int64_t j = 0; j < t->r.pairs; j++) fill_pair(t, j, &c->dims[t->r.seq]);
  return XLM_OK;
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  (void)t;
  xlm_rope r = xlm_rope_of(c);
  size_t frequencies = r.factors ? (size_t)r.pairs * sizeof(double) : 0;
  if (r.seq) return 0;
  return frequencies + (size_t)(2 * xlm_call_elements(c, c->in_type[1]) * r.pairs) * sizeof(float);
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
static void turn_pairs(const table *t, const xlm_call *c, int64_t place, int64_t first, int64_t at) {
  bool bf16 = c->in_type[0]->dtype == XLM_BF16;
  int64_t n = t->r.pairs, gap = (t->r.interleaved ? 1 : n) * t->stride,
          step = (t->r.interleaved ? 2 : 1) * t->stride;
  at += t->r.start * t->stride;
  for (int64_t j = first; j < n; j++) {
    float cs = t->cosine[place * n + j], sn = t->sine[place * n + j] * (float)t->r.sign;
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

// Copies what is not turned, elements [begin, end) of the vector at `at`.
static void keep(const table *t, const xlm_call *c, int64_t at, int64_t begin, int64_t end) {
  bool bf16 = c->in_type[0]->dtype == XLM_BF16;
  for (int64_t i = begin; i < end && c->in[0] != c->out[0]; i++)
    store(c->out[0], bf16, at + i * t->stride, load(c->in[0], bf16, at + i * t->stride));
}

// Rotates one vector. x and y may be the same: every pair is read before it is written.
static inline void turn_row(const table *t, const xlm_call *c, int64_t row, bool bf16) {
  int64_t place = t->rows_inner ? row / t->rows_inner % t->places : over_offset(&t->place, row);
  int64_t n = t->r.pairs, start = over_offset(&t->at, row), at = start + t->r.start, j = 0;
  const float *cosine = t->cosine + place * n, *sine = t->sine + place * n;
  float sign = (float)t->r.sign;
  for (; t->stride == 1 && !t->r.interleaved && j + LANES <= n; j += LANES) {
    lanes a = load_lanes(c->in[0], bf16, at + j), b = load_lanes(c->in[0], bf16, at + n + j);
    lanes cs = *(const lanes *)(cosine + j), sn = *(const lanes *)(sine + j) * sign;
    store_lanes(c->out[0], bf16, at + j, a * cs - b * sn);
    store_lanes(c->out[0], bf16, at + n + j, b * cs + a * sn);
  }
  turn_pairs(t, c, place, j, start);
  keep(t, c, start, 0, t->r.start);
  keep(t, c, start, t->r.start + 2 * n, t->r.size);
}

typedef struct job {
  const xlm_call *c;
  table t;
} job;

static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t row, end;
  xlm_pool_range(j->t.rows, worker, workers, &row, &end);
  for (; row < end; row++) {
    if (j->c->in_type[0]->dtype == XLM_BF16)
      turn_row(&j->t, j->c, row, true);
    else
      turn_row(&j->t, j->c, row, false);
  }
}

// The table's rows of places that are an operand.
static void fill(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t i, end, n = j->t.r.pairs;
  float scale = (float)j->t.r.scale;
  xlm_pool_range(j->t.places, worker, workers, &i, &end);
  for (; i < end && j->t.rest.cosine; i++) fill_place(&j->t, i, ((const int32_t *)j->c->in[1])[i]);
  for (; i < end; i++) {
    bool integer = j->c->in_type[1]->dtype == XLM_I32;
    double p = integer ? ((const int32_t *)j->c->in[1])[i] : (double)((const float *)j->c->in[1])[i];
    for (int64_t k = 0; k < n; k++) j->t.cosine[i * n + k] = vec_sin(p * j->t.frequency[k], 1) * scale;
    for (int64_t k = 0; k < n; k++) j->t.sine[i * n + k] = vec_sin(p * j->t.frequency[k], 0) * scale;
  }
}

static double *divided(const xlm_call *c, const table *t, double *out) {
  const float *factors = c->in[2];
  for (int64_t j = 0; j < t->r.pairs; j++) out[j] = t->frequency[j] / factors[j];
  return out;
}

static xlm_status run(const xlm_call *c) {
  job j = {.c = c, .t = *(const table *)c->prepared};
  int64_t cells = j.t.places * j.t.r.pairs;
  if (!j.t.r.seq) {
    char *free = c->workspace;
    if (j.t.r.factors) j.t.frequency = divided(c, &j.t, (double *)free), free += j.t.r.pairs * sizeof(double);
    j.t.cosine = (float *)free, j.t.sine = j.t.cosine + cells;
    xlm_pool_run(cells > SMALL ? xlm_cpu_pool(c) : NULL, fill, &j);
  }
  xlm_pool_run(j.t.rows * j.t.r.pairs > SMALL ? xlm_cpu_pool(c) : NULL, part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(rope) = {
    .op = XLM_OP_ROPE, .workspace = workspace, .prepare = prepare, .run = run};
