// lookup: a warp per row of the table that a token names, moved in the largest units that addresses and rows
// allow.
//
// lookup_bwd: the tokens are sorted by number, stably, so every row of the gradient is a sum over neighbours
// in the sorted order, in the order of the tokens, without atomics. A row that many tokens name would be one
// long sum: where a tile of TILE sorted positions belongs to one row, its part is added up beforehand, by a
// warp of its own. Tiles lie at fixed positions, so the order of the sum is one whatever the grid.
#include "ops/cuda/lookup_priv.h"

#include "ops/cuda/sort_run_priv.h"

enum { BLOCK = 256, WARPS = BLOCK / XLM_WARP, TILE = XLM_CUDA_LOOKUP_TILE };

static xlm_dim vocab_of(const xlm_call *c) {
  xlm_dim vocab[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_vocab, vocab);
  return vocab[0];
}

// ---- lookup: rows of the result are the pairs of token and index of the table's other dims, b neighbours each. All in
// units of U.

struct table_shape {
  int64_t rows, n_rest, vocab, b, first; // first: global number of the table's first row
  int64_t row;                           // from row to row of the table
  over_dims tables, rest;                // by token: where its table begins; where the b neighbours begin
};

template <class U>
__global__ void __launch_bounds__(BLOCK)
    gather_rows(const int32_t *tokens, const U *table, U *y, const __grid_constant__ table_shape s) {
  int lane = (int)threadIdx.x % XLM_WARP;
  for (int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / XLM_WARP; row < s.rows;
       row += (int64_t)gridDim.x * WARPS) {
    int64_t token = s.n_rest == 1 ? row : row / s.n_rest, i = row - token * s.n_rest, at = (int64_t)tokens[token] - s.first;
    bool inside = at >= 0 && at < s.vocab;
    const U *from = table + over_offset(&s.tables, token) + over_offset(&s.rest, i) + (inside ? at : 0) * s.row;
    U *to = y + row * s.b;
    for (int64_t k = lane; k < s.b; k += XLM_WARP) to[k] = inside ? from[k] : U{};
  }
}

// Elements of t from one token's to another's along the tokens' dims; 0 along those that t lacks.
static over_dims steps_of(const xlm_call *c, const xlm_type *tokens, const xlm_type *t) {
  over_dims d = {0};
  for (int i = 0; i < tokens->rank; i++) over_add(&d, xlm_call_size(c, tokens, i), xlm_call_stride(c, t, tokens->dim[i]));
  return d;
}

// In elements: the table's dims that neither choose nor are chosen along, but for the innermost if they are neighbours.
static table_shape shape_of(const xlm_call *c) {
  const xlm_type *table = c->in_type[0], *tokens = c->in_type[1];
  xlm_dim vocab = vocab_of(c);
  table_shape s = {0, 1, c->dims[vocab].size, 1, c->dims[vocab].offset, xlm_call_stride(c, table, vocab), {0}, {0}};
  s.tables = steps_of(c, tokens, table);
  for (int i = 0; i < table->rank; i++)
    if (table->dim[i] != vocab && xlm_type_find(tokens, table->dim[i]) < 0)
      over_add(&s.rest, xlm_call_size(c, table, i), xlm_call_inner(c, table, i));
  int last = s.rest.n - 1;
  if (last >= 0 && s.rest.stride[last] == 1) s.b = s.rest.size[last], s.rest.n--;
  for (int i = 0; i < s.rest.n; i++) s.n_rest *= s.rest.size[i];
  s.rows = xlm_call_elements(c, tokens) * s.n_rest;
  return s;
}

static void scale(over_dims *d, int64_t bytes, int64_t unit) {
  for (int i = 0; i < d->n; i++) d->stride[i] = d->stride[i] * bytes / unit;
}

static uintptr_t bits_of(const over_dims *d, int64_t bytes) {
  uintptr_t bits = 0;
  for (int i = 0; i < d->n; i++) bits |= (uintptr_t)(d->stride[i] * bytes);
  return bits;
}

