// Internals of the matrix product: tile sizes of each instruction set, packed words, and functions shared by
// its files.
//
// A *word* is 32 packed bits: one f32 element of k, or two adjacent bf16 elements (for vdpbf16ps). An A panel
// holds MR rows as [word][MR], a B panel NR columns as [word][NR]. One micro-tile multiplies an A panel by a
// B panel over one *k block* of at most KC words; k blocks depend on k alone, which fixes the order of every
// sum.
#ifndef XLM_GEMM_GEMM_PRIV_H
#define XLM_GEMM_GEMM_PRIV_H

#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/inline_priv.h"
#include "ops/cpu/isa.h"

enum {
  KC = 384,     // words of a k block: an A panel (12 KiB) stays in L1, an A block and a B panel in L2
  MC = 192,     // rows of a packed A block
  AXIS = 1024,  // maximum entries of an axis: 2 * KC elements of k, MC rows, PACK_PANELS or SKINNY_PANELS
                // panels
  FEW = 16,     // rows of a product of few rows, at most
  SHORT = 8192, // columns of B whose k blocks are divided among workers (xlm_gemm_by_blocks), at most
  APART = 16, // words between rows of sums, which else may be whole pages apart: the cache keeps few of those
  LANE_COLUMNS = 22,           // columns of xlm_gemm_lanes, at most
  XLM_AMX_SIDE = 16,           // rows of an AMX tile, and words of a row
  AMX_ROWS = 2 * XLM_AMX_SIDE, // of A that tiles multiply at a time
};

#if defined(XLM_ISA)
enum {
  VL = XLM_ISA_NAME(xlm_tiles_lanes),
  MR = XLM_ISA_NAME(xlm_tiles_gemm_rows),
  NV = XLM_ISA_NAME(xlm_tiles_gemm_vectors),
  NR = NV * VL,
  SKINNY_PANELS = AXIS / NR,
};

// Lanes of two vectors in turn: of their first halves, of their second halves.
#if defined(XLM_ISA_avx512)
#define XLM_GEMM_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define XLM_GEMM_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(XLM_ISA_avx2)
#define XLM_GEMM_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define XLM_GEMM_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define XLM_GEMM_LOW 0, 4, 1, 5
#define XLM_GEMM_HIGH 2, 6, 3, 7
#endif
#endif

enum {                  // of rounds; see gemm_drive.c
  SHARED = 6 << 18,     // target for the words of packed B per round: 6 MiB, to be read from L3
  ROUND_BLOCKS = 3,     // k blocks per round (f32 C)
  ROUND_PANELS_MIN = 4, // A is packed again for every round, so never use fewer columns than this
  ROUND_PANELS_MAX = 32,
};

typedef enum xlm_gemm_word {
  XLM_WORD_F32,
  XLM_WORD_WIDEN,
  XLM_WORD_PAIR
} xlm_gemm_word; // f32; bf16 as f32; 2 bf16

// Offsets of consecutive indices of a group in one operand, for a range of the group.
typedef struct xlm_gemm_axis {
  int n;
  int32_t run[AXIS]; // number of entries from here on that are adjacent in memory (at least 1)
  int64_t off[AXIS]; // elements from the operand's start
} xlm_gemm_axis;

typedef enum xlm_gemm_side { XLM_SIDE_A, XLM_SIDE_B, XLM_SIDE_C } xlm_gemm_side;

// Memory that tiles are read from or written to: C, add, or an f32 stage.
typedef struct xlm_gemm_plane {
  char *base; // NULL: not read
  xlm_dtype type;
  const xlm_gemm_axis *row, *col;
} xlm_gemm_plane;

typedef struct xlm_gemm_entry { // one batch entry
  int64_t m, n, k;
  int64_t words;        // of k
  int64_t blocks, step; // number of k blocks, words of each but the last
  const char *a, *b, *add;
  char *c;
} xlm_gemm_entry;

typedef struct xlm_gemm_job {
  const xlm_gemm *g; // normalised, see gemm_dispatch.c
  const char *a, *b, *add, *bias;
  char *c;
  const int32_t *offsets;
  xlm_pool *pool;
  uint32_t *workspace;
} xlm_gemm_job;

typedef void
xlm_gemm_engine(const xlm_gemm_job *job); // an instruction set's copy, as called by gemm_dispatch.c

typedef struct xlm_gemm_layout { // of the workspace, in words: shared by all workers; per worker its block of
                                 // A and its stage
  int64_t shared, block, stage;
} xlm_gemm_layout;
xlm_gemm_layout xlm_gemm_layout_of(const xlm_gemm *normalised);

static inline int64_t xlm_gemm_words(const xlm_gemm *g, int64_t k) { // of k elements
  return g->pairs ? (k + 1) / 2 : k;
}

