// Products with few rows (generation: one row against a large weight) are bound by reading B once. B is not
// packed for sharing: if its columns are adjacent, its rows stream through accumulators that stay in cache;
// else one panel at a time is packed into the worker's cache and used at once. Sums have the order of the
// blocked product.
#include "ops/cpu/gemm/gemm_priv.h"

#include <string.h>

typedef struct span { // the columns of this call, and its buffers
  const xlm_gemm_job *job;
  const xlm_gemm_entry *en;
  int64_t first; // column
  int n, ld;
  float *sum, *part; // [MR][ld]
  uint32_t *a, *b;   // one panel each
  xlm_gemm_axis col, ak, bk;
} span;

static void add_streamed(span *s, xlm_gemm_word word, bool have) {
  const xlm_gemm *g = s->job->g;
  const char *b = s->en->b + s->col.off[0] * (int64_t)xlm_dtype_bytes(g->p.b);
  int rows = (int)s->en->m;
  memset(s->part, 0, sizeof(float) * (size_t)(MR * s->ld));
  xlm_gemm_stream(word, rows, s->a, b, &s->bk, s->n, s->part, s->ld);
  for (int i = 0; i < rows * s->ld; i++) s->sum[i] = have ? s->sum[i] + s->part[i] : s->part[i];
}

static void add_panels(span *s, xlm_gemm_word word, bool have, int64_t words) {
  const xlm_gemm *g = s->job->g;
  for (int j = 0; j < s->n; j += NR) {
    int columns = s->n - j < NR ? s->n - j : NR;
    xlm_gemm_axis x;
    xlm_gemm_axis_fill(&x, &g->p.n, XLM_SIDE_B, s->first + j, columns);
    xlm_gemm_pack_b(s->b, s->en->b, word, &x, &s->bk);
    float *at[MR];
    for (int r = 0; r < MR; r++) at[r] = s->sum + r * s->ld + j;
    xlm_gemm_kernel(s->job->g->pairs, (int)s->en->m, (columns + VL - 1) / VL, words, s->a, s->b, at,
                    have ? (const float *const *)at : NULL);
  }
}

static void add_block(span *s, const xlm_gemm_axis *row, int64_t block) {
  const xlm_gemm *g = s->job->g;
  const xlm_gemm_entry *en = s->en;
  int64_t elements = s->job->g->pairs ? 2 : 1, begin = block * en->step * elements;
  int64_t count = xlm_gemm_min(en->k - begin, en->step * elements);
  xlm_gemm_axis_fill(&s->ak, &g->p.k, XLM_SIDE_A, begin, count);
  xlm_gemm_axis_fill(&s->bk, &g->p.k, XLM_SIDE_B, begin, count);
  xlm_gemm_pack_a(s->a, en->a, xlm_gemm_word_of(s->job->g->pairs, g->p.a), row, &s->ak);
  xlm_gemm_word word = xlm_gemm_word_of(s->job->g->pairs, g->p.b);
  bool have = block > 0 || en->add;
  if (s->col.run[0] >= s->n)
    add_streamed(s, word, have);
  else
    add_panels(s, word, have, xlm_gemm_ceil(count, elements));
}

void xlm_gemm_skinny(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t j0, int64_t j1,
                     uint32_t *scratch) {
  const xlm_gemm *g = job->g;
  span s = {.job = job, .en = en, .first = j0 * NR, .ld = (int)(j1 - j0) * NR};
  s.n = (int)(xlm_gemm_min(en->n, j1 * NR) - s.first);
  s.a = scratch;
  s.b = s.a + MR * KC;
  s.sum = (float *)(s.b + NR * KC);
  s.part = s.sum + MR * s.ld;
  xlm_gemm_axis row, crow, ccol;
  xlm_gemm_axis_fill(&row, &g->p.m, XLM_SIDE_A, 0, en->m);
  xlm_gemm_axis_fill(&s.col, &g->p.n, XLM_SIDE_B, s.first, s.n);
  xlm_gemm_axis_fill(&crow, &g->p.m, XLM_SIDE_C, 0, en->m);
  xlm_gemm_axis_fill(&ccol, &g->p.n, XLM_SIDE_C, s.first, s.n);
  xlm_gemm_plane c = {en->c, g->p.c, &crow, &ccol}, add = {(char *)en->add, g->p.c, &crow, &ccol};
  for (int r = 0; en->add && r < en->m; r++) xlm_gemm_row_load(s.sum + r * s.ld, &add, r, s.n);
  for (int64_t b = 0; b < en->blocks; b++) add_block(&s, &row, b);
  float of_columns[AXIS];
  const float *bias = xlm_gemm_bias_load(of_columns, job, &ccol);
  for (int r = 0; r < en->m; r++) {
    float *sum = s.sum + r * s.ld;
    for (int j = 0; bias && j < s.n; j++) sum[j] = sum[j] + bias[j];
    xlm_gemm_row_store(&c, r, sum, s.n);
  }
}
