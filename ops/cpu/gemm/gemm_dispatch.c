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

static bool normalise(xlm_gemm *g) {
  assert(!g->p.ragged || g->p.batch.n == 1);
  return xlm_matmul_normalise(&g->p);
}

xlm_gemm_entry xlm_gemm_entry_at(const xlm_gemm_job *job, int64_t e) {
  const xlm_gemm *g = job->g;
  int64_t at[3] = {0}, rest = e,
          size[3] = {xlm_matmul_count(&g->p.m), xlm_matmul_count(&g->p.n), xlm_matmul_count(&g->p.k)};
  for (int d = g->p.batch.n - 1; d >= 0; d--) {
    int64_t i = rest % g->p.batch.size[d];
    rest /= g->p.batch.size[d];
    at[0] += i * g->p.batch.a[d], at[1] += i * g->p.batch.b[d], at[2] += i * g->p.batch.c[d];
  }
  if (g->p.ragged) {
    const xlm_matmul_index *x = g->p.ragged == XLM_RAGGED_M   ? &g->p.m
                                : g->p.ragged == XLM_RAGGED_N ? &g->p.n
                                                              : &g->p.k;
    int64_t begin = job->offsets[e];
    size[g->p.ragged - XLM_RAGGED_M] = job->offsets[e + 1] - begin;
    at[0] += begin * x->a[0], at[1] += begin * x->b[0], at[2] += begin * x->c[0];
  }
  int64_t c = at[2] * (int64_t)xlm_dtype_bytes(g->p.c);
  return (xlm_gemm_entry){.m = size[0],
                          .n = size[1],
                          .k = size[2],
                          .a = job->a + at[0] * (int64_t)xlm_dtype_bytes(g->p.a),
                          .b = job->b + at[1] * (int64_t)xlm_dtype_bytes(g->p.b),
                          .add = g->p.add ? job->add + c : NULL,
                          .c = job->c + c};
}

// ---- planning ----

static const xlm_cpu_tiles *tiles_of(const xlm_gemm *g) {
  return &xlm_cpu_tiles_of[xlm_cpu_isa_of(g->arch)];
}

bool xlm_gemm_can(const xlm_gemm *g) {
  const xlm_cpu_arch least = g->amx ? XLM_CPU_AVX512_AMX : g->pairs ? XLM_CPU_AVX512_BF16 : XLM_CPU_BASE;
  if (g->pairs && (g->p.a != XLM_BF16 || g->p.b != XLM_BF16)) return false;
  if (g->arch < least || (g->amx && !g->pairs)) return false;
  if (g->form == XLM_GEMM_TILED) return true;
  if (g->form == XLM_GEMM_BY_EXPERT && !g->p.ragged) return false;
  xlm_gemm normal = *g;
  normalise(&normal);
  bool ragged_rows = normal.p.ragged == XLM_RAGGED_M;
  if (g->form == XLM_GEMM_BY_EXPERT) return ragged_rows;
  return !ragged_rows && xlm_matmul_count(&normal.p.m) <= FEW;
}

void xlm_gemm_choose(xlm_gemm *g, xlm_cpu_arch arch) {
  static const xlm_gemm_form forms[] = {XLM_GEMM_FEW_ROWS, XLM_GEMM_BY_EXPERT, XLM_GEMM_TILED};
  g->arch = arch, g->form = XLM_GEMM_TILED;
  g->pairs = g->amx = true;
  if (!xlm_gemm_can(g)) g->amx = false;
  if (!xlm_gemm_can(g)) g->pairs = false;
  for (int i = 0; i < 3; i++) {
    g->form = forms[i];
    if (xlm_gemm_can(g)) return;
  }
}

int xlm_gemm_panel(const xlm_gemm *g, xlm_cpu_arch arch, bool columns_first) {
  xlm_gemm normal = *g;
  normal.arch = arch;
  bool swapped = normalise(&normal);
  const xlm_matmul_index *n = &normal.p.n, *k = &normal.p.k;
  const int width = tiles_of(&normal)->gemm_vectors * tiles_of(&normal)->lanes;
  if (swapped || normal.p.ragged || normal.p.batch.n || n->n != 1 || k->n != 1 || n->size[0] < width)
    return 0;
  bool dense = columns_first ? k->b[0] == 1 && n->b[0] == k->size[0] : n->b[0] == 1 && k->b[0] == n->size[0];
  return dense && n->c[0] == 1 ? width : 0;
}

