// norm_sq: the exact sum of squares, in digits (ops/norm_sq.h), with the bits that the CPU gives: integers,
// so that no order shows.
//
// The square of an f32 is a 48 bit integer m^2 at a place that its exponent gives. Each lane adds its squares
// to 128 bits of registers, a window of 32 exponents that is one for the warp; nearly all gradients of a step
// fit into one window. What does not makes the warp add its window to the digits in shared memory and move
// it, as far as the largest exponent that is left. Zeros and what is not finite are in every window. One pass
// over memory; parts of blocks are added up by one more block.
#include "ops/cuda/cuda.h"
#include "ops/cuda/norm_sq_priv.h"

enum {
  BLOCK = 256,
  WARPS = BLOCK / XLM_WARP,
  CHUNK = 8192,      // elements of one operand that a block takes at a time
  OPERANDS = 128,    // of one launch: a table of them is an argument
  WINDOW = 32,       // exponents: places 0 .. 62 of 128 bits; a square has 48
  ROOM = WINDOW - 5, // of the window, up to the exponent that it is moved for: larger ones come
  ADDED = 4096,      // packs of up to 8 squares of 2^110, until 128 bits might be full
  LIMBS = XLM_NORM_LIMBS,
};

struct operands {
  int n;
  const void *data[OPERANDS];
  int64_t size[OPERANDS], first[OPERANDS + 1]; // first: the operand's first chunk among all
  bool bf16[OPERANDS];
};

struct digits {
  uint64_t of_warp[WARPS][LIMBS];
  uint32_t beyond[WARPS];
};

struct window {
  int first = 0; // exponent of place 0; 0: none yet
  uint64_t low = 0, high = 0;
  int added = 0;
  uint32_t beyond = 0;
};

static __device__ __forceinline__ int exponent_of(uint32_t bits) { // of numbers below the normal ones: 1
  int e = (int)(bits >> 23 & 255);
  return e ? e : 1;
}

// Adds the square if it is in the window.
static __device__ __forceinline__ bool take(window &w, uint32_t bits) {
  uint32_t e = bits >> 23 & 255, m = (bits & 0x7fffff) | (uint32_t)(e > 0) << 23;
  if (e == 255) {
    w.beyond |= bits & 0x7fffff ? 2 : 1;
    return true;
  }
  int at = exponent_of(bits) - w.first;
  if (m == 0) return true;
  if (at < 0 || at >= WINDOW || !w.first) return false;
  uint64_t square = (uint64_t)m * m, low = square << 2 * at;
  w.high += at ? square >> (64 - 2 * at) : 0;
  w.low += low;
  w.high += w.low < low;
  return true;
}

// The warp's window into its digits. Place p of the window is bit 2 (first - 1) + p of the sum.
static __device__ void flush(window &w, uint64_t digit[LIMBS]) {
  int limb = 2 * (w.first - 1) / 32, by = 2 * (w.first - 1) % 32;
  for (int k = 0; k < 4 && w.first; k++) {
    uint64_t part = (k < 2 ? w.low : w.high) >> 32 * (k % 2) & 0xffffffffu;
    for (int d = XLM_WARP / 2; d; d >>= 1) part += __shfl_xor_sync(XLM_ALL_LANES, part, d);
    if (threadIdx.x % XLM_WARP) continue;
    uint64_t low = (part & 0xffffffffu) << by;
    digit[limb + k] += low & 0xffffffffu;
    digit[limb + k + 1] += (low >> 32) + (part >> 32 << by);
  }
  w.low = w.high = 0, w.added = 0;
}

static __device__ __forceinline__ void move_to(window &w, int exponent, uint64_t digit[LIMBS]) {
  for (int d = XLM_WARP / 2; d; d >>= 1)
    exponent = max(exponent, __shfl_xor_sync(XLM_ALL_LANES, exponent, d));
  flush(w, digit);
  w.first = max(1, exponent - (ROOM - 1));
}

// N squares of every lane of the warp, together.
template <int N>
static __device__ void add_squares(window &w, const uint32_t (&bits)[N], uint64_t digit[LIMBS]) {
  uint32_t left = 0;
  if (w.added == ADDED) flush(w, digit);
  for (int k = 0; k < N; k++) left |= (uint32_t)!take(w, bits[k]) << k;
  while (__any_sync(XLM_ALL_LANES, left != 0)) {
    int largest = 0;
    for (int k = 0; k < N; k++)
      if (left >> k & 1) largest = max(largest, exponent_of(bits[k]));
    move_to(w, largest, digit);
    for (int k = 0; k < N; k++)
      if (left >> k & 1 && take(w, bits[k])) left &= ~(1u << k);
  }
  w.added++;
}

static __device__ __forceinline__ uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

// N neighbours from element i on; zeros beyond n.
template <class T, int N>
static __device__ __forceinline__ void read(const T *x, int64_t i, int64_t n, bool aligned,
                                            uint32_t (&bits)[N]) {
  pack<T> p;
  if (aligned && i + N <= n)
    p = load<N>(x + i);
  else
    for (int k = 0; k < N; k++) p.at[k] = i + k < n ? x[i + k] : from_float<T>(0);
  for (int k = 0; k < N; k++) bits[k] = bits_of(to_float(p.at[k]));
}

// A chunk: the next 16 bytes of a thread are on their way while these are added.
template <class T> static __device__ void add_chunk(window &w, const T *x, int64_t n, uint64_t digit[LIMBS]) {
  constexpr int N = pack<T>::n;
  bool aligned = (uintptr_t)x % 16 == 0;
  uint32_t now[N], next[N];
  read(x, (int64_t)threadIdx.x * N, n, aligned, now);
  for (int64_t begin = 0; begin < n; begin += BLOCK * N) {
    read(x, begin + (BLOCK + (int64_t)threadIdx.x) * N, n, aligned, next);
    add_squares(w, now, digit);
    for (int k = 0; k < N; k++) now[k] = next[k];
  }
}

