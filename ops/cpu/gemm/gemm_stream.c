// Few rows against rows of B whose columns are adjacent: B is read once, in order, and multiplied at once
// into sums that stay in the first cache. DEPTH rows of B at a time are held against some columns of the
// sums, for all rows of A while these words of B are near, and the next DEPTH are prefetched meanwhile.
// Each sum has the order of the micro-kernel.
#include <string.h>

#include "ops/cpu/gemm/gemm_vec_priv.h"

enum {
  DEPTH = 8,   // words of k per pass over the sums
  NEAR = 4096, // sums of one row or two that stay in the first cache
  FAR = 16384, // columns at a time of more rows: their sums cost less than B in another order than memory's
  WIDE = 4,    // vectors of columns, at most
  LINE = 64,
  LONG = 8 << 10 // bytes of a row of B that the processor prefetches better by itself, for one row or two
};

// How a tile is walked: `depth` words in turns of `turn`. fetch: lines of every row that are prefetched for
// the words after these.
typedef struct walk {
  int depth, turn, fetch;
  bool second; // have pairs their second row?
} walk;

// What is prefetched: from `at` on, for a word `hop` bytes after that for the word before, the second row of
// pairs `pair` bytes after the first.
typedef struct next {
  const char *at;
  int64_t hop, pair;
} next;

// Lines of rows that follow each other without a gap are prefetched in memory's order, whichever words they
// belong to: that is one stream for the processor's own prefetching, which many short rows are not.
INLINE next next_of(const rows_of_b *b, const char *p, int depth, int fetch, int64_t column,
                    bool whole_rows) {
  const int64_t step = b->ld * b->elements;
  const char *after = p + step * depth;
  if (!whole_rows) return (next){after + column * b->size, step, b->ld};
  return (next){after + column * b->size * depth * b->elements, fetch * LINE * b->elements, fetch * LINE};
}

// J vectors of columns: few registers hold many sums, so words of A are read once for all J. R is the width
// of a panel of A. J, R and all of w but the depth are constants in every call.
INLINE void tile(const rows_of_b *b, int R, int J, walk w, next to, const char *p, const uint32_t *a,
                 float *acc, int64_t ld) {
  const int64_t step = b->ld * b->elements;
  vec sum[MR][WIDE];
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < J; v++) sum[r][v] =
      load(acc + r * ld + v * VL);
  int left = w.depth;
  __asm__("" : "+r"(left)); // unrolled, the loop would keep sums in memory
  for (; left > 0; left -= w.turn)
    UNROLL for (int t = 0; t < w.turn; t++, p += step, a += R, to.at += to.hop) {
      UNROLL for (int f = 0; f < w.fetch; f++) {
        __builtin_prefetch(to.at + f * LINE);
        if (b->elements == 2) __builtin_prefetch(to.at + to.pair + f * LINE);
      }
      vec part[WIDE];
      vectors_at(part, b, J, p, w.second);
      UNROLL for (int r = 0; r < R; r++) {
        vec x = splat(a[r]);
        UNROLL for (int v = 0; v < J; v++) sum[r][v] = dot(b->elements == 2, sum[r][v], x, part[v]);
      }
    }
  UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < J; v++)
      store(acc + r * ld + v * VL, sum[r][v]);
}

// The words of `w` of all panels by n columns, which are whole vectors; a: of the first of these words.
INLINE void rows(const rows_of_b *b, int R, int J, walk w, const char *p, const xlm_gemm_few *x,
                 const uint32_t *a, int n, bool whole_rows, float *acc, int64_t ld) {
  const int bytes = J * VL * b->size, panels = x->panels;
  const int64_t step = x->step;
  const next none = {p, 0, 0};
  walk near = w, first = w; // the first panel prefetches, once per line
  near.fetch = 0, first.fetch = (bytes + LINE - 1) / LINE;
  const bool fetch = w.turn > 1 && (R > 2 || n * b->size < LONG);
  int j = 0;
  for (; j + J * VL <= n; j += J * VL) {
    const char *at = p + j * b->size;
    int i = 0;
    if (fetch && (bytes >= LINE || j * b->size % LINE == 0)) {
      next to = next_of(b, p, w.depth, first.fetch, j, whole_rows);
      tile(b, R, J, first, to, at, a, acc + j, ld), i++;
    }
    for (; i < panels; i++) tile(b, R, J, near, none, at, a + i * step, acc + i * R * ld + j, ld);
  }
  for (; j < n; j += VL)
    for (int i = 0; i < panels; i++)
      tile(b, R, 1, near, none, p + j * b->size, a + i * step, acc + i * R * ld + j, ld);
}

INLINE uint32_t word_at(const rows_of_b *b, const char *p, bool second) {
  if (b->word == XLM_WORD_F32) return *(const uint32_t *)p;
  uint32_t low = *(const uint16_t *)p;
  if (b->word == XLM_WORD_WIDEN) return low << 16;
  return low | (uint32_t)(second ? *(const uint16_t *)(p + b->ld) : 0) << 16;
}

