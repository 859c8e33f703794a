// Few rows against a panel of B, a weight that is stored in panels: one run of memory, of which every word is
// read once and multiplied at once into sums that stay in registers. With more rows than one panel of A has,
// all of A's panels take DEPTH words of B in turn, while these are in the first cache, and each prefetches
// its part of the next. Each sum has the order of the micro-kernel.
//
// A word of B is one f32 element of a column or two of bf16, as A's are unless these are widened: then two
// words of A belong to one of B.
#include <string.h>

#include "ops/cpu/gemm/gemm_vec_priv.h"

enum {
  DEPTH = 64,   // words of B
  AHEAD = 1024, // bytes: prefetch distance; f32 by one row or two is read as fast by the processor's own
  LINE = 64,
  ROW = NR * 4 // bytes of a word of all columns
};

INLINE void add_dots(bool pair, int R, const uint32_t *a, const vec part[], vec acc[][NV]) {
  UNROLL for (int r = 0; r < R; r++) add_row(pair, NV, a + r, part, acc[r]);
}

// The elements of the even rows of bf16 words, as f32: of a column the low half of its word.
INLINE void even_rows(vec part[], const char *p) {
  UNROLL for (int v = 0; v < NV; v++) part[v] = held((vec)((bits)load(p + v * VL * 4) << 16));
}

// Of the odd rows. On AVX2 words are read again, as registers are few, and the mask is in that of a result.
INLINE void odd_rows(vec part[], const char *p) {
#if defined(XLM_ISA_avx2)
  static const bits mask = {0xffff0000u, 0xffff0000u, 0xffff0000u, 0xffff0000u,
                            0xffff0000u, 0xffff0000u, 0xffff0000u, 0xffff0000u};
  const vec_u *word = (const vec_u *)p;
  __asm__("vmovaps %3, %2\n\t"
          "vandps %4, %2, %0\n\t"
          "vandps %5, %2, %1\n\t"
          "vandps %6, %2, %2"
          : "=&x"(part[0]), "=&x"(part[1]), "=&x"(part[2])
          : "m"(mask), "m"(word[0]), "m"(word[1]), "m"(word[2]));
#else
  UNROLL for (int v = 0; v < NV; v++) part[v] = (vec)((bits)load(p + v * VL * 4) & 0xffff0000u);
#endif
}

INLINE void add_word(xlm_gemm_word word, int R, const char *p, const uint32_t *a, vec acc[][NV]) {
  vec part[NV];
  if (word == XLM_WORD_WIDEN) {
    even_rows(part, p);
    add_dots(false, R, a, part, acc);
    odd_rows(part, p);
    add_dots(false, R, a + R, part, acc);
    return;
  }
  UNROLL for (int v = 0; v < NV; v++) part[v] = held(load(p + v * VL * 4));
  add_dots(word == XLM_WORD_PAIR, R, a, part, acc);
}

// The last of an odd number of bf16 rows.
INLINE void add_last(xlm_gemm_word word, int R, const char *p, const uint32_t *a, vec acc[][NV]) {
  vec part[NV];
  UNROLL for (int v = 0; v < NV; v++) {
    bits w = widen(p + v * VL * 2);
    part[v] = (vec)(word == XLM_WORD_WIDEN ? w << 16 : w);
  }
  add_dots(word == XLM_WORD_PAIR, R, a, part, acc);
}

typedef struct ahead { // what is prefetched with a word: `bytes` from `at` on, then as many after these
  const char *at;
  int bytes;
} ahead;

// `words` of B, and a last row, by R rows of A, added to what sum has, if more; R, more and next.bytes are
// constants in every call.
INLINE void some(xlm_gemm_word word, int R, int words, bool last, ahead next, const char *p,
                 const uint32_t *a, float *sum, bool more) {
  const int step = word == XLM_WORD_WIDEN ? 2 * R : R;
  vec acc[MR][NV];
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < NV; v++) acc[r][v] =
      more ? load(sum + r * NR + v * VL) : (vec){0};
  __asm__("" : "+r"(words)); // unrolled further, the loop would keep sums in memory
  for (; words > 1; words -= 2, p += 2 * ROW, a += 2 * step) {
    UNROLL for (int f = 0; f < 2 * next.bytes; f += LINE) __builtin_prefetch(next.at + f);
    next.at += 2 * next.bytes;
    add_word(word, R, p, a, acc);
    add_word(word, R, p + ROW, a + step, acc);
  }
  if (words) add_word(word, R, p, a, acc), p += ROW, a += step;
  if (word != XLM_WORD_F32 && last) add_last(word, R, p, a, acc);
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < NV; v++)
      store(sum + r * NR + v * VL, acc[r][v]);
}

