// The matrix product's front: brings a product to one normal form and hands it to the copy for this CPU.
//
// Normal form: C's rows are contiguous if C is contiguous in any way. The micro-kernel writes vectors along
// n, so where C's neighbours run along m the two operands change places (C^T = B^T A^T; a multiply-add
// commutes, the bits stay). Dimensions of m and n are put in the order of C's strides; k is never reordered,
// its order is the order of the sum.
#include "ops/cpu/gemm/gemm_priv.h"

#include <assert.h>

extern const xlm_gemm_engine xlm_gemm_engine_base;
extern const xlm_gemm_engine xlm_gemm_engine_avx2;
extern const xlm_gemm_engine xlm_gemm_engine_avx512;

static const xlm_gemm_engine *engine(void) {
#if defined(__x86_64__)
  if (xlm_cpu_isa() == XLM_ISA_AVX512) return &xlm_gemm_engine_avx512;
  if (xlm_cpu_isa() == XLM_ISA_AVX2) return &xlm_gemm_engine_avx2;
#endif
  return &xlm_gemm_engine_base;
}

static bool is_float(xlm_dtype t) {
  return t == XLM_F32 || t == XLM_BF16;
}

static bool uses_pairs(const xlm_gemm *g) {
  return g->a == XLM_BF16 && g->b == XLM_BF16 && xlm_cpu_has_bf16();
}

// ---- index groups ----

int64_t xlm_gemm_count(const xlm_gemm_index *x) {
  int64_t n = 1;
  for (int d = 0; d < x->n; d++) n *= x->size[d];
  return n;
}

static const int64_t *strides(const xlm_gemm_index *x, xlm_gemm_side side) {
  return side == XLM_SIDE_A ? x->a : side == XLM_SIDE_B ? x->b : x->c;
}

static void move_dim(xlm_gemm_index *x, int to, int from) {
  x->size[to] = x->size[from];
  x->a[to] = x->a[from], x->b[to] = x->b[from], x->c[to] = x->c[from];
}

static bool is_mergeable(const xlm_gemm_index *x, int outer, int inner) {
  int64_t s = x->size[inner];
  return x->a[outer] == x->a[inner] * s && x->b[outer] == x->b[inner] * s && x->c[outer] == x->c[inner] * s;
}

static void simplify_index(xlm_gemm_index *x) {
  int n = 0;
  for (int d = 0; d < x->n; d++) {
    if (x->size[d] == 1) continue;
    if (n > 0 && is_mergeable(x, n - 1, d)) {
      int64_t outer = x->size[n - 1];
      move_dim(x, n - 1, d);
      x->size[n - 1] *= outer;
    } else {
      move_dim(x, n++, d);
    }
  }
  x->n = n;
}

void xlm_gemm_simplify(xlm_gemm *g) {
  if (!g->ragged) simplify_index(&g->batch);
  if (g->ragged != XLM_GEMM_RAGGED_M) simplify_index(&g->m);
  if (g->ragged != XLM_GEMM_RAGGED_N) simplify_index(&g->n);
  if (g->ragged != XLM_GEMM_RAGGED_K) simplify_index(&g->k);
}

void xlm_gemm_axis_fill(xlm_gemm_axis *axis, const xlm_gemm_index *x, xlm_gemm_side side, int64_t begin,
                        int64_t count) {
  axis->n = (int)count;
  assert(count <= AXIS);
  if (!count) return;
  const int64_t *stride = strides(x, side);
  int64_t at[XLM_GEMM_DIMS] = {0}, off = 0, rest = begin;
  int last = x->n - 1;
  for (int d = last; d >= 0; d--) {
    at[d] = d ? rest % x->size[d] : rest;
    rest = d ? rest / x->size[d] : 0;
    off += at[d] * stride[d];
  }
  for (int i = 0; i < count; i++) {
    axis->off[i] = off;
    if (last < 0) continue;
    off += stride[last];
    at[last]++;
    for (int d = last; d > 0 && at[d] == x->size[d]; d--) {
      off += stride[d - 1] - at[d] * stride[d];
      at[d] = 0;
      at[d - 1]++;
    }
  }
  for (int i = (int)count - 1; i >= 0; i--)
    axis->run[i] = i + 1 < count && axis->off[i + 1] == axis->off[i] + 1 ? axis->run[i + 1] + 1 : 1;
}

// ---- normal form ----

