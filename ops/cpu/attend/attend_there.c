// Products with keys and values where they lie, in memory: for the few queries of decoding, packing them
// first would be most of the work. Keys are turned in registers, vectors of values are read as they are. The
// order of every sum is that of xlm_attend_mul.
//
// The rows of a head are short and far apart, which the processor does not follow: while one is used, the
// same of the next tile is prefetched, and of the next head where nothing was before. Not in a burst: the
// processor drops prefetches that come faster than memory.
#include <string.h>

#include "ops/cpu/attend/attend_math_priv.h"
#include "ops/cpu/turn_priv.h"

enum {
  LINE = 64,
  MOST = 8 // vectors of features that are summed at a time
};

typedef struct attend_hops { // bytes from a row to those that are prefetched with it; 0: none
  int64_t tile, head;
} attend_hops;

typedef turn_words words_u __attribute__((aligned(2), may_alias));
typedef uint16_t halves __attribute__((vector_size(VL * 2), aligned(2), may_alias));
typedef ulanes ulanes_u __attribute__((aligned(2), may_alias));

bool xlm_attend_reads_there(const attend_view *keys, const attend_view *values) {
  int64_t words = keys->type == XLM_BF16 ? 2 * VL : VL; // of a square
  return keys->feature == 1 && keys->d % words == 0 && values->feature == 1 && values->d % VL == 0;
}

// ---- scores

// Adds the products with features p, or with p and p + 1, which share a word, of VL keys: w.
ATTEND_INLINE void add_word(bool half, int R, const float *q, int64_t ldq, int64_t p, turn_words w,
                            lanes acc[]) {
  if (!half) {
    ATTEND_UNROLL for (int r = 0; r < R; r++) acc[r] =
        lanes_fma(lanes_splat(q[r * ldq + p]), (lanes)w, acc[r]);
    return;
  }
  const lanes low = (lanes)(w << 16), high = (lanes)(w & 0xffff0000u);
  ATTEND_UNROLL for (int r = 0; r < R; r++) {
    acc[r] = lanes_fma(lanes_splat(q[r * ldq + p]), low, acc[r]);
    acc[r] = lanes_fma(lanes_splat(q[r * ldq + p + 1]), high, acc[r]);
  }
}

ATTEND_INLINE void fetch(const char *line, attend_hops hops) {
  if (hops.tile) __builtin_prefetch(line + hops.tile);
  if (hops.head) __builtin_prefetch(line + hops.head);
}

// R queries by VL keys, of which `n` count and the others are the last of these again.
ATTEND_INLINE void score(bool half, int R, const float *q, int64_t ldq, int64_t d, const char *k, int64_t ld,
                         int n, attend_hops hops, float *scores) {
  const char *row[VL];
  lanes acc[MR];
  ATTEND_UNROLL for (int i = 0; i < VL; i++) row[i] = k + (i < n ? i : n - 1) * ld;
  ATTEND_UNROLL for (int r = 0; r < R; r++) acc[r] = lanes_splat(0);
  for (int64_t p = 0; p < d; p += half ? 2 * VL : VL) {
    const int64_t at = p * (half ? 2 : 4);
    turn_words t[VL];
    ATTEND_UNROLL for (int i = 0; i < VL; i++) t[i] = (turn_words) * (const words_u *)(row[i] + at);
    if (at % LINE == 0) ATTEND_UNROLL for (int i = 0; i < VL; i++) fetch(row[i] + at, hops);
    turn_square(t);
    ATTEND_UNROLL for (int i = 0; i < VL; i++) add_word(half, R, q, ldq, p + (half ? 2 * i : i), t[i], acc);
  }
  ATTEND_UNROLL for (int r = 0; r < R; r++) {
    if (n >= VL)
      lanes_store(scores + r * TILE, acc[r]);
    else
      memcpy(scores + r * TILE, &acc[r], (size_t)n * sizeof *scores);
  }
}

ATTEND_INLINE void score_rows(bool half, int R, const float *q, int64_t ldq, const attend_view *v,
                              const char *k, int n, attend_hops hops, float *scores) {
  const int64_t ld = v->row * (half ? 2 : 4);
  for (int j = 0; j < n; j += VL)
    if (j + VL <= n)
      score(half, R, q, ldq, v->d, k + j * ld, ld, VL, hops, scores + j);
    else
      score(half, R, q, ldq, v->d, k + j * ld, ld, n - j, hops, scores + j);
}

ATTEND_INLINE void scores_of(bool half, int rows, const float *q, int64_t ldq, const attend_view *v,
                             const char *k, int n, attend_hops hops, float *scores) {
  for (int R; rows > 0; rows -= R, q += R * ldq, scores += R * TILE) {
    R = rows >= MR ? MR : rows >= 2 ? 2 : 1;
    if (R == MR)
      score_rows(half, MR, q, ldq, v, k, n, hops, scores);
    else if (R == 2)
      score_rows(half, 2, q, ldq, v, k, n, hops, scores);
    else
      score_rows(half, 1, q, ldq, v, k, n, hops, scores);
    hops = (attend_hops){0}; // once
  }
}

static attend_hops hops_of(const attend_view *v, attend_ahead_of ahead) {
  const int64_t size = (int64_t)xlm_dtype_bytes(v->type);
  return (attend_hops){.tile = ahead.tile ? TILE * v->row * size : 0,
                       .head = ahead.head ? v->head * size : 0};
}

