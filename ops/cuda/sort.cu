// See sort_priv.h. Three launches per digit: counts per digit and tile of keys; their sums, digits first,
// then tiles; places. Within a tile the warps have stretches of keys and go through them 32 at a time: which
// lanes have the same digit follows from a vote per bit.
#include "ops/cuda/sort_run_priv.h"

enum { BLOCK = 256, WARPS = BLOCK / XLM_WARP, SCAN = 512, SCAN_EACH = 4, DIGITS = 1 << XLM_SORT_BITS };

struct digit_counts {
  int32_t of[DIGITS];
};

struct warp_counts {
  int32_t of[WARPS][DIGITS];
};

static __device__ __forceinline__ int digit_of(int32_t key, int shift, int bits) {
  return key >> shift & ((1 << bits) - 1);
}

static __device__ __forceinline__ int64_t end_of_tile(const xlm_cuda_sort &s, int64_t tile) {
  return (tile + 1) * s.tile < s.n ? (tile + 1) * s.tile : s.n;
}

__global__ void __launch_bounds__(BLOCK) count_digits(xlm_cuda_sort s, const int32_t *key, int shift) {
  XLM_SHARED(digit_counts, count);
  for (int64_t tile = blockIdx.x; tile < s.tiles; tile += gridDim.x) {
    for (int d = (int)threadIdx.x; d < 1 << s.bits; d += BLOCK) count.of[d] = 0;
    __syncthreads();
    for (int64_t i = tile * s.tile + threadIdx.x; i < end_of_tile(s, tile); i += BLOCK)
      atomicAdd(&count.of[digit_of(key[i], shift, s.bits)], 1);
    __syncthreads(); // all of the tile is counted
    for (int d = (int)threadIdx.x; d < 1 << s.bits; d += BLOCK)
      s.counts[(int64_t)d * s.tiles + tile] = count.of[d];
    __syncthreads();
  }
}

struct scan_sums {
  int32_t of_warp[SCAN / XLM_WARP];
};

// counts[i] = the sum of those before it. One block; SCAN_EACH neighbours per thread and round.
__global__ void __launch_bounds__(SCAN) scan_counts(int32_t *counts, int64_t n) {
  XLM_SHARED(scan_sums, sum);
  int warp = (int)threadIdx.x / XLM_WARP, lane = (int)threadIdx.x % XLM_WARP;
  int32_t before = 0;
  for (int64_t begin = 0; begin < n; begin += SCAN * SCAN_EACH) {
    int64_t at = begin + (int64_t)threadIdx.x * SCAN_EACH;
    int32_t v[SCAN_EACH], mine = 0;
    for (int k = 0; k < SCAN_EACH; k++) v[k] = at + k < n ? counts[at + k] : 0, mine += v[k];
    int32_t upto = mine; // of this lane and those below
    for (int d = 1; d < XLM_WARP; d *= 2) {
      int32_t other = __shfl_up_sync(XLM_ALL_LANES, upto, d);
      if (lane >= d) upto += other;
    }
    if (lane == XLM_WARP - 1) sum.of_warp[warp] = upto;
    __syncthreads(); // all warps' sums are there
    int32_t all = 0, place = before + upto - mine;
    for (int w = 0; w < SCAN / XLM_WARP; w++) {
      if (w < warp) place += sum.of_warp[w];
      all += sum.of_warp[w];
    }
    for (int k = 0; k < SCAN_EACH; k++) {
      if (at + k < n) counts[at + k] = place;
      place += v[k];
    }
    before += all;
    __syncthreads();
  }
}

// The lanes whose digit is this one's; none for lanes without a key.
static __device__ __forceinline__ uint32_t same_digit(int digit, bool some, int bits) {
  uint32_t same = __ballot_sync(XLM_ALL_LANES, some);
  for (int b = 0; b < bits; b++) {
    uint32_t set = __ballot_sync(XLM_ALL_LANES, (digit >> b & 1) != 0);
    same &= digit >> b & 1 ? set : ~set;
  }
  return some ? same : 0;
}

struct one_pass {
  const int32_t *key, *index;         // index NULL: 0, 1, ..
  int32_t *to_key, *to_index, *place; // place: of every element; NULL, or in the last pass
  int shift;
};

