// Products of bf16 on AMX tiles. A is packed tile by tile, 16 rows of 16 words, the tiles of 16 rows one
// after the other along k; B as for every other micro-kernel, [word][NR], of which 16 words of 16 columns are
// a tile. Each sum has one order whatever the rows and columns beside it: a k block's words by sixteens.
#include <string.h>

#include "ops/cpu/gemm/gemm_vec_priv.h"

#if defined(XLM_ISA_avx512)
#include "ops/cpu/gemm/amx_priv.h"

enum { SIDE = XLM_AMX_SIDE, TILE = SIDE * SIDE, ROW = NR * 4, TILE_ROW = SIDE * 4 };
_Static_assert((int)VL == SIDE && NV == 3 && KC % SIDE == 0 && MC % AMX_ROWS == 0, "tiles are vectors wide");

void xlm_gemm_amx_begin(void) {
  xlm_amx_config c = {.palette = 1};
  for (int i = 0; i < 8; i++) c.row_bytes[i] = TILE_ROW, c.rows[i] = SIDE;
  xlm_amx_written(&c);
  xlm_amx_configure(&c);
}

void xlm_gemm_amx_end(void) {
  xlm_amx_release();
}

// ---- A

// Rows of which `words` words are one run of memory.
static void copy_rows(uint32_t *to, const uint16_t *from, const xlm_gemm_axis *x, int first, int64_t at,
                      int elements) {
  for (int r = 0; r < SIDE; r++, to += SIDE) {
    if (elements < 2 * SIDE || first + r >= x->n) memset(to, 0, TILE_ROW);
    if (first + r < x->n) memcpy(to, from + x->off[first + r] + at, (size_t)elements * 2);
  }
}

static void transpose(bits r[SIDE]) { // as copy_transposed in gemm_pack.c
  bits t[SIDE];
  UNROLL for (int round = 1; round < SIDE; round *= 2) {
    UNROLL for (int i = 0; i < SIDE / 2; i++) {
      t[2 * i] = __builtin_shufflevector(r[i], r[i + SIDE / 2], XLM_GEMM_LOW);
      t[2 * i + 1] = __builtin_shufflevector(r[i], r[i + SIDE / 2], XLM_GEMM_HIGH);
    }
    UNROLL for (int i = 0; i < SIDE; i++) r[i] = t[i];
  }
}

// Element `e` of the k axis of SIDE rows, of which those past the end are zero.
static bits rows_at(const uint16_t *from, const xlm_gemm_axis *x, int first, const xlm_gemm_axis *k, int e) {
  bits w = {0};
  if (e >= k->n) return w;
  if (first + SIDE <= x->n && x->run[first] >= SIDE) return widen(from + x->off[first] + k->off[e]);
  for (int r = 0; r < SIDE && first + r < x->n; r++) w[r] = from[x->off[first + r] + k->off[e]];
  return w;
}

static void turn_rows(uint32_t *to, const uint16_t *from, const xlm_gemm_axis *x, int first,
                      const xlm_gemm_axis *k, int e) {
  bits r[SIDE];
  for (int q = 0; q < SIDE; q++)
    r[q] = rows_at(from, x, first, k, e + 2 * q) | rows_at(from, x, first, k, e + 2 * q + 1) << 16;
  transpose(r);
  for (int i = 0; i < SIDE; i++) store((float *)(to + i * SIDE), (vec)r[i]);
}

void xlm_gemm_amx_pack_a(uint32_t *dst, const void *src, const xlm_gemm_axis *x, const xlm_gemm_axis *k) {
  const uint16_t *from = src;
  for (int first = 0; first < x->n; first += SIDE)
    for (int e = 0; e < k->n; e += 2 * SIDE, dst += TILE) {
      const int elements = k->n - e < 2 * SIDE ? k->n - e : 2 * SIDE;
      if (k->run[e] >= elements)
        copy_rows(dst, from, x, first, k->off[e], elements);
      else
        turn_rows(dst, from, x, first, k, e);
    }
}

// ---- the product
//
// Sums are in tiles 0 to 3; of one tile of rows three of columns are multiplied at a time, of two two.

INLINE void zero(int R, int N) {
  xlm_amx_zero(0);
  if (N > 1) xlm_amx_zero(1);
  if (R > 1 || N > 2) xlm_amx_zero(2);
  if (R > 1 && N > 1) xlm_amx_zero(3);
}

