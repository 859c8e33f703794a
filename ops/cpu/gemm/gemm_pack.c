// Packing: copies a range of an operand with any strides into panels that the micro-kernel reads
// sequentially.
//
// Lanes are handled in groups (MR of A, VL of B). A group whose lanes are adjacent in memory is copied word
// by word; one whose k elements are adjacent is loaded along k and transposed in registers, by rounds of
// perfect shuffles (each round moves the top bit of the element's address to the bottom, so log2(lanes)
// rounds exchange lane and word); otherwise words are copied one at a time. Memory is read along its
// contiguous dimension: rows of k are copied STEP at a time over all panels (so that reads and writes stay
// within few pages); lanes that run along k are read to the end.
#include "ops/cpu/gemm/gemm_vec_priv.h"

enum {
  STEP = 32,   // words of k
  AHEAD = 64,  // lanes: prefetch distance for rows of k
  ALONG = 128, // elements: prefetch distance for lanes that run along k
};

typedef uint32_t few __attribute__((vector_size(MR * 4))); // as many lanes as a panel of A
typedef uint32_t few_u __attribute__((vector_size(MR * 4), aligned(2), may_alias));
typedef uint16_t few_half_u __attribute__((vector_size(MR * 2), aligned(2), may_alias));

typedef struct source { // one operand; `word` and `elements` are constants in every loop
  const char *base;
  xlm_gemm_word word;
  int elements; // of k per word
  const xlm_gemm_axis *x, *k;
} source;

INLINE void fetch(const source *s, int64_t at) { // may be past the end: a prefetch does not fault
  __builtin_prefetch((const void *)((uintptr_t)s->base + (uintptr_t)(at * (s->word == XLM_WORD_F32 ? 4 : 2))),
                     0, 3);
}

INLINE uint32_t word_at(const source *s, int64_t x, int q) {
  const xlm_gemm_axis *k = s->k;
  if (s->word == XLM_WORD_F32) return ((const uint32_t *)s->base)[x + k->off[q]];
  const uint16_t *h = (const uint16_t *)s->base + x;
  if (s->word == XLM_WORD_WIDEN) return (uint32_t)h[k->off[q]] << 16;
  uint32_t high = 2 * q + 1 < k->n ? h[k->off[2 * q + 1]] : 0;
  return h[k->off[2 * q]] | high << 16;
}

// VL words along k from element offset `at`.
INLINE bits words_along(const source *s, int64_t at) {
  if (s->word == XLM_WORD_F32) return *(const bits_u *)((const uint32_t *)s->base + at);
  const uint16_t *h = (const uint16_t *)s->base + at;
  if (s->word == XLM_WORD_PAIR) return *(const bits_u *)h;
  return widen(h) << 16;
}

// VL or MR lanes adjacent in memory, from lane offset x.
INLINE bits lanes_at(const source *s, int64_t x, int q) {
  const xlm_gemm_axis *k = s->k;
  if (s->word == XLM_WORD_F32) return *(const bits_u *)((const uint32_t *)s->base + x + k->off[q]);
  const uint16_t *h = (const uint16_t *)s->base + x;
  if (s->word == XLM_WORD_WIDEN) return widen(h + k->off[q]) << 16;
  bits low = widen(h + k->off[2 * q]);
  if (2 * q + 1 >= k->n) return low;
  return low | widen(h + k->off[2 * q + 1]) << 16;
}

INLINE few few_at(const source *s, int64_t x, int q) {
  const xlm_gemm_axis *k = s->k;
  if (s->word == XLM_WORD_F32) return *(const few_u *)((const uint32_t *)s->base + x + k->off[q]);
  const uint16_t *h = (const uint16_t *)s->base + x;
  if (s->word == XLM_WORD_WIDEN)
    return __builtin_convertvector(*(const few_half_u *)(h + k->off[q]), few) << 16;
  few low = __builtin_convertvector(*(const few_half_u *)(h + k->off[2 * q]), few);
  if (2 * q + 1 >= k->n) return low;
  return low | __builtin_convertvector(*(const few_half_u *)(h + k->off[2 * q + 1]), few) << 16;
}

INLINE void copy_rows(uint32_t *dst, int width, int lanes, const source *s, int64_t x, int q0, int q1) {
  for (int q = q0; q < q1; q++) {
    fetch(s, x + s->k->off[q * s->elements] + AHEAD);
    if (lanes == VL)
      *(bits_u *)(dst + (int64_t)q * width) = lanes_at(s, x, q);
    else
      *(few_u *)(dst + (int64_t)q * width) = few_at(s, x, q);
  }
}