// A tile's counts per warp become the places of the warp's first key of each digit.
static __device__ void find_places(const xlm_cuda_sort &s, int64_t tile, warp_counts &at) {
  for (int d = (int)threadIdx.x; d < 1 << s.bits; d += BLOCK) {
    int32_t place = s.counts[(int64_t)d * s.tiles + tile];
    for (int w = 0; w < WARPS; w++) {
      int32_t n = at.of[w][d];
      at.of[w][d] = place;
      place += n;
    }
  }
}

static __device__ void put(const one_pass &p, int64_t i, int32_t key, int32_t place) {
  int32_t index = p.index ? p.index[i] : (int32_t)i;
  p.to_key[place] = key;
  p.to_index[place] = index;
  if (p.place) p.place[index] = place;
}

__global__ void __launch_bounds__(BLOCK) place_keys(xlm_cuda_sort s, one_pass p) {
  XLM_SHARED(warp_counts, at);
  int warp = (int)threadIdx.x / XLM_WARP, lane = (int)threadIdx.x % XLM_WARP;
  int32_t *mine = at.of[warp];
  for (int64_t tile = blockIdx.x; tile < s.tiles; tile += gridDim.x) {
    int64_t begin = tile * s.tile + (int64_t)warp * (s.tile / WARPS), end = begin + s.tile / WARPS;
    for (int d = lane; d < 1 << s.bits; d += XLM_WARP) mine[d] = 0;
    __syncwarp();
    for (int64_t i = begin + lane; i < end && i < s.n; i += XLM_WARP)
      atomicAdd(&mine[digit_of(p.key[i], p.shift, s.bits)], 1);
    __syncthreads(); // all warps have counted
    find_places(s, tile, at);
    __syncthreads(); // all places are there
    for (int64_t first = begin; first < end && first < s.n; first += XLM_WARP) {
      int64_t i = first + lane;
      bool some = i < s.n;
      int32_t key = some ? p.key[i] : 0;
      int digit = digit_of(key, p.shift, s.bits);
      uint32_t same = same_digit(digit, some, s.bits);
      int below = __popc(same & ((1u << lane) - 1));
      if (some) put(p, i, key, mine[digit] + below);
      __syncwarp(); // all lanes have read their place before it moves on
      if (some && below == 0) mine[digit] += __popc(same);
      __syncwarp();
    }
    __syncthreads();
  }
}

__global__ void __launch_bounds__(BLOCK) find_first(xlm_cuda_sort s, const int32_t *key) {
  for (int64_t v = (int64_t)blockIdx.x * BLOCK + threadIdx.x; v <= s.range; v += (int64_t)gridDim.x * BLOCK) {
    int64_t low = 0, high = s.n;
    while (low < high) {
      int64_t middle = (low + high) / 2;
      if (key[middle] < v)
        low = middle + 1;
      else
        high = middle;
    }
    s.first[v] = (int32_t)low;
  }
}

xlm_status xlm_cuda_sort_run(const xlm_call *c, const xlm_cuda_sort &s, int32_t *place) {
  void *stream = xlm_cuda_stream(c);
  unsigned blocks = xlm_cuda_blocks(s.tiles, 1);
  for (int i = 0; i < s.passes && s.n; i++) {
    int from = i % 2, to = !from, shift = i * s.bits;
    one_pass p = {s.key[from], i ? s.index[from] : NULL,         s.key[to],
                  s.index[to], i == s.passes - 1 ? place : NULL, shift};
    XLM_TRY(xlm_cuda_launched(c, XLM_LAUNCH(count_digits, blocks, BLOCK, 0, stream, s, p.key, shift)));
    XLM_TRY(xlm_cuda_launched(
        c, XLM_LAUNCH(scan_counts, 1, SCAN, 0, stream, s.counts, (int64_t)s.tiles << s.bits)));
    XLM_TRY(xlm_cuda_launched(c, XLM_LAUNCH(place_keys, blocks, BLOCK, 0, stream, s, p)));
  }
  return xlm_cuda_launched(c, XLM_LAUNCH(find_first, xlm_cuda_blocks(s.range + 1, BLOCK), BLOCK, 0, stream, s,
                                         xlm_cuda_sorted_keys(&s)));
}
