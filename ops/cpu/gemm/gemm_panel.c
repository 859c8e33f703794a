// Few rows against a panel of B, a weight that is stored in panels: one run of memory, of which every word is
// read once and multiplied at once into sums that stay in registers. With more rows than one panel of A has,
// all of A's panels take DEPTH words of B in turn, while these are in the first cache. Each sum has the order
// of the micro-kernel.
#include "ops/cpu/gemm/gemm_vec_priv.h"

enum {
  DEPTH = 64,   // words
  AHEAD = 1024, // bytes: prefetch distance; f32 by one row or two is read as fast by the processor's own
  LINE = 64
};

// `words` words by R rows of A, added to what sum has, if more; R, more, second and fetch are constants in
// every call.
INLINE void some(const rows_of_b *b, int R, int words, bool second, bool fetch, const char *p,
                 const uint32_t *a, float *sum, bool more) {
  vec acc[MR][NV];
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < NV; v++) acc[r][v] =
      more ? load(sum + r * NR + v * VL) : (vec){0};
  __asm__("" : "+r"(words)); // unrolled, the loop would keep sums in memory
  for (; words > 0; words--, p += b->ld * b->elements, a += R) {
    for (int f = 0; fetch && f < NR * b->size * b->elements; f += LINE) __builtin_prefetch(p + AHEAD + f);
    vec part[NV];
    vectors_at(part, b, NV, p, second);
    UNROLL for (int r = 0; r < R; r++) {
      vec x = splat(a[r]);
      UNROLL for (int v = 0; v < NV; v++) acc[r][v] = dot(b->elements == 2, acc[r][v], x, part[v]);
    }
  }
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < NV; v++)
      store(sum + r * NR + v * VL, acc[r][v]);
}

// The next `words` words of all rows; q are done.
INLINE void all(const rows_of_b *b, int R, const xlm_gemm_few *x, int q, int words, bool second,
                const char *p, float *sum) {
  const bool fetch = R > 2 || b->word != XLM_WORD_F32;
  const uint32_t *a = x->a + q * R;
  p += q * b->ld * b->elements;
  if (q)
    some(b, R, words, second, fetch, p, a, sum, true);
  else
    some(b, R, words, second, fetch, p, a, sum, false);
  for (int i = 1; i < x->panels; i++) {
    a += x->step, sum += R * NR;
    if (q)
      some(b, R, words, second, false, p, a, sum, true);
    else
      some(b, R, words, second, false, p, a, sum, false);
  }
}

INLINE void panel(xlm_gemm_word word, int R, const xlm_gemm_few *x, const char *p, int k, float *sum,
                  int64_t ld, bool have) {
  const rows_of_b b = rows_of(word, NR * (word == XLM_WORD_F32 ? 4 : 2));
  const int whole = k / b.elements, step = x->panels > 1 ? DEPTH : whole;
  float part[FEW * NR];
  for (int q = 0; q < whole; q += step) all(&b, R, x, q, q + step < whole ? step : whole - q, true, p, part);
  if (b.elements == 2 && k % 2) all(&b, R, x, whole, 1, false, p, part);
  for (int r = 0; r < R * x->panels; r++) {
    float *from = part + r * NR, *to = sum + r * ld;
    if (word == XLM_WORD_WIDEN) in_order(from, NV / 2 * 2 * VL);
    UNROLL for (int v = 0; v < NV; v++) {
      vec s = load(from + v * VL);
      store(to + v * VL, have ? load(to + v * VL) + s : s);
    }
  }
}

INLINE void by_rows(xlm_gemm_word word, const xlm_gemm_few *x, const char *b, int k, float *sum, int64_t ld,
                    bool have) {
  if (x->width == 1)
    panel(word, 1, x, b, k, sum, ld, have);
  else if (x->width == 2)
    panel(word, 2, x, b, k, sum, ld, have);
  else if (x->width == MR)
    panel(word, MR, x, b, k, sum, ld, have);
  else
    panel(word, 4, x, b, k, sum, ld, have);
}

void xlm_gemm_few_in_panel(xlm_gemm_word word, const xlm_gemm_few *x, const void *b, int k, float *sum,
                           int64_t ld, bool have) {
  if (word == XLM_WORD_F32)
    by_rows(XLM_WORD_F32, x, b, k, sum, ld, have);
  else if (word == XLM_WORD_WIDEN)
    by_rows(XLM_WORD_WIDEN, x, b, k, sum, ld, have);
  else
    by_rows(XLM_WORD_PAIR, x, b, k, sum, ld, have);
}