INLINE void one(xlm_gemm_word word, int R, int words, bool last, ahead next, const char *p, const uint32_t *a,
                float *sum, bool more) {
  if (more)
    some(word, R, words, last, next, p, a, sum, true);
  else
    some(word, R, words, last, next, p, a, sum, false);
}

// The next `words` words of all rows; q are done.
INLINE void all(xlm_gemm_word word, int R, const xlm_gemm_few *x, int q, int words, bool last, const char *p,
                float *sum) {
  const bool fetch = R > 2 || word != XLM_WORD_F32;
  const uint32_t *a = x->a + q * (word == XLM_WORD_WIDEN ? 2 * R : R);
  p += q * ROW;
  if (x->panels == 1) {
    one(word, R, words, last, (ahead){p + AHEAD, fetch ? ROW : 0}, p, a, sum, q);
    return;
  }
  for (int i = 0; i < x->panels; i++, a += x->step, sum += R * NR) {
    const char *next = p + DEPTH * ROW;
    if (x->panels == 2)
      one(word, R, words, last, (ahead){next + i * (DEPTH * ROW / 2), ROW / 2}, p, a, sum, q);
    else
      one(word, R, words, last, (ahead){next + i * (DEPTH * ROW / 4), ROW / 4}, p, a, sum, q);
  }
}

INLINE void panel(xlm_gemm_word word, int R, const xlm_gemm_few *x, const char *p, int k, float *sum,
                  int64_t ld, bool have) {
  const int words = word == XLM_WORD_F32 ? k : k / 2, step = x->panels > 1 ? DEPTH : words;
  const bool odd = word != XLM_WORD_F32 && k % 2;
  _Alignas(64) float part[FEW * NR];
  int q = 0;
  do {
    const int n = words - q < step ? words - q : step;
    all(word, R, x, q, n, odd && q + n == words, p, part);
    q += n;
  } while (q < words);
  for (int r = 0; r < R * x->panels; r++) {
    float *from = part + r * NR, *to = sum + r * ld;
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

// ---- as the micro-kernel of many rows reads it

static uint32_t word_of(xlm_gemm_word word, const uint16_t *p, int columns, int k, int q, int column) {
  const bool pair = word == XLM_WORD_PAIR;
  const int row = pair ? 2 * q : q;
  if (row == k - 1 && k % 2) return (uint32_t)p[(int64_t)row * columns + column] << (pair ? 0 : 16);
  const uint16_t *at = p + (int64_t)(row - row % 2) * columns + 2 * column;
  return pair ? at[0] | (uint32_t)at[1] << 16 : (uint32_t)at[row % 2] << 16;
}

// Rows of which the last columns are zero up to NR.
static void unpack_narrow(xlm_gemm_word word, uint32_t *to, const void *b, int k, int columns) {
  const int words = word == XLM_WORD_PAIR ? (k + 1) / 2 : k;
  for (int q = 0; q < words; q++, to += NR) {
    memset(to, 0, ROW);
    for (int j = 0; j < columns; j++)
      to[j] = word == XLM_WORD_F32 ? ((const uint32_t *)b)[(int64_t)q * columns + j]
                                   : word_of(word, b, columns, k, q, j);
  }
}

INLINE void put_word(uint32_t *to, bits w) {
  store((float *)to, (vec)w);
}

void xlm_gemm_unpack_panel(xlm_gemm_word word, uint32_t *to, const void *b, int k, int columns) {
  const char *p = b;
  if (columns < NR) {
    unpack_narrow(word, to, b, k, columns);
    return;
  }
  if (word == XLM_WORD_F32) {
    memcpy(to, p, (size_t)k * ROW);
    return;
  }
  const int each = word == XLM_WORD_WIDEN ? 2 : 1;
  for (int q = 0; q < k / 2; q++, p += ROW, to += each * NR) {
    __builtin_prefetch(p + AHEAD), __builtin_prefetch(p + AHEAD + LINE);
    UNROLL for (int v = 0; v < NV; v++) {
      bits w = (bits)load(p + v * VL * 4);
      put_word(to + v * VL, each == 2 ? w << 16 : w);
      if (each == 2) put_word(to + NR + v * VL, w & 0xffff0000u);
    }
  }
  if (k % 2) UNROLL for (int v = 0; v < NV; v++) {
      bits w = widen(p + v * VL * 2);
      put_word(to + v * VL, each == 2 ? w << 16 : w);
    }
}