void xlm_attend_scores_there(int rows, const float *q, int64_t ldq, const attend_view *v, int64_t at, int n,
                             attend_ahead_of ahead, float *scores) {
  const char *k = (const char *)v->data + at * (int64_t)xlm_dtype_bytes(v->type);
  const attend_hops hops = hops_of(v, ahead);
  if (v->type == XLM_BF16)
    scores_of(true, rows, q, ldq, v, k, n, hops, scores);
  else
    scores_of(false, rows, q, ldq, v, k, n, hops, scores);
}

// ---- values

ATTEND_INLINE lanes widened(const uint16_t *p) {
#if defined(XLM_ISA_avx512)
  return (lanes)((ulanes)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)) << 16);
#elif defined(XLM_ISA_avx2)
  return (lanes)((ulanes)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)) << 16);
#else
  return (lanes)(__builtin_convertvector(*(const halves *)p, ulanes) << 16);
#endif
}

// Sums of N vectors of features. Of bf16 (split) two vectors have the even features of both, then the odd, as
// their words are widened.
ATTEND_INLINE void load_sums(bool split, int N, lanes acc[], const float *o) {
  ATTEND_UNROLL for (int i = 0; i < N; i++) acc[i] = lanes_load(o + i * VL);
  if (split) ATTEND_UNROLL for (int i = 0; i < N; i += 2) {
      const lanes a = acc[i], b = acc[i + 1];
      acc[i] = lanes_even(a, b), acc[i + 1] = lanes_odd(a, b);
    }
}

ATTEND_INLINE void store_sums(bool split, int N, const lanes acc[], float *o) {
  ATTEND_UNROLL for (int i = 0; i < N; i += split ? 2 : 1) {
    lanes_store(o + i * VL, split ? lanes_low(acc[i], acc[i + 1]) : acc[i]);
    if (split) lanes_store(o + (i + 1) * VL, lanes_high(acc[i], acc[i + 1]));
  }
}

ATTEND_INLINE void add_vector(int R, const lanes a[], lanes x, lanes acc[][MOST], int i) {
  ATTEND_UNROLL for (int r = 0; r < R; r++) acc[r][i] = lanes_fma(a[r], x, acc[r][i]);
}

// R rows of weights by n values, N vectors of features. Vectors are read one by one: sums have most
// registers.
ATTEND_INLINE void mix(bool half, int R, int N, const float *w, const char *v, int64_t ld, int n,
                       attend_hops hops, float *o, int64_t ldo) {
  const bool split = half && R == 1 && N % 2 == 0;
  lanes acc[MR][MOST];
  ATTEND_UNROLL for (int r = 0; r < R; r++) load_sums(split, N, acc[r], o + r * ldo);
  for (int j = 0; j < n; j++, v += ld) {
    lanes a[MR];
    for (int i = 0; i < N * VL * (half ? 2 : 4); i += LINE) fetch(v + i, hops);
    ATTEND_UNROLL for (int r = 0; r < R; r++) a[r] = lanes_splat(w[r * TILE + j]);
    ATTEND_UNROLL for (int i = 0; i < N; i += split ? 2 : 1) {
      if (split) {
        const ulanes word = *(const ulanes_u *)(v + i * VL * 2);
        add_vector(R, a, (lanes)(word << 16), acc, i);
        add_vector(R, a, (lanes)(word & 0xffff0000u), acc, i + 1);
      } else
        add_vector(R, a, half ? widened((const uint16_t *)v + i * VL) : lanes_load((const float *)v + i * VL),
                   acc, i);
    }
  }
  ATTEND_UNROLL for (int r = 0; r < R; r++) store_sums(split, N, acc[r], o + r * ldo);
}

ATTEND_INLINE void mix_rows(bool half, int R, int N, const float *w, const attend_view *v, const char *at,
                            int n, attend_hops hops, float *o, int64_t ldo) {
  const int64_t size = half ? 2 : 4, vectors = v->d / VL, ld = v->row * size;
  int64_t i = 0;
  for (; i + N <= vectors; i += N) mix(half, R, N, w, at + i * VL * size, ld, n, hops, o + i * VL, ldo);
  for (; i < vectors; i++) mix(half, R, 1, w, at + i * VL * size, ld, n, hops, o + i * VL, ldo);
}

ATTEND_INLINE void values_of(bool half, int rows, const float *w, const attend_view *v, const char *at, int n,
                             attend_hops hops, float *o, int64_t ldo) {
  for (int R; rows > 0; rows -= R, w += R * TILE, o += R * ldo) {
    R = rows >= MR ? MR : rows >= 2 ? 2 : 1;
    if (R == MR)
      mix_rows(half, MR, NV, w, v, at, n, hops, o, ldo);
    else if (R == 2)
      mix_rows(half, 2, 4, w, v, at, n, hops, o, ldo);
    else
      mix_rows(half, 1, 8, w, v, at, n, hops, o, ldo);
    hops = (attend_hops){0};
  }
}

void xlm_attend_values_there(int rows, const float *w, const attend_view *v, int64_t at, int n,
                             attend_ahead_of ahead, float *o, int64_t ldo) {
  const char *p = (const char *)v->data + at * (int64_t)xlm_dtype_bytes(v->type);
  const attend_hops hops = hops_of(v, ahead);
  if (v->type == XLM_BF16)
    values_of(true, rows, w, v, p, n, hops, o, ldo);
  else
    values_of(false, rows, w, v, p, n, hops, o, ldo);
}