XLM_CUDA_RUN(lookup) {
  const table_shape all = shape_of(c);
  int64_t bytes = (int64_t)xlm_dtype_bytes(c->in_type[0]->dtype);
  if (!xlm_call_elements(c, c->out_type[0])) return XLM_OK;
  uintptr_t bits = (uintptr_t)c->in[0] | (uintptr_t)c->out[0] | (uintptr_t)(all.b * bytes) | (uintptr_t)(all.row * bytes);
  return xlm_cuda_units(bits | bits_of(&all.tables, bytes) | bits_of(&all.rest, bytes), [&](auto unit) {
    using U = decltype(unit);
    constexpr int64_t size = (int64_t)sizeof(U);
    table_shape s = all;
    s.b = all.b * bytes / size, s.row = all.row * bytes / size;
    scale(&s.tables, bytes, size), scale(&s.rest, bytes, size);
    return xlm_cuda_launched(c, XLM_LAUNCH(gather_rows<U>, xlm_cuda_blocks(s.rows, WARPS), BLOCK, 0,
                                           xlm_cuda_stream(c), (const int32_t *)c->in[1], (const U *)c->in[0],
                                           (U *)c->out[0], s));
  });
}

// ---- lookup_bwd

__global__ void __launch_bounds__(BLOCK)
    keys_of_tokens(const int32_t *tokens, int32_t *key, int64_t n, int64_t vocab, int64_t first, int64_t rows,
                   const __grid_constant__ over_dims sums) {
  for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < n; i += (int64_t)gridDim.x * BLOCK) {
    int64_t row = (int64_t)tokens[i] - first;
    key[i] = (int32_t)(row >= 0 && row < vocab ? over_offset(&sums, i) + row : rows);
  }
}

struct sum_shape {
  int64_t n, rows, b, pieces;  // rows: of all tables; pieces: of a row, 32 lanes of V columns each
  bool adds;                   // to what the gradient's memory holds
};

template <class T, int V> static __device__ __forceinline__ void add_row(float (&sum)[V], const T *row) {
  vec<T, V> x = load<V>(row);
  for (int k = 0; k < V; k++) sum[k] += to_float(x.at[k]);
}

template <int V> static __device__ __forceinline__ void write(float *to, const float (&sum)[V]) {
  vec<float, V> y;
  for (int k = 0; k < V; k++) y.at[k] = sum[k];
  store(to, y);
}

// part[tile] = the sum of the tile's rows, where all of them are of one row of the table.
template <class T, int V>
__global__ void __launch_bounds__(BLOCK)
    sum_tiles(const T *dy, const int32_t *key, const int32_t *index, float *part, sum_shape s) {
  int64_t items = s.n / TILE * s.pieces;
  for (int64_t item = (int64_t)blockIdx.x * WARPS + threadIdx.x / XLM_WARP; item < items;
       item += (int64_t)gridDim.x * WARPS) {
    int64_t tile = item / s.pieces, begin = tile * TILE;
    int64_t column = ((item - tile * s.pieces) * XLM_WARP + threadIdx.x % XLM_WARP) * V;
    int32_t mine = key[begin];
    if (mine != key[begin + TILE - 1] || mine == s.rows || column >= s.b) continue;
    float sum[V] = {};
    for (int64_t i = begin; i < begin + TILE; i++) add_row<T, V>(sum, dy + index[i] * s.b + column);
    write<V>(part + tile * s.b + column, sum);
  }
}

