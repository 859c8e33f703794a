// The reduction over members, which gives the same result on every member and in every backend. In f32 (bf16
// rounded once at the end), f64 or i32; `lse` in f64, whose error disappears in the final rounding.
//
// Sums in f32 go axis by axis, outermost first: a sum over `dp` and `tp` adds the dp members of each tp
// position, then these sums. It has the bits of a sum over `dp` followed by one over `tp`, which is what a
// conversion that scatters over `dp` (ZeRO) computes.
#include <math.h>

#include "ops/cpu/communicate/collect_priv.h"
#include "ops/cpu/vec_priv.h"

enum { BLOCK = 1024, SERIAL = 1 << 14 }; // elements at a time; below SERIAL one worker does everything

typedef struct job {
  const void *const *from;
  int64_t n, count; // members, elements
  int n_axes;       // those with more than one member, outermost first; 1 in a group of one
  int64_t size[XLM_MAX_AXES], stride[XLM_MAX_AXES]; // stride: between neighbours along the axis, in `from`
  xlm_dtype dtype;
  void *out;
  void (*block)(const struct job *, int64_t at, int64_t n);
} job;

// sum = over axes 0 .. axis, of the members with `first`'s position along the others.
static void add_axes(const job *j, int axis, int64_t first, int64_t at, int64_t n, float *sum) {
  float x[BLOCK];
  for (int64_t k = 0; k < j->size[axis]; k++) {
    float *to = k ? x : sum;
    if (axis)
      add_axes(j, axis - 1, first + k * j->stride[axis], at, n, to);
    else
      vec_read(j->dtype, j->from[first + k * j->stride[0]], at, n, to);
    for (int64_t i = 0; k && i < n; i++) sum[i] += x[i];
  }
}

static void sum_f32(const job *j, int64_t at, int64_t n) {
  float sum[BLOCK];
  add_axes(j, j->n_axes - 1, 0, at, n, sum);
  vec_write(j->dtype, j->out, at, n, sum);
}

static void max_f32(const job *j, int64_t at, int64_t n) { // propagates NaN
  float max[BLOCK], x[BLOCK];
  vec_read(j->dtype, j->from[0], at, n, max);
  for (int64_t k = 1; k < j->n; k++) {
    vec_read(j->dtype, j->from[k], at, n, x);
    for (int64_t i = 0; i < n; i++) max[i] = x[i] > max[i] || x[i] != x[i] ? x[i] : max[i];
  }
  vec_write(j->dtype, j->out, at, n, max);
}

static void sum_i32(const job *j, int64_t at, int64_t n) { // modulo 2^32
  uint32_t sum[BLOCK];
  memcpy(sum, (const uint32_t *)j->from[0] + at, (size_t)n * sizeof *sum);
  for (int64_t k = 1; k < j->n; k++) {
    const uint32_t *x = (const uint32_t *)j->from[k] + at;
    for (int64_t i = 0; i < n; i++) sum[i] += x[i];
  }
  memcpy((uint32_t *)j->out + at, sum, (size_t)n * sizeof *sum);
}

static void max_i32(const job *j, int64_t at, int64_t n) {
  int32_t max[BLOCK];
  memcpy(max, (const int32_t *)j->from[0] + at, (size_t)n * sizeof *max);
  for (int64_t k = 1; k < j->n; k++) {
    const int32_t *x = (const int32_t *)j->from[k] + at;
    for (int64_t i = 0; i < n; i++) max[i] = x[i] > max[i] ? x[i] : max[i];
  }
  memcpy((int32_t *)j->out + at, max, (size_t)n * sizeof *max);
}

static void read_f64(const job *j, int64_t k, int64_t at, int64_t n, double *x) {
  float narrow[BLOCK];
  if (j->dtype == XLM_F64) {
    memcpy(x, (const double *)j->from[k] + at, (size_t)n * sizeof *x);
    return;
  }
  vec_read(j->dtype, j->from[k], at, n, narrow);
  for (int64_t i = 0; i < n; i++) x[i] = narrow[i];
}

