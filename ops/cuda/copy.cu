// Strided copies; see copy_priv.h. Dims that are adjacent in both layouts are merged first.
// - If the innermost dim is contiguous in both, a thread moves as many bytes as the shape allows, at most 16.
// - If another dim is contiguous in the operand, square tiles go through shared memory, so both sides move whole lines.
// - Otherwise elements are moved singly, the result's neighbours by neighbouring threads.
#include "ops/cuda/copy_priv.h"

// Merges neighbouring dims. The window stays the window of the merged dim, if it was the outer of two.
static copy_shape simplify(const copy_shape &s) {
  copy_shape r = s;
  r.n = 0, r.window = COPY_NO_WINDOW;
  for (int i = 0; i < s.n; i++) {
    bool window = i == s.window;
    if (s.size[i] == 1 && !window) continue;
    int to = r.n - 1;
    if (r.n && !window && r.from_stride[to] == s.from_stride[i] * s.size[i] &&
        r.to_stride[to] == s.to_stride[i] * s.size[i]) {
      r.size[to] *= s.size[i], r.from_stride[to] = s.from_stride[i], r.to_stride[to] = s.to_stride[i];
      if (to == r.window) r.begin *= s.size[i], r.end *= s.size[i], r.used_each *= s.size[i];
      continue;
    }
    to = r.n++;
    r.size[to] = s.size[i], r.from_stride[to] = s.from_stride[i], r.to_stride[to] = s.to_stride[i];
    if (window) r.window = to;
  }
  if (!r.n) r.n = 1, r.size[0] = r.from_stride[0] = r.to_stride[0] = 1;
  return r;
}

// ---- by units

// U is written; E, of the same size, is read, or an element that fills U.
template <class U, class E>
__global__ void __launch_bounds__(XLM_BLOCK)
    copy_units(const E *from, U *to, const __grid_constant__ copy_shape s, int64_t total) {
  int64_t end = s.used && *s.used * s.used_each < s.end ? *s.used * s.used_each : s.end;
  for (int64_t i = (int64_t)blockIdx.x * XLM_BLOCK + threadIdx.x; i < total; i += (int64_t)gridDim.x * XLM_BLOCK) {
    int64_t rest = i, at = s.from_at, out = s.to_at;
    bool inside = true;
    for (int k = s.n - 1; k >= 0; k--) {
      int64_t index = k ? over_split(&rest, s.size[k]) : rest;
      at += index * s.from_stride[k], out += index * s.to_stride[k];
      if (k == s.window) inside = index >= s.begin && index < end;
    }
    E value = {};
    if (inside) value = from[at];
    if constexpr (sizeof(U) == sizeof(E)) {
      to[out] = value;
    } else {
      U units;
      for (unsigned j = 0; j < sizeof(U) / sizeof(E); j++) units.at[j] = value;
      to[out] = units;
    }
  }
}

// Can the innermost dim be cut into units of `n` elements? `repeats`: the operand has one element for all of it.
static bool in_units(const copy_shape &s, int64_t n, bool repeats) {
  int last = s.n - 1;
  bool fits = s.to_stride[last] == 1 && s.from_stride[last] == (repeats ? 0 : 1);
  fits = fits && s.size[last] % n == 0 && s.to_at % n == 0;
  for (int i = 0; i < last; i++) fits = fits && s.to_stride[i] % n == 0 && (repeats || s.from_stride[i] % n == 0);
  if (!repeats) fits = fits && s.from_at % n == 0;
  return fits && (s.window != last || (!repeats && s.begin % n == 0 && s.end % n == 0 && s.used_each % n == 0));
}

static copy_shape cut_in_units(copy_shape s, int64_t n, bool repeats) {
  int last = s.n - 1;
  s.size[last] /= n, s.to_at /= n;
  for (int i = 0; i < last; i++) s.to_stride[i] /= n;
  for (int i = 0; i < last && !repeats; i++) s.from_stride[i] /= n;
  if (!repeats) s.from_at /= n;
  if (s.window == last) s.begin /= n, s.end /= n, s.used_each /= n;
  return s;
}

static int64_t elements(const copy_shape &s) {
  int64_t n = 1;
  for (int i = 0; i < s.n; i++) n *= s.size[i];
  return n;
}

template <class U, class E> static xlm_status run_units(const xlm_call *c, const copy_shape &s, const void *from, void *to) {
  int64_t total = elements(s);
  return xlm_cuda_launched(c, XLM_LAUNCH((copy_units<U, E>), xlm_cuda_blocks(total, XLM_BLOCK), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), (const E *)from, (U *)to, s, total));
}

// ---- by tiles

// A tile's rows are 128 bytes; with a word more, a column's elements lie in different banks.
template <class E> struct copy_tile {
  static constexpr int side = 128 / sizeof(E);
  E at[side][side + 4 / sizeof(E)];
};

struct copy_grid { // tiles along `inner`, the operand's innermost dim, and along the last, the result's
  int inner;
  int64_t along_inner, along_last;
};