static __device__ int operand_of(const operands &o,
                                 int64_t chunk) { // the last whose first chunk is not behind it
  int low = 0, high = o.n - 1;
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (o.first[middle] <= chunk)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// part[block] = or, with `more`, += what the block adds up.
__global__ void __launch_bounds__(BLOCK) sum_squares(operands o, xlm_cuda_norm_part *part, bool more) {
  XLM_SHARED(digits, sum);
  int warp = (int)threadIdx.x / XLM_WARP, lane = (int)threadIdx.x % XLM_WARP;
  uint64_t *mine = sum.of_warp[warp];
  window w;
  if (lane == 0)
    for (int k = 0; k < LIMBS; k++) mine[k] = 0;
  for (int64_t chunk = blockIdx.x; chunk < o.first[o.n]; chunk += gridDim.x) {
    int i = operand_of(o, chunk);
    int64_t at = (chunk - o.first[i]) * CHUNK, left = o.size[i] - at,
            n = left < CHUNK ? left : (int64_t)CHUNK;
    if (o.bf16[i])
      add_chunk(w, (const bf16 *)o.data[i] + at, n, mine);
    else
      add_chunk(w, (const float *)o.data[i] + at, n, mine);
  }
  flush(w, mine);
  bool infinite = __any_sync(XLM_ALL_LANES, (w.beyond & 1) != 0),
       no_number = __any_sync(XLM_ALL_LANES, (w.beyond & 2) != 0);
  if (lane == 0) sum.beyond[warp] = (uint32_t)infinite | (uint32_t)no_number << 1;
  __syncthreads(); // all warps' digits are there
  xlm_cuda_norm_part *to = part + blockIdx.x;
  if (threadIdx.x < LIMBS) {
    uint64_t all = more ? to->digit[threadIdx.x] : 0;
    for (int k = 0; k < WARPS; k++) all += sum.of_warp[k][threadIdx.x];
    to->digit[threadIdx.x] = all;
  }
  if (threadIdx.x == LIMBS) {
    uint64_t all = more ? to->beyond : 0;
    for (int k = 0; k < WARPS; k++) all |= sum.beyond[k];
    to->beyond = all;
  }
}

struct total {
  uint64_t digit[LIMBS], beyond;
};

// A warp per digit; then one thread carries, so that equal sums have equal bits.
__global__ void __launch_bounds__((LIMBS + 1) * XLM_WARP)
    add_parts(const xlm_cuda_norm_part *part, int parts, double *out) {
  XLM_SHARED(total, all);
  int k = (int)threadIdx.x / XLM_WARP, lane = (int)threadIdx.x % XLM_WARP;
  uint64_t sum = 0, any = 0;
  for (int i = lane; i < parts; i += XLM_WARP) {
    if (k < LIMBS) sum += part[i].digit[k];
    if (k == LIMBS) any |= part[i].beyond;
  }
  for (int d = XLM_WARP / 2; d; d >>= 1) {
    sum += __shfl_xor_sync(XLM_ALL_LANES, sum, d);
    any |= __shfl_xor_sync(XLM_ALL_LANES, any, d);
  }
  if (lane == 0 && k < LIMBS) all.digit[k] = sum;
  if (lane == 0 && k == LIMBS) all.beyond = any;
  __syncthreads();
  if (threadIdx.x) return;
  for (int i = 0; i + 1 < LIMBS; i++) all.digit[i + 1] += all.digit[i] >> 32, all.digit[i] &= 0xffffffffu;
  for (int i = 0; i < LIMBS; i++) out[i] = ldexp((double)all.digit[i], XLM_NORM_LOWEST + 32 * i);
  if (all.beyond) out[LIMBS - 1] += all.beyond & 2 ? (double)NAN : (double)INFINITY;
}

static int64_t chunks_of(const xlm_call *c, int i) {
  return (xlm_call_elements(c, c->in_type[i]) + CHUNK - 1) / CHUNK;
}

static operands table_of(const xlm_call *c, int begin) {
  operands o = {};
  for (int i = begin; i < c->instr->n_in && o.n < OPERANDS; i++, o.n++) {
    o.data[o.n] = c->in[i];
    o.size[o.n] = xlm_call_elements(c, c->in_type[i]);
    o.bf16[o.n] = c->in_type[i]->dtype == XLM_BF16;
    o.first[o.n + 1] = o.first[o.n] + chunks_of(c, i);
  }
  return o;
}

XLM_CUDA_RUN(norm_sq) {
  xlm_cuda_norm_part *part = (xlm_cuda_norm_part *)c->workspace;
  void *stream = xlm_cuda_stream(c);
  int64_t chunks = 0;
  for (int i = 0; i < c->instr->n_in; i++) chunks += chunks_of(c, i);
  unsigned blocks =
      xlm_cuda_blocks(chunks < XLM_CUDA_NORM_BLOCKS ? chunks : (int64_t)XLM_CUDA_NORM_BLOCKS, 1);
  for (int i = 0; i == 0 || i < c->instr->n_in; i += OPERANDS) { // without operands, too: zeros
    operands o = table_of(c, i);
    XLM_TRY(xlm_cuda_launched(c, XLM_LAUNCH(sum_squares, blocks, BLOCK, 0, stream, o, part, i > 0)));
  }
  return xlm_cuda_launched(
      c, XLM_LAUNCH(add_parts, 1, (LIMBS + 1) * XLM_WARP, 0, stream, part, (int)blocks, (double *)c->out[0]));
}
