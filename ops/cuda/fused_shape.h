// How a kernel of `fused` covers its program's space: planning, the kernel's source and what launches it ask
// the same function, and the answer depends only on the call's shapes and types.
//
// There are three forms:
// - elements: programs without rows. A thread computes `vector` neighbours.
// - rows: programs with functions of rows. A team of threads (a part of a warp, a warp, or a block) holds a
//   row in registers: per thread and operand `chunks` accesses of `vector` neighbours.
// - columns: sums without functions of rows. A warp reads rows of a tile of columns, `chunks` at a time.
//
// A block takes `per` consecutive rows; its teams take them in turn. Where results are summed, threads add up
// their columns over these rows in registers, the block adds up its teams in order, and there are `parts`
// partial sums in the workspace, which a second kernel adds up (fused_sums.cu). Columns, and rows of warps,
// are added in the order of `sum` (reduce_shape_priv.h).
//
// Sizes. 3 TB/s at 700 ns need 16 KB on their way to each of 132 multiprocessors, at all times; a team loads
// nothing while it reduces and stores, so about twice that is asked for. A warp has 512 bytes on their way
// per operand and chunk. With bf16 operands:
//
//   program, rows x elements            blocks x warps   registers    at once per multiprocessor
//   layernorm_bwd, 2 sums, 32768 x 768      256 x 8         128       2 blocks, 16 warps x 3 x 3: 72 KB
//   layernorm_bwd, 3 sums, 32768 x 768     1024 x 3          80       8 blocks, 24 warps x 3 x 1: 36 KB
//   rmsnorm_bwd, 1 sum, 8192 x 4096         373 x 8          80       3 blocks, 24 warps x 3 x 2: 72 KB
//   gelu_grad, 1 sum, 32768 x 3072         3072 x 8          72       3 blocks, 24 warps x 2 x 3: 72 KB
//
// The blocks of the first three are all there at once. Partial sums are 1 to 9 % of what is moved, in the L2
// cache.
#ifndef XLM_CUDA_FUSED_SHAPE_H
#define XLM_CUDA_FUSED_SHAPE_H

#include "runtime/device/fused.h"

XLM_C_BEGIN

enum { XLM_FUSED_OPERANDS = XLM_CODE_MAX_IN + XLM_CODE_MAX_OUT };

typedef enum xlm_fused_form { XLM_FUSED_ELEMENTS, XLM_FUSED_ROWS, XLM_FUSED_COLUMNS } xlm_fused_form;

typedef struct xlm_fused_shape {
  const xlm_code *code;
  xlm_fused_form form;
  // The space's dims, merged where all operands allow it, outermost first: at least one of a row, after
  // n_outer others.
  int n_dims, n_outer;
  int64_t size[XLM_MAX_RANK];
  int64_t rows, len; // all of the space is one row of the form `elements`
  int n_in, n_whole, n_summed;
  // Of operands, then whole results, in elements; 0: broadcast.
  int64_t stride[XLM_FUSED_OPERANDS][XLM_MAX_RANK];
  xlm_dtype dtype[XLM_FUSED_OPERANDS]; // of operands, then results
  int vector;                          // neighbours along the last dim: 8, 4, 2 or 1
  int chunks;                          // of `vector` elements each, per thread and operand
  int team;                            // threads
  int teams;                           // of a block
  int64_t tiles, per, parts;           // of columns; rows of a block; blocks that share the rows
} xlm_fused_shape;

xlm_fused_shape xlm_fused_shape_of(const xlm_call *c);

// Blocks that a multiprocessor should hold.
int xlm_fused_held(const xlm_fused_shape *s);
static inline int xlm_fused_threads(const xlm_fused_shape *s) {
  return s->team * s->teams;
}
// Blocks that have something to do; 0: there is nothing to launch.
static inline int64_t xlm_fused_blocks(const xlm_fused_shape *s) {
  return s->len ? s->tiles * s->parts : 0;
}
// Numbers of partial sums, [summed results][parts][len]; 0: results are summed in one step.
static inline int64_t xlm_fused_partial(const xlm_fused_shape *s) {
  return s->parts > 1 ? s->n_summed * s->parts * s->len : 0;
}
// Is operand or whole result k moved by one access per `vector` elements?
bool xlm_fused_is_vector(const xlm_fused_shape *s, int k);
// Do elements of operand k depend on the row? On the column?
bool xlm_fused_by_row(const xlm_fused_shape *s, int k);
bool xlm_fused_by_column(const xlm_fused_shape *s, int k);

XLM_C_END

#endif