static void sort_by_c(xlm_gemm_index *x) { // insertion sort: stable, at most XLM_GEMM_DIMS entries
  for (int i = 1; i < x->n; i++)
    for (int j = i; j > 0 && x->c[j - 1] < x->c[j]; j--) {
      xlm_gemm_index t = *x;
      move_dim(&t, 0, j);
      move_dim(x, j, j - 1);
      x->size[j - 1] = t.size[0], x->a[j - 1] = t.a[0], x->b[j - 1] = t.b[0], x->c[j - 1] = t.c[0];
    }
}

static void swap_ab(xlm_gemm_index *x) {
  for (int d = 0; d < x->n; d++) {
    int64_t t = x->a[d];
    x->a[d] = x->b[d];
    x->b[d] = t;
  }
}

static bool is_contiguous_in_c(const xlm_gemm_index *x) {
  return x->n > 0 && x->c[x->n - 1] == 1;
}

static bool swap_roles(xlm_gemm *g) {
  if (is_contiguous_in_c(&g->n) || !is_contiguous_in_c(&g->m)) return false;
  xlm_gemm t = *g;
  g->m = t.n, g->n = t.m, g->a = t.b, g->b = t.a;
  swap_ab(&g->batch), swap_ab(&g->m), swap_ab(&g->n), swap_ab(&g->k);
  if (t.ragged == XLM_GEMM_RAGGED_M) g->ragged = XLM_GEMM_RAGGED_N;
  if (t.ragged == XLM_GEMM_RAGGED_N) g->ragged = XLM_GEMM_RAGGED_M;
  return true;
}

static bool normalise(xlm_gemm *g) {
  assert(is_float(g->a) && is_float(g->b) && is_float(g->c));
  assert(!g->ragged || g->batch.n == 1);
  sort_by_c(&g->m);
  sort_by_c(&g->n);
  xlm_gemm_simplify(g);
  return swap_roles(g);
}

xlm_gemm_entry xlm_gemm_entry_at(const xlm_gemm_job *job, int64_t e) {
  const xlm_gemm *g = job->g;
  int64_t at[3] = {0}, rest = e,
          size[3] = {xlm_gemm_count(&g->m), xlm_gemm_count(&g->n), xlm_gemm_count(&g->k)};
  for (int d = g->batch.n - 1; d >= 0; d--) {
    int64_t i = rest % g->batch.size[d];
    rest /= g->batch.size[d];
    at[0] += i * g->batch.a[d], at[1] += i * g->batch.b[d], at[2] += i * g->batch.c[d];
  }
  if (g->ragged) {
    const xlm_gemm_index *x = g->ragged == XLM_GEMM_RAGGED_M   ? &g->m
                              : g->ragged == XLM_GEMM_RAGGED_N ? &g->n
                                                               : &g->k;
    int64_t begin = job->offsets[e];
    size[g->ragged - XLM_GEMM_RAGGED_M] = job->offsets[e + 1] - begin;
    at[0] += begin * x->a[0], at[1] += begin * x->b[0], at[2] += begin * x->c[0];
  }
  int64_t c = at[2] * (int64_t)xlm_dtype_bytes(g->c);
  return (xlm_gemm_entry){.m = size[0],
                          .n = size[1],
                          .k = size[2],
                          .a = job->a + at[0] * (int64_t)xlm_dtype_bytes(g->a),
                          .b = job->b + at[1] * (int64_t)xlm_dtype_bytes(g->b),
                          .add = g->add ? job->add + c : NULL,
                          .c = job->c + c};
}

// ---- entry points ----

size_t xlm_gemm_workspace(const xlm_gemm *g, int threads) {
  xlm_gemm normal = *g;
  normalise(&normal);
  return engine()->workspace(&normal, uses_pairs(g), threads);
}

void xlm_gemm_run(const xlm_gemm *g, const void *a, const void *b, const void *add, void *c,
                  const int32_t *offsets, void *workspace, xlm_pool *pool) {
  xlm_gemm normal = *g;
  bool swapped = normalise(&normal);
  assert((uintptr_t)workspace % 64 == 0 && (!g->ragged || offsets) && (!g->add || add));
  xlm_gemm_job job = {.g = &normal,
                      .a = swapped ? b : a,
                      .b = swapped ? a : b,
                      .add = add,
                      .c = c,
                      .offsets = offsets,
                      .pair = uses_pairs(g),
                      .pool = pool,
                      .workspace = workspace};
  if (xlm_gemm_count(&normal.batch) && xlm_gemm_count(&normal.m) && xlm_gemm_count(&normal.n))
    engine()->run(&job);
}