// The last columns, fewer than a vector, by `words` whole words of k.
INLINE void tail(const rows_of_b *b, int R, int words, bool second, const char *p, const uint32_t *a,
                 int lanes, float *acc, int64_t ld) {
  for (int q = 0; q < words; q++, p += b->ld * b->elements) {
    bits w = {0};
    for (int l = 0; l < lanes; l++) w[l] = word_at(b, p + l * b->size, second);
    for (int r = 0; r < R; r++) {
      float *at = acc + r * ld;
      store(at, dot(b->elements == 2, load(at), splat(a[q * R + r]), (vec)w));
    }
  }
}

// Words of `depth` of which a whole vector can be read, since what follows the last `lanes` columns is of
// later rows.
INLINE int readable(const rows_of_b *b, int depth, int lanes) {
  const int64_t beyond = (VL - lanes) * b->size, step = b->ld * b->elements;
  const int64_t last = step > 0 ? (beyond + step - 1) / step : depth;
  return last < depth ? depth - (int)last : 0;
}

// `words` from word q on, by n columns.
INLINE void words(const rows_of_b *b, int R, int J, walk w, const char *p, const xlm_gemm_few *x, int q,
                  int n, bool whole_rows, float *acc, int64_t ld) {
  int whole = n / VL * VL;
  const uint32_t *a = x->a + q * R;
  p += q * b->ld * b->elements;
  rows(b, R, J, w, p, x, a, whole, whole_rows, acc, ld);
  if (whole == n) return;
  p += whole * b->size, acc += whole;
  const int fast = readable(b, w.depth, n - whole);
  const walk some = {.depth = fast, .turn = 1, .second = w.second};
  for (int i = 0; i < x->panels; i++, a += x->step, acc += R * ld) {
    tile(b, R, 1, some, (next){p, 0, 0}, p, a, acc, ld);
    tail(b, R, w.depth - fast, w.second, p + fast * b->ld * b->elements, a + fast * R, n - whole, acc, ld);
  }
}

INLINE void stream(xlm_gemm_word word, int R, int J, const xlm_gemm_few *x, const char *at, int64_t ld_of_b,
                   int k, int n, float *sum, int64_t ld) {
  const rows_of_b b = rows_of(word, ld_of_b);
  const int whole = k / b.elements, all = R * x->panels, room = all > 2 ? FAR : NEAR / all;
  const bool whole_rows = n <= room && ld_of_b == n * b.size;
  for (int j = 0; j < n; j += room, sum += room) {
    const int columns = n - j < room ? n - j : room, deep = whole / DEPTH * DEPTH;
    const char *p = at + j * b.size;
    for (int r = 0; r < all; r++)
      memset(sum + r * ld, 0, sizeof(float) * (size_t)((columns + VL - 1) / VL * VL));
    for (int q = 0; q < deep; q += DEPTH)
      words(&b, R, J, (walk){.depth = DEPTH, .turn = 2, .second = true}, p, x, q, columns, whole_rows, sum,
            ld);
    if (deep < whole)
      words(&b, R, J, (walk){.depth = whole - deep, .turn = 1, .second = true}, p, x, deep, columns,
            whole_rows, sum, ld);
    if (b.elements == 2 && k % 2)
      words(&b, R, J, (walk){.depth = 1, .turn = 1}, p, x, whole, columns, whole_rows, sum, ld);
    if (word == XLM_WORD_WIDEN && J % 2 == 0)
      for (int r = 0; r < all; r++) in_order(sum + r * ld, columns / (J * VL) * (J * VL));
  }
}

INLINE void by_rows(xlm_gemm_word word, const xlm_gemm_few *x, const char *b, int64_t ld_of_b, int k, int n,
                    float *sum, int64_t ld) {
  if (x->width == 1)
    stream(word, 1, 4, x, b, ld_of_b, k, n, sum, ld);
  else if (x->width == 2)
    stream(word, 2, 4, x, b, ld_of_b, k, n, sum, ld);
  else if (x->width == MR)
    stream(word, MR, 2, x, b, ld_of_b, k, n, sum, ld);
  else
    stream(word, 4, 2, x, b, ld_of_b, k, n, sum, ld);
}

void xlm_gemm_stream(xlm_gemm_word word, const xlm_gemm_few *x, const void *b, int64_t ld_of_b, int k, int n,
                     float *sum, int64_t ld) {
  if (word == XLM_WORD_F32)
    by_rows(XLM_WORD_F32, x, b, ld_of_b, k, n, sum, ld);
  else if (word == XLM_WORD_WIDEN)
    by_rows(XLM_WORD_WIDEN, x, b, ld_of_b, k, n, sum, ld);
  else
    by_rows(XLM_WORD_PAIR, x, b, ld_of_b, k, n, sum, ld);
}