INLINE void add_one(int N, int64_t tiles, const uint32_t *a, const uint32_t *b) {
  for (; tiles > 0; tiles--, a += TILE, b += SIDE * NR) {
    xlm_amx_load(4, a, TILE_ROW);
    xlm_amx_load(5, b, ROW);
    xlm_amx_dot(0, 4, 5);
    if (N > 1) {
      xlm_amx_load(6, b + SIDE, ROW);
      xlm_amx_dot(1, 4, 6);
    }
    if (N > 2) {
      xlm_amx_load(7, b + 2 * SIDE, ROW);
      xlm_amx_dot(2, 4, 7);
    }
  }
}

INLINE void add_two(int N, int64_t tiles, const uint32_t *a, int64_t apart, const uint32_t *b) {
  for (; tiles > 0; tiles--, a += TILE, b += SIDE * NR) {
    xlm_amx_load(6, b, ROW);
    xlm_amx_load(4, a, TILE_ROW);
    xlm_amx_dot(0, 4, 6);
    xlm_amx_load(5, a + apart, TILE_ROW);
    xlm_amx_dot(2, 5, 6);
    if (N > 1) {
      xlm_amx_load(7, b + SIDE, ROW);
      xlm_amx_dot(1, 4, 7);
      xlm_amx_dot(3, 5, 7);
    }
  }
}

typedef struct operands {
  const uint32_t *a, *b, *last; // last: the words of B after the last whole tile, and zeros; NULL: none
  int64_t tiles, apart;         // whole tiles along k; words of A from one tile of rows to the next
} operands;

INLINE void multiply(int R, int N, const operands *o, int column, float *sum) {
  const uint32_t *a = o->a, *end = a + o->tiles * TILE;
  zero(R, N);
  if (R == 1) {
    add_one(N, o->tiles, a, o->b + column);
    if (o->last) add_one(N, 1, end, o->last + column);
  } else {
    add_two(N, o->tiles, a, o->apart, o->b + column);
    if (o->last) add_two(N, 1, end, o->apart, o->last + column);
  }
  sum += column;
  xlm_amx_store(0, sum, ROW);
  if (N > 1) xlm_amx_store(1, sum + SIDE, ROW);
  if (R == 1 && N > 2) xlm_amx_store(2, sum + 2 * SIDE, ROW);
  if (R > 1) xlm_amx_store(2, sum + SIDE * NR, ROW);
  if (R > 1 && N > 1) xlm_amx_store(3, sum + SIDE * NR + SIDE, ROW);
}

void xlm_gemm_amx(int rows, int vectors, int64_t words, const uint32_t *a, const uint32_t *b, float *sum) {
  const int64_t left = words % SIDE;
  operands o = {.a = a, .b = b, .tiles = words / SIDE, .apart = xlm_gemm_ceil(words, SIDE) * TILE};
  uint32_t last[SIDE * NR];
  if (left) {
    memset(last, 0, sizeof last);
    memcpy(last, b + o.tiles * SIDE * NR, (size_t)left * ROW);
    o.last = last;
  }
  xlm_amx_written(last);
  if (rows <= SIDE && vectors == 3)
    multiply(1, 3, &o, 0, sum);
  else if (rows <= SIDE && vectors == 2)
    multiply(1, 2, &o, 0, sum);
  else if (rows <= SIDE)
    multiply(1, 1, &o, 0, sum);
  else if (vectors == 1)
    multiply(2, 1, &o, 0, sum);
  else
    multiply(2, 2, &o, 0, sum);
  if (rows > SIDE && vectors == 3) multiply(2, 1, &o, 2 * SIDE, sum);
}

#else
void xlm_gemm_amx_begin(void) {
  __builtin_trap();
}
void xlm_gemm_amx_end(void) {
  __builtin_trap();
}
void xlm_gemm_amx_pack_a(uint32_t *dst, const void *src, const xlm_gemm_axis *x, const xlm_gemm_axis *k) {
  (void)dst, (void)src, (void)x, (void)k;
  __builtin_trap();
}
void xlm_gemm_amx(int rows, int vectors, int64_t words, const uint32_t *a, const uint32_t *b, float *sum) {
  (void)rows, (void)vectors, (void)words, (void)a, (void)b;
  memset(sum, 0, sizeof *sum);
  __builtin_trap();
}
#endif