// Are few rows multiplied by whole k blocks of B, divided among the workers, instead of by columns? So it is
// where rows of B are short: a worker's part of each would be a short run of memory, and the processor would
// fetch ahead what belongs to another.
bool xlm_gemm_by_blocks(const xlm_gemm *normalised);

static inline int64_t xlm_gemm_sums_ld(int64_t panels, int64_t width) {
  return panels * width + APART;
}

// The memory of batch entry e: pointers and sizes; words and k blocks are left to the engine.
xlm_gemm_entry xlm_gemm_entry_at(const xlm_gemm_job *job, int64_t e);

#define INLINE XLM_INLINE
#define UNROLL XLM_UNROLL

#if defined(XLM_ISA)
#define xlm_gemm_axis_fill XLM_ISA_NAME(xlm_gemm_axis_fill)
#define xlm_gemm_pack_a XLM_ISA_NAME(xlm_gemm_pack_a)
#define xlm_gemm_pack_b XLM_ISA_NAME(xlm_gemm_pack_b)
#define xlm_gemm_kernel XLM_ISA_NAME(xlm_gemm_kernel)
#define xlm_gemm_tile XLM_ISA_NAME(xlm_gemm_tile)
#define xlm_gemm_bias_load XLM_ISA_NAME(xlm_gemm_bias_load)
#define xlm_gemm_row_load XLM_ISA_NAME(xlm_gemm_row_load)
#define xlm_gemm_row_store XLM_ISA_NAME(xlm_gemm_row_store)
#define xlm_gemm_entry_of XLM_ISA_NAME(xlm_gemm_entry_of)
#define xlm_gemm_skinny XLM_ISA_NAME(xlm_gemm_skinny)
#define xlm_gemm_skinny_block XLM_ISA_NAME(xlm_gemm_skinny_block)
#define xlm_gemm_skinny_sum XLM_ISA_NAME(xlm_gemm_skinny_sum)
#define xlm_gemm_stream XLM_ISA_NAME(xlm_gemm_stream)
#define xlm_gemm_few_in_panel XLM_ISA_NAME(xlm_gemm_few_in_panel)
#define xlm_gemm_unpack_panel XLM_ISA_NAME(xlm_gemm_unpack_panel)
#define xlm_gemm_along XLM_ISA_NAME(xlm_gemm_along)
#define xlm_gemm_lanes XLM_ISA_NAME(xlm_gemm_lanes)
#define xlm_gemm_pack_lanes XLM_ISA_NAME(xlm_gemm_pack_lanes)

// Entries begin .. begin + count of group x in the operand `side`.
void xlm_gemm_axis_fill(xlm_gemm_axis *axis, const xlm_matmul_index *x, xlm_gemm_side side, int64_t begin,
                        int64_t count);

// xlm_gemm_entry_at including its k blocks.
xlm_gemm_entry xlm_gemm_entry_of(const xlm_gemm_job *job, int64_t e);

// Packs panels of x.n rows (columns) by k.n elements. Rows past the end are zero up to the next multiple of
// MR (of VL).
void xlm_gemm_pack_a(uint32_t *dst, const void *src, xlm_gemm_word word, const xlm_gemm_axis *x,
                     const xlm_gemm_axis *k);
void xlm_gemm_pack_b(uint32_t *dst, const void *src, xlm_gemm_word word, const xlm_gemm_axis *x,
                     const xlm_gemm_axis *k);

// As xlm_gemm_pack_a, as one panel of VL rows, [word][VL].
void xlm_gemm_pack_lanes(uint32_t *dst, const void *src, xlm_gemm_word word, const xlm_gemm_axis *x,
                         const xlm_gemm_axis *k);

// to[r][0 .. vectors * VL) = from[r][..] + A panel . B panel, for r < rows; from NULL: zero.
void xlm_gemm_kernel(bool pair, int rows, int vectors, int64_t words, const uint32_t *a, const uint32_t *b,
                     float *const *to, const float *const *from);

// Few rows of A in one k block, as panels of `width` rows (1, 2, 4, MR or VL) one `step` after the other,
// each [word][width].
typedef struct xlm_gemm_few {
  const uint32_t *a;
  int64_t step;
  int width, panels;
} xlm_gemm_few;

// sum[r * ld + j] = A[r] . B's column j, for all rows of the panels and j < n; b: k rows of adjacent columns,
// ld_of_b bytes from one to the next. Sums are written up to the next multiple of VL.
void xlm_gemm_stream(xlm_gemm_word word, const xlm_gemm_few *x, const void *b, int64_t ld_of_b, int k, int n,
                     float *sum, int64_t ld);