INLINE void copy_scalar(uint32_t *dst, int width, int lanes, const source *s, int x, int valid, int q) {
  for (int l = 0; l < lanes; l++)
    dst[(int64_t)q * width + l] = l < valid ? word_at(s, s->x->off[x + l], q) : 0;
}

// Transposes lanes x VL words to VL x lanes.
INLINE void copy_transposed(uint32_t *dst, int width, int lanes, const source *s, int x, int valid, int q) {
  bits r[VL], t[VL];
  int64_t along = s->k->off[q * s->elements];
  UNROLL for (int l = 0; l < lanes; l++) fetch(s, s->x->off[x + (l < valid ? l : 0)] + along + ALONG);
  UNROLL for (int l = 0; l < lanes; l++) r[l] =
      l < valid ? words_along(s, s->x->off[x + l] + along) : (bits){0};
  UNROLL for (int round = 1; round < lanes; round *= 2) {
    UNROLL for (int i = 0; i < lanes / 2; i++) {
      t[2 * i] = __builtin_shufflevector(r[i], r[i + lanes / 2], XLM_GEMM_LOW);
      t[2 * i + 1] = __builtin_shufflevector(r[i], r[i + lanes / 2], XLM_GEMM_HIGH);
    }
    UNROLL for (int i = 0; i < lanes; i++) r[i] = t[i];
  }
  uint32_t *to = dst + (int64_t)q * width;
  int64_t apart = lanes == width ? VL : width;
  UNROLL for (int i = 0; i < lanes; i++) * (bits_u *)(to + i * apart) = r[i];
}

// Copies words q0 .. q1 of the group of lanes that begins at lane x.
INLINE void copy_group(uint32_t *dst, int width, int lanes, const source *s, int x, int q0, int q1) {
  int valid = s->x->n - x < lanes ? s->x->n - x : lanes, span = VL * s->elements;
  if (valid == lanes && s->x->run[x] >= lanes) {
    copy_rows(dst, width, lanes, s, s->x->off[x], q0, q1);
    return;
  }
  for (int q = q0; q < q1;) {
    if (q + VL <= q1 && s->k->run[q * s->elements] >= span) {
      if (valid == lanes)
        copy_transposed(dst, width, lanes, s, x, lanes, q);
      else
        copy_transposed(dst, width, lanes, s, x, valid, q);
      q += VL;
    } else {
      copy_scalar(dst, width, lanes, s, x, valid, q);
      q++;
    }
  }
}

INLINE void pack(uint32_t *dst, int width, int lanes, const source *s) {
  int words = (s->k->n + s->elements - 1) / s->elements;
  int step = s->x->n > 0 && s->x->run[0] >= lanes ? STEP : words;
  for (int q = 0; q < words; q += step) {
    int end = q + step < words ? q + step : words;
    for (int x = 0; x < s->x->n; x += lanes)
      copy_group(dst + (int64_t)(x / width) * width * words + x % width, width, lanes, s, x, q, end);
  }
}

INLINE void pack_words(uint32_t *dst, int width, int lanes, const void *src, xlm_gemm_word word,
                       const xlm_gemm_axis *x, const xlm_gemm_axis *k) {
  if (word == XLM_WORD_F32)
    pack(dst, width, lanes, &(source){src, XLM_WORD_F32, 1, x, k});
  else if (word == XLM_WORD_WIDEN)
    pack(dst, width, lanes, &(source){src, XLM_WORD_WIDEN, 1, x, k});
  else
    pack(dst, width, lanes, &(source){src, XLM_WORD_PAIR, 2, x, k});
}

void xlm_gemm_pack_a(uint32_t *dst, const void *src, xlm_gemm_word word, const xlm_gemm_axis *x,
                     const xlm_gemm_axis *k) {
  pack_words(dst, MR, MR, src, word, x, k);
}

void xlm_gemm_pack_b(uint32_t *dst, const void *src, xlm_gemm_word word, const xlm_gemm_axis *x,
                     const xlm_gemm_axis *k) {
  pack_words(dst, NR, VL, src, word, x, k);
}

void xlm_gemm_pack_lanes(uint32_t *dst, const void *src, xlm_gemm_word word, const xlm_gemm_axis *x,
                         const xlm_gemm_axis *k) {
  pack_words(dst, VL, VL, src, word, x, k);
}
