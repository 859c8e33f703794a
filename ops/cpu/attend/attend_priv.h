// Internals of attention: strides of q, k, v, visible pairs of a tile, and the tile operations that forward
// and backward share (attend_tile.c).
//
// All computation is on tiles of TILE queries by TILE keys that are first packed to f32: rows as [TILE][dp],
// where dp is the feature size rounded up to whole vectors with zeros, or, as the right factor of q k^T,
// transposed as [feature][TILE]. Scores are in base 2 (the factor log2(e) is folded into q), because 2^x is
// cheaper than e^x.
#ifndef XLM_ATTEND_ATTEND_PRIV_H
#define XLM_ATTEND_ATTEND_PRIV_H

#include "ops/cpu/inline_priv.h"
#include "ops/cpu/kernel_priv.h"

enum {
  VL = XLM_ISA_NAME(xlm_tiles_lanes),
  MR = XLM_ISA_NAME(xlm_tiles_attend_rows),
  NV = XLM_ISA_NAME(xlm_tiles_attend_vectors),
  TILE = 64
};

#define ATTEND_LOG2E 1.4426950408889634
#define ATTEND_LN2 0.6931471805599453

typedef struct attend_view { // one operand or result; strides in elements
  void *data;
  xlm_dtype type;
  int64_t batch[XLM_MAX_RANK], row, head, feature;
  int64_t d, dp; // features, and rounded up to whole vectors
} attend_view;

typedef struct attend_shape {
  int n_batch;
  int64_t batch[XLM_MAX_RANK]; // dims that are neither sequence, heads nor feature
  int64_t batches;             // their product
  int64_t heads, kv_heads, queries, keys;
  int64_t d, dp, d_v, dp_v, widest; // of keys and of values; the larger of dp and dp_v
  int64_t q_tiles, k_tiles;
  // Positions of the first query and key; the queries from `first` on have separate tiles, which begin at
  // tail_pos.
  int64_t q_pos, k_pos, first, tail_pos;
  // Query head h uses key head (h + head_first) * kv_full / heads_full - kv_first, with numbers of the whole
  // model, so that a rank with some of the heads uses the same mapping.
  int64_t head_first, heads_full, kv_first, kv_full;
  bool causal;
  int64_t window;
  float scale, softcap;
  // Caches of earlier keys and values: rings of so many rows; 0: none. Then keys are those of the positions
  // from k_pos on, which begins a tile: there are none before `oldest`, those before `start` are cached, the
  // others are the call's own. All of this depends on the sample: see xlm_attend_of_sample.
  int64_t ring, oldest, start;
} attend_shape;

typedef struct attend_keys { // keys, or values
  attend_view own, cached;
} attend_keys;

// The keys that query i of a tile sees: none <= j < nk with lo <= j - i <= hi, or j < open.
typedef struct attend_tile {
  int nq, nk, lo, hi, open, none;
} attend_tile;

typedef struct attend_rows { // of a query tile: the local queries [row, row + n), and the position of the
                             // first. Of a tile of keys with caches, the row is the position
  int64_t row, n, pos;
} attend_rows;

typedef struct attend_span { // the columns [begin, end) that a strip of MR queries sees; [from, to): rounded
                             // to whole vectors
  int begin, end, from, to;
} attend_span;

// Rows to be packed next are prefetched while the products of the current tile run; otherwise reading a
// head's short, distant rows from memory takes up to a third as long as the arithmetic.
enum { ATTEND_AHEAD = 10 };
typedef struct attend_ahead {
  int n;
  int64_t done; // rows fetched so far, over all entries
  struct {
    const char *row; // the first row; NULL: none
    int64_t stride, rows, bytes;
    bool write;
  } want[ATTEND_AHEAD];
} attend_ahead;