// Every row of the gradient, zeros included; added to `out`: those with tokens. first: where a row's tokens
// begin in the sorted order.
template <class T, int V>
__global__ void __launch_bounds__(BLOCK) sum_rows(const T *dy, const int32_t *first, const int32_t *index,
                                                  const float *part, float *out, sum_shape s) {
  int64_t items = s.rows * s.pieces;
  for (int64_t item = (int64_t)blockIdx.x * WARPS + threadIdx.x / XLM_WARP; item < items;
       item += (int64_t)gridDim.x * WARPS) {
    int64_t row = item / s.pieces, column = ((item - row * s.pieces) * XLM_WARP + threadIdx.x % XLM_WARP) * V;
    int64_t i = first[row], end = first[row + 1];
    if (column >= s.b || (s.adds && i == end)) continue;
    float sum[V] = {};
    while (i < end) {
      if (i % TILE == 0)
        for (; i + TILE <= end; i += TILE) add_row<float, V>(sum, part + i / TILE * s.b + column);
      int64_t next = (i / TILE + 1) * TILE, stop = next < end ? next : end;
      for (; i < stop; i++) add_row<T, V>(sum, dy + index[i] * s.b + column);
    }
    float *to = out + row * s.b + column;
    if (s.adds) add_row<float, V>(sum, to);
    write<V>(to, sum);
  }
}

template <class T, int V>
static xlm_status sum_sorted(const xlm_call *c, const T *dy, const xlm_cuda_sort &sort, float *part, sum_shape s) {
  const int32_t *index = xlm_cuda_sorted_index(&sort);
  void *stream = xlm_cuda_stream(c);
  s.pieces = (s.b + XLM_WARP * V - 1) / (XLM_WARP * V);
  if (s.n >= TILE)
    XLM_TRY(
        xlm_cuda_launched(c, XLM_LAUNCH((sum_tiles<T, V>), xlm_cuda_blocks(s.n / TILE * s.pieces, WARPS),
                                        BLOCK, 0, stream, dy, xlm_cuda_sorted_keys(&sort), index, part, s)));
  return xlm_cuda_launched(c, XLM_LAUNCH((sum_rows<T, V>), xlm_cuda_blocks(s.rows * s.pieces, WARPS), BLOCK,
                                         0, stream, dy, sort.first, index, part, (float *)c->out[0], s));
}

// dy is operand `rows`, the tokens follow.
static xlm_status run_gradient(const xlm_call *c, int rows, bool adds) {
  const xlm_dim_info *vocab = &c->dims[vocab_of(c)];
  const int32_t *tokens = (const int32_t *)c->in[rows + 1];
  int at = xlm_type_find(c->out_type[0], vocab_of(c));
  sum_shape s = {xlm_call_elements(c, c->in_type[rows + 1]), xlm_call_outer(c, c->out_type[0], at) * vocab->size,
                 xlm_call_inner(c, c->out_type[0], at), 0, adds};
  xlm_cuda_lookup_scratch w = xlm_cuda_lookup_scratch_of(c->workspace, s.n, s.rows, s.b);
  if (!s.rows || !s.b) return XLM_OK;
  over_dims sums = steps_of(c, c->in_type[rows + 1], c->out_type[0]);
  for (int i = 0; i < sums.n; i++) sums.stride[i] /= s.b;
  if (s.n)
    XLM_TRY(xlm_cuda_launched(c, XLM_LAUNCH(keys_of_tokens, xlm_cuda_blocks(s.n, BLOCK), BLOCK, 0,
                                            xlm_cuda_stream(c), tokens, w.sort.key[0], s.n, vocab->size, vocab->offset,
                                            s.rows, sums)));
  XLM_TRY(xlm_cuda_sort_run(c, w.sort, NULL));
  bool wide = s.b % 4 == 0 && xlm_cuda_aligned(c->in[rows], 16) && xlm_cuda_aligned(c->out[0], 16);
  return xlm_cuda_float(c->in_type[rows]->dtype, [&](auto t) {
    using T = decltype(t);
    const T *dy = (const T *)c->in[rows];
    return wide ? sum_sorted<T, 4>(c, dy, w.sort, w.part, s) : sum_sorted<T, 1>(c, dy, w.sort, w.part, s);
  });
}

XLM_CUDA_RUN(lookup_bwd) { return run_gradient(c, 0, false); }

XLM_CUDA_RUN(lookup_bwd_acc) { return run_gradient(c, 1, !xlm_attr_int(&c->instr->attrs, XLM_A_store, 0)); }
