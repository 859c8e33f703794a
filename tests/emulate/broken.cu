// Kernels with one error each, and one without. The emulator must detect every error; see test_emulate.cpp.
#include "ops/cuda/lang.h"
#include "tests/emulate/broken.h"

struct row64 {
  alignas(16) float at[64];
};

// ---- correct: the sum of a row of 64, twice, using shared memory, shuffles and copies
__global__ void __launch_bounds__(64) right(const float *x, float *y) {
  XLM_SHARED(row64, room);
  XLM_SHARED(block_scratch, scratch);
  if (threadIdx.x < 16) copy_async16(&room.at[threadIdx.x * 4], x + threadIdx.x * 4, 16);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = room.at[63 - threadIdx.x] + block_sum(room.at[threadIdx.x], scratch);
}

// ---- wrong
__global__ void no_barrier(const float *x, float *y) { // reads what the other warp wrote
  XLM_SHARED(row64, room);
  room.at[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = room.at[(threadIdx.x + 33) % 64];
}
__global__ void no_warp_barrier(const float *x, float *y) { // reads what another lane of the warp wrote
  XLM_SHARED(row64, room);
  room.at[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = room.at[threadIdx.x ^ 1];
}
__global__ void scratch_used_again(const float *x, float *y) { // a second reduction without a barrier between
  XLM_SHARED(block_scratch, scratch);
  float sum = block_sum(x[threadIdx.x], scratch);
  y[threadIdx.x] = sum + block_sum(x[threadIdx.x] * sum, scratch);
}
__global__ void divergent_barrier(const float *x, float *y) {
  if (threadIdx.x < 40)
    __syncthreads();
  else
    __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}
__global__ void divergent_shuffle(const float *x, float *y) {
  float v = x[threadIdx.x];
  if (threadIdx.x % 2) v = __shfl_xor_sync(XLM_ALL_LANES, v, 1);
  __syncthreads();
  y[threadIdx.x] = v;
}
__global__ void past_the_end(const float *x, float *y) { // of shared memory: detected by the address
                                                         // sanitizer
  XLM_SHARED(row64, room);
  room.at[threadIdx.x + 1] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = room.at[threadIdx.x + 1];
}
__global__ void past_the_row(const float *x, float *y) { // of global memory: likewise
  y[threadIdx.x] = x[threadIdx.x + 1];
}
__global__ void copy_not_waited_for(const float *x, float *y) {
  XLM_SHARED(row64, room);
  if (threadIdx.x < 16) copy_async16(&room.at[threadIdx.x * 4], x + threadIdx.x * 4, 16);
  copy_commit();
  __syncthreads();
  y[threadIdx.x] = room.at[threadIdx.x];
  copy_wait<0>();
}
__global__ void copy_never_waited_for(const float *x, float *y) {
  XLM_SHARED(row64, room);
  if (threadIdx.x < 16) copy_async16(&room.at[threadIdx.x * 4], x + threadIdx.x * 4, 16);
  copy_commit();
  y[threadIdx.x] = 0;
}
__global__ void unaligned_copy(const float *x, float *y) {
  XLM_SHARED(row64, room);
  if (threadIdx.x < 15) copy_async16(&room.at[threadIdx.x * 4], x + 1 + threadIdx.x * 4, 16);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  y[threadIdx.x] = room.at[threadIdx.x % 60];
}
__global__ void not_written(const float *x, float *y) {
  XLM_SHARED(row64, room);
  if (threadIdx.x != 17) room.at[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = room.at[threadIdx.x];
}
__global__ void two_blocks_one_place(const float *x, float *y) {
  if (threadIdx.x == 0) y[0] = x[blockIdx.x];
  if (threadIdx.x) y[threadIdx.x] = 0;
}

extern "C" {
int broken_blocks(int which) { return which == BROKEN_TWO_BLOCKS || which == BROKEN_NONE ? 2 : 1; }
xlm_launch_status broken_run(int which, const float *x, float *y) {
#define CASE(id, kernel)                                                                                      \
  if (which == id) return XLM_LAUNCH(kernel, broken_blocks(which), 64, 0, NULL, x, y)
  CASE(BROKEN_NONE, right);
  CASE(BROKEN_BARRIER, no_barrier);
  CASE(BROKEN_WARP_BARRIER, no_warp_barrier);
  CASE(BROKEN_SCRATCH, scratch_used_again);
  CASE(BROKEN_DIVERGENT_BARRIER, divergent_barrier);
  CASE(BROKEN_DIVERGENT_SHUFFLE, divergent_shuffle);
  CASE(BROKEN_PAST_SHARED, past_the_end);
  CASE(BROKEN_PAST_GLOBAL, past_the_row);
  CASE(BROKEN_COPY_WAIT, copy_not_waited_for);
  CASE(BROKEN_COPY_LEFT, copy_never_waited_for);
  CASE(BROKEN_COPY_ALIGN, unaligned_copy);
  CASE(BROKEN_UNWRITTEN, not_written);
  return XLM_LAUNCH(two_blocks_one_place, 2, 64, 0, NULL, x, y);
#undef CASE
}
}