#define xlm_attend_want XLM_ISA_NAME(xlm_attend_want)
#define xlm_attend_fetch XLM_ISA_NAME(xlm_attend_fetch)
#define xlm_attend_read XLM_ISA_NAME(xlm_attend_read)
#define xlm_attend_read_for XLM_ISA_NAME(xlm_attend_read_for)
#define xlm_attend_view_of XLM_ISA_NAME(xlm_attend_view_of)
#define xlm_attend_at XLM_ISA_NAME(xlm_attend_at)
#define xlm_attend_group XLM_ISA_NAME(xlm_attend_group)
#define xlm_attend_rows XLM_ISA_NAME(xlm_attend_rows)
#define xlm_attend_key_rows XLM_ISA_NAME(xlm_attend_key_rows)
#define xlm_attend_key_tiles XLM_ISA_NAME(xlm_attend_key_tiles)
#define xlm_attend_tile_of XLM_ISA_NAME(xlm_attend_tile_of)
#define xlm_attend_load XLM_ISA_NAME(xlm_attend_load)
#define xlm_attend_store XLM_ISA_NAME(xlm_attend_store)
#define xlm_attend_transpose XLM_ISA_NAME(xlm_attend_transpose)
#define xlm_attend_of_sample XLM_ISA_NAME(xlm_attend_of_sample)
#define xlm_attend_cached_of XLM_ISA_NAME(xlm_attend_cached_of)
#define xlm_attend_load_some XLM_ISA_NAME(xlm_attend_load_some)
#define xlm_attend_load_keys XLM_ISA_NAME(xlm_attend_load_keys)
#define xlm_attend_reads_there XLM_ISA_NAME(xlm_attend_reads_there)
#define xlm_attend_scores_there XLM_ISA_NAME(xlm_attend_scores_there)
#define xlm_attend_values_there XLM_ISA_NAME(xlm_attend_values_there)
#define xlm_attend_scores_of_keys XLM_ISA_NAME(xlm_attend_scores_of_keys)
#define xlm_attend_add_values XLM_ISA_NAME(xlm_attend_add_values)
#define xlm_attend_want_keys XLM_ISA_NAME(xlm_attend_want_keys)
#define xlm_attend_mul_rows XLM_ISA_NAME(xlm_attend_mul_rows)
#define xlm_attend_mul XLM_ISA_NAME(xlm_attend_mul)
#define xlm_attend_mul_t XLM_ISA_NAME(xlm_attend_mul_t)

attend_shape xlm_attend_read(const xlm_call *c);
// The same for a given target, whichever copy of the kernel this is; *tiles: its tile sizes.
attend_shape xlm_attend_read_for(const xlm_call *c, const xlm_target *t, xlm_cpu_tiles *tiles);
// query: the operand has the sequence and heads of the queries, otherwise of the keys.
attend_view xlm_attend_view_of(const xlm_call *c, const attend_shape *s, const xlm_type *t, void *data,
                               bool query);
// The same of a cache, t and data: its rows are those of `past`.
attend_view xlm_attend_cached_of(const xlm_call *c, const attend_shape *s, const xlm_type *t, void *data);
// The shape of one sample of a call with caches, whose first query has this position.
attend_shape xlm_attend_of_sample(const attend_shape *s, int64_t start);
int64_t xlm_attend_at(const attend_shape *s, const attend_view *v, int64_t batch,
                      int64_t head); // element offset
// The query heads [*first, *end) that use key head g.
void xlm_attend_group(const attend_shape *s, int64_t g, int64_t *first, int64_t *end);
attend_rows xlm_attend_rows(const attend_shape *s, int64_t q_tile); // n = 0: no such tile
attend_rows xlm_attend_key_rows(const attend_shape *s, int64_t k_tile);
// The key tiles [*first, *end) of which the queries of the tiles [q_first, q_end) see some part. prefix: all
// queries see the keys at positions below it.
void xlm_attend_key_tiles(const attend_shape *s, int64_t q_first, int64_t q_end, int64_t prefix,
                          int64_t *first, int64_t *end);
attend_tile xlm_attend_tile_of(const attend_shape *s, int64_t q_tile, int64_t k_tile, int64_t prefix);

// dst [TILE][v's dp] = factor * rows [row, row + rows) of v, zero elsewhere; `at`: from xlm_attend_at.
void xlm_attend_load(float *dst, const attend_view *v, int64_t at, int64_t row, int64_t rows, float factor);
// The same rows, and nothing else.
void xlm_attend_load_some(float *dst, const attend_view *v, int64_t at, int64_t row, int64_t rows,
                          float factor);
// dst [TILE][dp] = a tile of keys or values, own or cached; zero where there are none. With caches, s is of
// one sample.
void xlm_attend_load_keys(float *dst, const attend_shape *s, const attend_keys *k, int64_t batch, int64_t g,
                          attend_rows rows);
// Can few queries use keys and values where they lie, by the two functions that follow?
bool xlm_attend_reads_there(const attend_view *keys, const attend_view *values);
// What else is prefetched with every row: that of the next tile, of the next head?
typedef struct attend_ahead_of {
  bool tile, head;
} attend_ahead_of;
// scores [rows][n] (row stride TILE) = q [rows][d] . n keys, the rows of v from element `at` on.
void xlm_attend_scores_there(int rows, const float *q, int64_t ldq, const attend_view *v, int64_t at, int n,
                             attend_ahead_of ahead, float *scores);
// o [rows][d] += w [rows][n] (row stride TILE) . n values, the rows of v from element `at` on.
void xlm_attend_values_there(int rows, const float *w, const attend_view *v, int64_t at, int n,
                             attend_ahead_of ahead, float *o, int64_t ldo);
// The same for the columns of `span` of a tile of key head g, own and cached ones. Scores of keys that do not
// exist are not written.
void xlm_attend_scores_of_keys(int rows, const float *q, int64_t ldq, const attend_shape *s,
                               const attend_keys *k, int64_t batch, int64_t g, attend_rows tile,
                               attend_span span, attend_ahead_of ahead, float *scores);