// The same for a panel of B of NR columns as it is stored (runtime/plan/type.h): sum[r * ld + j] = (have ?
// sum[r * ld + j] : 0) + A[r] . column j.
void xlm_gemm_few_in_panel(xlm_gemm_word word, const xlm_gemm_few *x, const void *b, int k, float *sum,
                           int64_t ld, bool have);

// A stored panel of `columns` columns as xlm_gemm_pack_b packs one: zero beyond the columns, up to NR.
void xlm_gemm_unpack_panel(xlm_gemm_word word, uint32_t *to, const void *b, int k, int columns);

// Columns of B that run along k, in one k block.
typedef struct xlm_gemm_columns {
  const char *at;      // the first element of the first column
  int64_t ld, k;       // bytes from one column to the next; elements
  int64_t whole, left; // bytes of a column; of them from the block's first element on
} xlm_gemm_columns;

// sum[r * ld + j] = (have ? sum[r * ld + j] : 0) + A[r] . B's column j, for all rows of the panels and j < n.
// Sums are written up to the next multiple of VL.
void xlm_gemm_along(xlm_gemm_word word, const xlm_gemm_few *x, const xlm_gemm_columns *b, int n, float *sum,
                    int64_t ld, bool have);

// The same for panels of VL rows, words of one element and n of at most LANE_COLUMNS.
void xlm_gemm_lanes(xlm_gemm_word word, const xlm_gemm_few *x, const xlm_gemm_columns *b, int n, float *sum,
                    int64_t ld, bool have);

// One micro-tile at row i of the planes' row axes, of MR rows, or AMX_ROWS on AMX tiles: to = from + a . b +
// bias, whatever the planes' types and layouts. bias: one per column; NULL: none.
void xlm_gemm_tile(const xlm_gemm *g, int64_t words, const uint32_t *a, const uint32_t *b, int i,
                   const xlm_gemm_plane *to, const xlm_gemm_plane *from, const float *bias);

// ---- products on AMX tiles (gemm_amx.c): in the avx512 copy; the others never call them

#define xlm_gemm_amx_begin XLM_ISA_NAME(xlm_gemm_amx_begin)
#define xlm_gemm_amx_end XLM_ISA_NAME(xlm_gemm_amx_end)
#define xlm_gemm_amx_pack_a XLM_ISA_NAME(xlm_gemm_amx_pack_a)
#define xlm_gemm_amx XLM_ISA_NAME(xlm_gemm_amx)
// Takes and gives back this thread's tiles, before and after the others.
void xlm_gemm_amx_begin(void);
void xlm_gemm_amx_end(void);
// Packs rows by sixteens, each [words / 16][16 rows][16 words], zero past both ends.
void xlm_gemm_amx_pack_a(uint32_t *dst, const void *src, const xlm_gemm_axis *x, const xlm_gemm_axis *k);
// sum[r][0 .. vectors * VL) = A[r] . B panel, [word][NR], for the tiles that `rows` rows, at most AMX_ROWS,
// are in. sum has rows of NR for all of these.
void xlm_gemm_amx(int rows, int vectors, int64_t words, const uint32_t *a, const uint32_t *b, float *sum);

// The bias of some columns of C, `col`. Returns dst; NULL: there is no bias.
const float *xlm_gemm_bias_load(float *dst, const xlm_gemm_job *job, const xlm_gemm_axis *col);

void xlm_gemm_row_load(float *dst, const xlm_gemm_plane *p, int row, int n);
void xlm_gemm_row_store(const xlm_gemm_plane *p, int row, const float *src, int n);

// Computes C for the column panels [j0, j1) of an entry with at most FEW rows. `scratch`: MC * KC words.
void xlm_gemm_skinny(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t j0, int64_t j1,
                     uint32_t *scratch);

// The same in two steps (xlm_gemm_by_blocks): the sums of one k block, then C from those of all, which are in
// the shared workspace as [block][row][column], with rows xlm_gemm_sums_ld apart.
void xlm_gemm_skinny_block(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t block, int64_t j0,
                           int64_t j1, uint32_t *scratch);
void xlm_gemm_skinny_sum(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t j0, int64_t j1,
                         uint32_t *scratch);

static inline xlm_gemm_word xlm_gemm_word_of(bool pair, xlm_dtype t) {
  return pair ? XLM_WORD_PAIR : t == XLM_BF16 ? XLM_WORD_WIDEN : XLM_WORD_F32;
}
#endif

static inline int64_t xlm_gemm_ceil(int64_t n, int64_t d) {
  return (n + d - 1) / d;
}
static inline int64_t xlm_gemm_min(int64_t a, int64_t b) {
  return a < b ? a : b;
}
static inline int64_t xlm_gemm_max(int64_t a, int64_t b) {
  return a > b ? a : b;
}

#endif
