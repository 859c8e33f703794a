// Reductions over any dims: the common driver of sum, mean and amax.
#ifndef XLM_OPS_CPU_REDUCE_PRIV_H
#define XLM_OPS_CPU_REDUCE_PRIV_H

#include "ops/cpu/isa.h"
#include "runtime/device/cpu.h"

typedef struct reduce_kind {
  float (*run)(const float *x, int64_t n);              // reduces n <= VEC_RUN elements
  void (*merge)(float *acc, const float *x, int64_t n); // acc[i] = acc[i] with x[i]
  float start;                                          // the result for no elements
} reduce_kind;

extern const reduce_kind XLM_ISA_NAME(reduce_sum);

size_t XLM_ISA_NAME(reduce_workspace)(const xlm_call *c, const xlm_target *t);
void XLM_ISA_NAME(reduce_run)(const xlm_call *c, const reduce_kind *kind, double scale);

// The same order of operations for a kernel that computes what it reduces: `rows` rows of `len` numbers,
// reduced to one row. The kernel merges the rows of each tile, one after the other, into one row of partial
// results, [tiles][len]; reduce_join makes results from these. A tile has one row where the order is not that
// of columns (a row without dims); its size divides REDUCE_TILE_ROWS.
enum { REDUCE_TILE_ROWS = 64, REDUCE_STRIP = 2048 }; // columns to be joined at a time

typedef struct reduce_tiles {
  int64_t rows, len, tile_rows, tiles;
} reduce_tiles;

static inline reduce_tiles reduce_tiles_of(int64_t rows, int64_t len, bool columns) {
  reduce_tiles t = {.rows = rows, .len = len, .tile_rows = columns ? REDUCE_TILE_ROWS : 1};
  t.tiles = (rows + t.tile_rows - 1) / t.tile_rows;
  return t;
}

// Columns [column, column + n) of the result, into y; overwrites the columns' partial results.
void XLM_ISA_NAME(reduce_join)(const reduce_tiles *t, const reduce_kind *kind, float *partial, int64_t column,
                               int64_t n, float *y);

#endif