void xlm_attend_add_values(int rows, const float *w, const attend_shape *s, const attend_keys *v,
                           int64_t batch, int64_t g, attend_rows tile, attend_span span,
                           attend_ahead_of ahead, float *o, int64_t ldo);
// rows of v = factor * src [rows][dp], in v's type.
void xlm_attend_store(const float *src, const attend_view *v, int64_t at, int64_t row, int64_t rows,
                      float factor);
// Adds these rows of v to those to be prefetched.
void xlm_attend_want(attend_ahead *a, const attend_view *v, int64_t at, attend_rows rows, bool write);
void xlm_attend_want_keys(attend_ahead *a, const attend_shape *s, const attend_keys *k, int64_t batch,
                          int64_t g, attend_rows rows);
void xlm_attend_fetch(attend_ahead *a, int rows); // prefetches the next `rows` rows

// dst [dp][TILE] = src [TILE][dp] transposed.
void xlm_attend_transpose(float *dst, const float *src, int64_t dp);

// c [MR][vectors * VL] (row stride ldc) = (add ? c : 0) + a . b, with b [k][vectors * VL] (row stride ldb)
// and a [MR][k] (row stride lda), or in _t a transposed, [k][MR].
void xlm_attend_mul(const float *a, int64_t lda, int k, const float *b, int64_t ldb, float *c, int64_t ldc,
                    int vectors, bool add);
void xlm_attend_mul_t(const float *a, int64_t lda, int k, const float *b, int64_t ldb, float *c, int64_t ldc,
                      int vectors, bool add);
// xlm_attend_mul of `rows` rows, with the same bits.
void xlm_attend_mul_rows(int rows, const float *a, int64_t lda, int k, const float *b, int64_t ldb, float *c,
                         int64_t ldc, int vectors, bool add);

static inline int attend_max(int a, int b) {
  return a > b ? a : b;
}
static inline int attend_min(int a, int b) {
  return a < b ? a : b;
}
static inline int64_t attend_tiles(int64_t n) {
  return (n + TILE - 1) / TILE;
}

static inline void attend_clear(float *dst, int64_t dp, int64_t first, int64_t end) { // rows of dp
  for (int64_t i = first * dp; i < end * dp; i++) dst[i] = 0;
}

// The columns that queries [i, i + rows) see.
static inline attend_span attend_span_of(const attend_tile *t, int i, int rows) {
  attend_span s = {.begin = attend_max(t->none, t->open ? 0 : i + t->lo),
                   .end = attend_min(t->nk, attend_max(t->open, i + rows + t->hi))};
  if (s.end < s.begin) s.end = s.begin;
  s.from = s.begin / VL * VL;
  s.to = (s.end + VL - 1) / VL * VL;
  return s;
}

// Turns of a worker alternate between ascending and descending order, so that a steady rise in cost is
// balanced. next: the unit that the worker does afterwards; -1 = none.
typedef void attend_unit(const void *job, int worker, int64_t u, int64_t next);

static inline int64_t attend_turn(int64_t turn, int worker, int workers) {
  return turn * workers + (turn % 2 ? workers - 1 - worker : worker);
}

static inline void attend_units(const void *job, int64_t units, int worker, int workers, attend_unit *run) {
  for (int64_t turn = 0; turn * workers < units; turn++) {
    int64_t u = attend_turn(turn, worker, workers), next = attend_turn(turn + 1, worker, workers);
    if (u < units) run(job, worker, u, next < units ? next : -1);
  }
}

// Number of pieces into which to cut each of `units` so that all workers have about equal work; at most
// `most`.
static inline int64_t attend_pieces(int64_t units, int workers, int64_t most) {
  if (units % workers == 0 || units >= 4 * workers) return 1;
  int64_t n = (4 * workers + units - 1) / units;
  return n < most ? n : most;
}

// ---- vectors

#define ATTEND_INLINE XLM_INLINE
#define ATTEND_UNROLL XLM_UNROLL

typedef float lanes __attribute__((vector_size(VL * 4)));
typedef float lanes_u __attribute__((vector_size(VL * 4), aligned(4), may_alias));
typedef int32_t ilanes __attribute__((vector_size(VL * 4)));
typedef uint32_t ulanes __attribute__((vector_size(VL * 4)));

ATTEND_INLINE lanes lanes_load(const float *p) {
  return *(const lanes_u *)p;
}
ATTEND_INLINE void lanes_store(float *p, lanes v) {
  *(lanes_u *)p = v;
}
ATTEND_INLINE lanes lanes_splat(float x) {
  return x - (lanes){0};
} // x - 0 is x, also for -0
ATTEND_INLINE lanes lanes_pick(ilanes mask, lanes a, lanes b) {
  return (lanes)((mask & (ilanes)a) | (~mask & (ilanes)b));
}

#endif