// Maximum words for all of B; each ragged entry may end within a panel or a pair.
static int64_t shared_bound(const xlm_gemm *g, int64_t words, int64_t n, int64_t width) {
  int64_t entries = xlm_matmul_count(&g->p.batch), panels = xlm_gemm_ceil(n, width);
  if (g->p.ragged == XLM_RAGGED_N) return words * width * (panels + entries);
  if (g->p.ragged == XLM_RAGGED_K) return (words + entries) * width * panels;
  return words * width * panels * entries;
}

bool xlm_gemm_by_blocks(const xlm_gemm *g) {
  const xlm_matmul_index *n = &g->p.n;
  return g->form == XLM_GEMM_FEW_ROWS && !g->panel && !g->amx && !g->p.ragged &&
         xlm_matmul_count(&g->p.batch) == 1 && n->n == 1 && n->b[0] == 1 && g->p.k.n == 1 &&
         n->size[0] <= SHORT && xlm_gemm_words(g, xlm_matmul_count(&g->p.k)) > KC;
}

int xlm_gemm_streamed(const xlm_gemm *g) {
  xlm_gemm normal = *g;
  bool swapped = normalise(&normal);
  const xlm_matmul *p = &normal.p;
  bool along = !g->amx && p->n.n == 1 && p->k.n == 1 && p->k.b[0] == 1 && p->n.b[0] == p->k.size[0];
  bool whole = normal.form == XLM_GEMM_FEW_ROWS && !p->ragged && xlm_matmul_count(&p->batch) == 1;
  return whole && (normal.panel || along || xlm_gemm_by_blocks(&normal)) ? !swapped : -1;
}

// Words of the sums of all k blocks.
static int64_t sums_of_blocks(const xlm_gemm *g, int64_t words, int64_t n, int64_t width) {
  int64_t rows = xlm_gemm_ceil(xlm_matmul_count(&g->p.m), tiles_of(g)->gemm_rows) * tiles_of(g)->gemm_rows;
  return xlm_gemm_by_blocks(g)
             ? xlm_gemm_ceil(words, KC) * rows * xlm_gemm_sums_ld(xlm_gemm_ceil(n, width), width)
             : 0;
}

xlm_gemm_layout xlm_gemm_layout_of(const xlm_gemm *g) {
  int64_t width = tiles_of(g)->gemm_vectors * tiles_of(g)->lanes; // columns of a panel
  int64_t n = xlm_matmul_count(&g->p.n), words = xlm_gemm_words(g, xlm_matmul_count(&g->p.k));
  int64_t depth = g->p.c == XLM_F32 ? xlm_gemm_min(words, ROUND_BLOCKS * KC) : words;
  int64_t fit = SHARED / (xlm_gemm_max(depth, 1) * width), all = xlm_gemm_ceil(n, width);
  int64_t panels = xlm_gemm_min(xlm_gemm_max(fit, ROUND_PANELS_MIN), all);
  bool skinny = g->form == XLM_GEMM_FEW_ROWS, staged = g->p.c == XLM_BF16 && words > KC && !skinny;
  int64_t shared =
      skinny ? sums_of_blocks(g, words, n, width)
             : xlm_gemm_min(xlm_gemm_max(depth * width * panels, SHARED), shared_bound(g, words, n, width));
  return (xlm_gemm_layout){
      .shared = xlm_gemm_ceil(shared, 16) * 16, // the next part begins on a cache line
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

void xlm_gemm_run(const xlm_gemm *g, const void *a, const void *b, const void *add, const void *bias, void *c,
                  const int32_t *offsets, void *workspace, xlm_pool *pool) {
  xlm_gemm normal = *g;
  bool swapped = normalise(&normal);
  assert((uintptr_t)workspace % 64 == 0 && (!g->p.ragged || offsets) && (!g->p.add || add) &&
         (!g->p.bias || bias));
  xlm_gemm_job job = {.g = &normal,
                      .a = swapped ? b : a,
                      .b = swapped ? a : b,
                      .add = add,
                      .bias = bias,
                      .c = c,
                      .offsets = offsets,
                      .pool = pool,
                      .workspace = workspace};
  if (xlm_matmul_count(&normal.p.batch) && xlm_matmul_count(&normal.p.m) && xlm_matmul_count(&normal.p.n))
    engines[xlm_cpu_isa_of(g->arch)](&job);
}