// A block per tile: reads rows of neighbours in `from`, writes columns, which are neighbours in `to`.
template <class E>
__global__ void __launch_bounds__(XLM_BLOCK)
    copy_tiles(const E *from, E *to, const __grid_constant__ copy_shape s, copy_grid grid, int64_t units) {
  constexpr int side = copy_tile<E>::side, warps = XLM_BLOCK / XLM_WARP;
  XLM_SHARED(copy_tile<E>, tile);
  int warp = (int)threadIdx.x / XLM_WARP, lane = (int)threadIdx.x % XLM_WARP, last = s.n - 1;
  int64_t n_inner = s.size[grid.inner], n_last = s.size[last];
  for (int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    int64_t rest = unit, at = s.from_at, out = s.to_at;
    int64_t j = over_split(&rest, grid.along_last) * side, i = over_split(&rest, grid.along_inner) * side;
    for (int k = last - 1; k >= 0; k--) {
      if (k == grid.inner) continue;
      int64_t index = over_split(&rest, s.size[k]);
      at += index * s.from_stride[k], out += index * s.to_stride[k];
    }
    XLM_UNROLL(8)
    for (int r = warp; r < side; r += warps)
      for (int k = lane; k < side; k += XLM_WARP)
        if (j + r < n_last && i + k < n_inner) tile.at[r][k] = from[at + (j + r) * s.from_stride[last] + i + k];
    __syncthreads(); // all of the tile is there
    XLM_UNROLL(8)
    for (int r = warp; r < side; r += warps)
      for (int k = lane; k < side; k += XLM_WARP)
        if (i + r < n_inner && j + k < n_last) to[out + (i + r) * s.to_stride[grid.inner] + j + k] = tile.at[k][r];
    __syncthreads(); // before the next tile
  }
}

// The dim to pair with the last in tiles; -1: none.
static int tiled_dim(const copy_shape &s) {
  enum { LEAST = 16 }; // a tile with fewer elements costs more than scattered reads
  int last = s.n - 1;
  if (s.window != COPY_NO_WINDOW || s.from_stride[last] == 1 || s.to_stride[last] != 1 || s.size[last] < LEAST) return -1;
  for (int i = 0; i < last; i++)
    if (s.from_stride[i] == 1 && s.size[i] >= LEAST) return i;
  return -1;
}

template <class E> static xlm_status run_tiles(const xlm_call *c, const copy_shape &s, int inner, const void *from, void *to) {
  constexpr int side = copy_tile<E>::side;
  int64_t n_inner = s.size[inner], n_last = s.size[s.n - 1];
  copy_grid grid = {inner, (n_inner + side - 1) / side, (n_last + side - 1) / side};
  int64_t units = elements(s) / n_inner / n_last * grid.along_inner * grid.along_last;
  return xlm_cuda_launched(c, XLM_LAUNCH(copy_tiles<E>, xlm_cuda_blocks(units, 1), XLM_BLOCK, 0, xlm_cuda_stream(c),
                                         (const E *)from, (E *)to, s, grid, units));
}

// ---- all

template <class E> static xlm_status run(const xlm_call *c, const copy_shape &s, const void *from, void *to) {
  using words = pack<uint32_t>;
  using half = vec<uint32_t, 2>;
  constexpr int64_t n = 16 / sizeof(E);
  uintptr_t both = (uintptr_t)from | (uintptr_t)to;
  if (both % 16 == 0 && in_units(s, n, false)) return run_units<words, words>(c, cut_in_units(s, n, false), from, to);
  if (both % 8 == 0 && in_units(s, n / 2, false)) return run_units<half, half>(c, cut_in_units(s, n / 2, false), from, to);
  if constexpr (n >= 4)
    if (both % 4 == 0 && in_units(s, n / 4, false)) return run_units<uint32_t, uint32_t>(c, cut_in_units(s, n / 4, false), from, to);
  if ((uintptr_t)to % 16 == 0 && in_units(s, n, true)) return run_units<pack<E>, E>(c, cut_in_units(s, n, true), from, to);
  int inner = tiled_dim(s);
  if (inner >= 0) return run_tiles<E>(c, s, inner, from, to);
  return run_units<E, E>(c, s, from, to);
}

xlm_status xlm_cuda_copy_strided(const xlm_call *c, const copy_shape &shape, const void *from, void *to, size_t elem) {
  copy_shape s = simplify(shape);
  if (!elements(s)) return XLM_OK;
  if (elem == 8) return run<uint64_t>(c, s, from, to);
  return elem == 2 ? run<uint16_t>(c, s, from, to) : run<uint32_t>(c, s, from, to);
}

// ---- shapes

static bool packed(const xlm_call *c, const xlm_type *t, int i) { // the dim after it counts all rows
  return i + 1 < t->rank && c->dims[t->dim[i + 1]].ragged;
}

copy_shape xlm_cuda_copy_between(const xlm_call *c, const xlm_type *in, const xlm_type *out, xlm_dim from, xlm_dim to) {
  copy_shape s;
  memset(&s, 0, sizeof s);
  s.window = COPY_NO_WINDOW, s.used_each = 1;
  for (int i = 0; i < out->rank; i++) {
    if (packed(c, out, i)) continue;
    xlm_dim d = out->dim[i] == to ? from : out->dim[i];
    int64_t have = c->dims[out->dim[i]].size, there = xlm_type_find(in, d) < 0 ? have : c->dims[d].size;
    s.size[s.n] = there < have ? there : have;
    s.from_stride[s.n] = xlm_call_stride(c, in, d), s.to_stride[s.n++] = xlm_call_inner(c, out, i);
  }
  return s;
}

int xlm_cuda_copy_position(const xlm_call *c, const xlm_type *out, xlm_dim d) {
  int n = 0;
  for (int i = 0; out->dim[i] != d; i++) n += !packed(c, out, i);
  return n;
}
