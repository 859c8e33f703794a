// The entry of the matrix product: normalises a product and calls the copy for this CPU.
//
// Normal form: C's rows are contiguous if C is contiguous along any dimension. The micro-kernel writes
// vectors along n, so if C is contiguous along m the two operands are swapped (C^T = B^T A^T; multiplication
// commutes, so the bits are the same). Dimensions of m and n are put in the order of C's strides; k is never
// reordered, since its order is that of the sum.
#include "ops/cpu/gemm/gemm_priv.h"

#include <assert.h>

xlm_gemm_engine xlm_gemm_engine_base;
#if defined(__x86_64__)
xlm_gemm_engine xlm_gemm_engine_avx2, xlm_gemm_engine_avx512;
static xlm_gemm_engine *const engines[XLM_ISAS] = {xlm_gemm_engine_base, xlm_gemm_engine_avx2,
                                                   xlm_gemm_engine_avx512};
#else
static xlm_gemm_engine *const engines[XLM_ISAS] = {xlm_gemm_engine_base};
#endif

static bool is_float(xlm_dtype t) {
  return t == XLM_F32 || t == XLM_BF16;
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

static void sort_by_c(xlm_gemm_index *x) { // stable, at most XLM_GEMM_DIMS entries
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

// ---- planning ----

static const xlm_cpu_tiles *tiles_of(const xlm_gemm *g) {
  return &xlm_cpu_tiles_of[xlm_cpu_isa_of(g->arch)];
}

bool xlm_gemm_can(const xlm_gemm *g, xlm_cpu_arch arch, xlm_gemm_form form, bool pairs) {
  if (pairs && (g->a != XLM_BF16 || g->b != XLM_BF16 || arch < XLM_CPU_AVX512_BF16)) return false;
  if (form == XLM_GEMM_TILED) return true;
  if (form == XLM_GEMM_BY_EXPERT && !g->ragged) return false;
  xlm_gemm normal = *g;
  normal.arch = arch;
  normalise(&normal);
  bool ragged_rows = normal.ragged == XLM_GEMM_RAGGED_M;
  if (form == XLM_GEMM_BY_EXPERT) return ragged_rows;
  return !ragged_rows && xlm_gemm_count(&normal.m) <= tiles_of(&normal)->gemm_rows;
}

void xlm_gemm_choose(xlm_gemm *g, xlm_cpu_arch arch) {
  g->arch = arch;
  g->pairs = xlm_gemm_can(g, arch, XLM_GEMM_TILED, true);
  g->form = xlm_gemm_can(g, arch, XLM_GEMM_FEW_ROWS, false)    ? XLM_GEMM_FEW_ROWS
            : xlm_gemm_can(g, arch, XLM_GEMM_BY_EXPERT, false) ? XLM_GEMM_BY_EXPERT
                                                               : XLM_GEMM_TILED;
}

// Maximum words for all of B; each ragged entry may end within a panel or a pair.
static int64_t shared_bound(const xlm_gemm *g, int64_t words, int64_t n, int64_t width) {
  int64_t entries = xlm_gemm_count(&g->batch), panels = xlm_gemm_ceil(n, width);
  if (g->ragged == XLM_GEMM_RAGGED_N) return words * width * (panels + entries);
  if (g->ragged == XLM_GEMM_RAGGED_K) return (words + entries) * width * panels;
  return words * width * panels * entries;
}

xlm_gemm_layout xlm_gemm_layout_of(const xlm_gemm *g) {
  int64_t width = tiles_of(g)->gemm_vectors * tiles_of(g)->lanes; // columns of a panel
  int64_t n = xlm_gemm_count(&g->n), words = xlm_gemm_words(g, xlm_gemm_count(&g->k));
  int64_t depth = g->c == XLM_F32 ? xlm_gemm_min(words, ROUND_BLOCKS * KC) : words;
  int64_t fit = SHARED / (xlm_gemm_max(depth, 1) * width), all = xlm_gemm_ceil(n, width);
  int64_t panels = xlm_gemm_min(xlm_gemm_max(fit, ROUND_PANELS_MIN), all);
  bool skinny = g->form == XLM_GEMM_FEW_ROWS, staged = g->c == XLM_BF16 && words > KC && !skinny;
  int64_t shared =
      xlm_gemm_min(xlm_gemm_max(depth * width * panels, SHARED), shared_bound(g, words, n, width));
  return (xlm_gemm_layout){
      .shared = skinny ? 0 : xlm_gemm_ceil(shared, 16) * 16, // the next part begins on a cache line
      .block = (int64_t)MC * KC,
      .stage = staged ? MC * width * xlm_gemm_min(all, ROUND_PANELS_MAX) : 0,
  };
}

size_t xlm_gemm_workspace(const xlm_gemm *g, int threads) {
  xlm_gemm normal = *g;
  normalise(&normal);
  xlm_gemm_layout l = xlm_gemm_layout_of(&normal);
  return sizeof(uint32_t) * (size_t)(l.shared + threads * (l.block + l.stage));
}

// ---- running ----

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
                      .pool = pool,
                      .workspace = workspace};
  if (xlm_gemm_count(&normal.batch) && xlm_gemm_count(&normal.m) && xlm_gemm_count(&normal.n))
    engines[xlm_cpu_isa_of(g->arch)](&job);
}