static void write_f64(const job *j, int64_t at, int64_t n, const double *x) {
  float narrow[BLOCK];
  if (j->dtype == XLM_F64) {
    memcpy((double *)j->out + at, x, (size_t)n * sizeof *x);
    return;
  }
  for (int64_t i = 0; i < n; i++) narrow[i] = (float)x[i];
  vec_write(j->dtype, j->out, at, n, narrow);
}

static void sum_f64(const job *j, int64_t at, int64_t n) {
  double sum[BLOCK], x[BLOCK];
  read_f64(j, 0, at, n, sum);
  for (int64_t k = 1; k < j->n; k++) {
    read_f64(j, k, at, n, x);
    for (int64_t i = 0; i < n; i++) sum[i] += x[i];
  }
  write_f64(j, at, n, sum);
}

static void find_max_f64(const job *j, int64_t at, int64_t n, double *max) {
  double x[BLOCK];
  read_f64(j, 0, at, n, max);
  for (int64_t k = 1; k < j->n; k++) {
    read_f64(j, k, at, n, x);
    for (int64_t i = 0; i < n; i++) max[i] = x[i] > max[i] || x[i] != x[i] ? x[i] : max[i];
  }
}

static void max_f64(const job *j, int64_t at, int64_t n) {
  double max[BLOCK];
  find_max_f64(j, at, n, max);
  write_f64(j, at, n, max);
}

static void lse_f64(const job *j, int64_t at,
                    int64_t n) { // max + log(sum(exp(x - max))); all -inf stays -inf
  double max[BLOCK], sum[BLOCK] = {0}, x[BLOCK];
  find_max_f64(j, at, n, max);
  for (int64_t k = 0; k < j->n; k++) {
    read_f64(j, k, at, n, x);
    for (int64_t i = 0; i < n; i++) sum[i] += isinf(max[i]) ? x[i] == max[i] : exp(x[i] - max[i]);
  }
  for (int64_t i = 0; i < n; i++) sum[i] = isinf(max[i]) ? max[i] : max[i] + log(sum[i]);
  write_f64(j, at, n, sum);
}

static void (*const table[XLM_REDUCTIONS][XLM_DTYPE_COUNT])(const job *, int64_t at, int64_t n) = {
    [XLM_REDUCTION_SUM] =
        {[XLM_F32] = sum_f32, [XLM_BF16] = sum_f32, [XLM_F64] = sum_f64, [XLM_I32] = sum_i32},
    [XLM_REDUCTION_MAX] =
        {[XLM_F32] = max_f32, [XLM_BF16] = max_f32, [XLM_F64] = max_f64, [XLM_I32] = max_i32},
    [XLM_REDUCTION_LSE] = {[XLM_F32] = lse_f64, [XLM_BF16] = lse_f64, [XLM_F64] = lse_f64},
};

static void work(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range((j->count + BLOCK - 1) / BLOCK, worker, workers, &begin, &end);
  for (int64_t b = begin; b < end; b++)
    j->block(j, b * BLOCK, j->count - b * BLOCK < BLOCK ? j->count - b * BLOCK : BLOCK);
}

static void find_axes(job *j, const collect *g) {
  int64_t stride = 1;
  for (int a = 0; g->link && a < g->link->mesh.n; a++)
    if (g->axes >> a & 1 && g->link->mesh.size[a] > 1) j->size[j->n_axes++] = g->link->mesh.size[a];
  for (int i = j->n_axes; i-- > 0; stride *= j->size[i]) j->stride[i] = stride;
  if (!j->n_axes) j->size[j->n_axes++] = 1;
}

void collect_reduce(const collect *g, xlm_dtype t, int64_t count, void *out, xlm_pool *pool) {
  int kind = xlm_attr_enum(&g->call->instr->attrs, XLM_A_kind, XLM_REDUCTION_SUM);
  job j = {.from = (const void *const *)g->in,
           .n = g->n,
           .count = count,
           .dtype = t,
           .out = out,
           .block = table[kind][t]};
  find_axes(&j, g);
  XLM_ASSERT(j.block, "no reduction %s of %s", xlm_enum_name(XLM_ENUM_REDUCTION, kind), xlm_dtype_name(t));
  xlm_pool_run(count < SERIAL ? NULL : pool, work, &j);
}
