// What GPU kernels are written in: CUDA C++, less what has no fixed order of sums or cannot be tested without
// a GPU.
//
// nvcc sees CUDA. With XLM_EMULATE any C++17 compiler sees tests/emulate/emulate.h instead, and the same
// source runs on a CPU, thread by thread, with its races, barriers and bounds checked. This header alone
// knows both; a kernel file includes nothing else of CUDA's. Left out on purpose: floating-point atomics (no
// order, so no fixed bits), grid-wide barriers, managed memory, dynamic parallelism.
//
// Arithmetic is in float; bf16 is storage. Reductions have one fixed order: lanes of a warp by butterfly,
// then the warps of a block in ascending order. Kernels are compiled with --fmad=false wherever emulated and
// real bits are compared.
#ifndef XLM_CUDA_LANG_H
#define XLM_CUDA_LANG_H

#ifdef XLM_EMULATE
#include "tests/emulate/emulate.h"
#else
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#endif

enum { XLM_WARP = 32 };
static const uint32_t XLM_ALL_LANES = 0xffffffffu;

// ---- shared memory: one struct per declaration, by reference

#ifdef XLM_EMULATE
#define XLM_SHARED(T, name)                                                                                  \
  static const char name##_declaration = 0;                                                                  \
  T &name = *(T *)emu_shared(&name##_declaration, sizeof(T), __FILE__, __LINE__)
#define XLM_DYNAMIC_SHARED(T, name) T *name = (T *)emu_dynamic_shared()
#else
#define XLM_SHARED(T, name) __shared__ T name
#define XLM_DYNAMIC_SHARED(T, name)                                                                          \
  extern __shared__ __align__(128) unsigned char xlm_dynamic_shared[];                                       \
  T *name = (T *)xlm_dynamic_shared
#endif

// ---- loops: XLM_UNROLL(4) before one, so that four loads are under way at a time

#ifdef XLM_EMULATE
#define XLM_UNROLL(n)
#else
#define XLM_PRAGMA(text) _Pragma(#text)
#define XLM_UNROLL(n) XLM_PRAGMA(unroll n)
#endif

// ---- launching: XLM_LAUNCH(kernel, grid, block, dynamic shared bytes, stream, arguments...)
// xlm_launch_status: 0 / NULL is success; a cudaError_t, or under emulation the sentence of what went wrong.

#ifdef XLM_EMULATE
typedef const char *xlm_launch_status;
static inline const char *xlm_launch_text(xlm_launch_status s) {
  return s;
}
#else
typedef cudaError_t xlm_launch_status;
static inline const char *xlm_launch_text(xlm_launch_status s) {
  return cudaGetErrorString(s);
}
#define XLM_LAUNCH(kernel, grid, block, shared, stream, ...)                                                 \
  (kernel<<<grid, block, shared, (cudaStream_t)(stream)>>>(__VA_ARGS__), cudaPeekAtLastError())
#endif

// XLM_ALLOW_SHARED(kernel, bytes): the kernel may be launched with so much dynamic shared memory; needed above 48 KiB.

#ifdef XLM_EMULATE
#define XLM_ALLOW_SHARED(kernel, bytes) ((xlm_launch_status)NULL)
#else
#define XLM_ALLOW_SHARED(kernel, bytes)                                                                      \
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))
#endif

// xlm_multiprocessors(): of the current card; 1 where that cannot be found out.

#ifdef XLM_EMULATE
static inline int xlm_multiprocessors() {
  return emu_multiprocessors;
}
#else
static inline int xlm_multiprocessors() {
  int card, n;
  bool known = cudaGetDevice(&card) == cudaSuccess &&
               cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, card) == cudaSuccess;
  return known ? n : 1;
}
#endif

// ---- bf16

#ifdef XLM_EMULATE
struct bf16 {
  uint16_t bits;
};
static inline float to_float(bf16 x) {
  uint32_t bits = (uint32_t)x.bits << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}
static inline bf16 to_bf16(float f) { // to nearest even; not-a-number as __float2bfloat16_rn gives it
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {(uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16)};
}
#else
using bf16 = __nv_bfloat16;
static __device__ __forceinline__ float to_float(bf16 x) {
  return __bfloat162float(x);
}
static __device__ __forceinline__ bf16 to_bf16(float x) {
  return __float2bfloat16_rn(x);
}
#endif
static __device__ __forceinline__ float to_float(float x) {
  return x;
}
template <class T> static __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) {
  return to_bf16(x);
}

// N neighbours, moved by one access, by several of 16 bytes where they are more. Addresses must be multiples of the access.
template <class T, int N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) vec {
  static constexpr int n = N;
  T at[N];
};
template <class T> using pack = vec<T, 16 / sizeof(T)>;

template <int N, class T> static __device__ __forceinline__ vec<T, N> load(const T *from) {
  return *(const vec<T, N> *)from;
}
template <class T, int N> static __device__ __forceinline__ void store(T *to, const vec<T, N> &v) {
  *(vec<T, N> *)to = v;
}

// One pass over n elements by all threads of a grid of any size: f(i, vec<char, V>{}) for V neighbours from i
// on, then f(i, vec<char, 1>{}) for what is left.
template <int V, class F> static __device__ __forceinline__ void each(int64_t n, F f) {
  int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x;
  for (int64_t i = first; i < n / V; i += step) f(i * V, vec<char, V>{});
  if (V > 1)
    for (int64_t i = n / V * V + first; i < n; i += step) f(i, vec<char, 1>{});
}

// ---- reductions

static __device__ __forceinline__ float warp_sum(float v) {
  for (int d = XLM_WARP / 2; d; d >>= 1) v += __shfl_xor_sync(XLM_ALL_LANES, v, d);
  return v;
}

static __device__ __forceinline__ float warp_max(float v) {
  for (int d = XLM_WARP / 2; d; d >>= 1) v = fmaxf(v, __shfl_xor_sync(XLM_ALL_LANES, v, d));
  return v;
}

struct block_scratch { // one per reduction between two barriers
  float of_warp[XLM_WARP];
};

// Of all threads of the block, for all of them; blockDim is (n, 1, 1), n a multiple of 32. The scratch is
// free again after the next barrier.
static __device__ __forceinline__ float block_sum(float v, block_scratch &scratch) {
  v = warp_sum(v);
  if (threadIdx.x % XLM_WARP == 0) scratch.of_warp[threadIdx.x / XLM_WARP] = v;
  __syncthreads();
  float sum = 0;
  for (unsigned w = 0; w < blockDim.x / XLM_WARP; w++) sum += scratch.of_warp[w];
  return sum;
}

static __device__ __forceinline__ float block_max(float v, block_scratch &scratch) {
  v = warp_max(v);
  if (threadIdx.x % XLM_WARP == 0) scratch.of_warp[threadIdx.x / XLM_WARP] = v;
  __syncthreads();
  float most = scratch.of_warp[0];
  for (unsigned w = 1; w < blockDim.x / XLM_WARP; w++) most = fmaxf(most, scratch.of_warp[w]);
  return most;
}

// ---- teams: the threads of a block of XLM_BLOCK that share a row. All of a team go through its loops together; sums and
// maxima are for all of the team.

enum { XLM_BLOCK = 256 };

struct thread_team {
  static constexpr int size = 1, per_block = XLM_BLOCK;
  static __device__ int index() { return (int)threadIdx.x; }
  static __device__ int lane() { return 0; }
  static __device__ float sum(float v) { return v; }
  static __device__ float most(float v) { return v; }
};

struct warp_team {
  static constexpr int size = XLM_WARP, per_block = XLM_BLOCK / XLM_WARP;
  static __device__ int index() { return (int)threadIdx.x / XLM_WARP; }
  static __device__ int lane() { return (int)threadIdx.x % XLM_WARP; }
  static __device__ float sum(float v) { return warp_sum(v); }
  static __device__ float most(float v) { return warp_max(v); }
};

struct block_team {
  static constexpr int size = XLM_BLOCK, per_block = 1;
  static __device__ int index() { return 0; }
  static __device__ int lane() { return (int)threadIdx.x; }
  static __device__ float sum(float v) {
    XLM_SHARED(block_scratch, scratch);
    __syncthreads(); // before the last sum's scratch is overwritten
    return block_sum(v, scratch);
  }
  static __device__ float most(float v) {
    XLM_SHARED(block_scratch, scratch);
    __syncthreads();
    return block_max(v, scratch);
  }
};

// ---- tensor cores and asynchronous copies, sm_80 and later; fragments as in the PTX ISA, section "Warp Level Matrix
// Multiply-Accumulate Instructions"

#ifdef XLM_EMULATE
// d += a b; a 16 x 16, b 16 x 8 of bf16, d of float.
static inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], EMU_SITE) {
  emu_mma m;
  memcpy(m.a, a, sizeof m.a), memcpy(m.b, b, sizeof m.b), memcpy(m.d, d, sizeof m.d);
  emu_mma_m16n8k16(&m, file, line);
  memcpy(d, m.d, sizeof m.d);
}
static inline void ldmatrix_x4(uint32_t out[4], const void *row, EMU_SITE) {
  emu_ldmatrix_x4(out, row, false, file, line);
}
static inline void ldmatrix_x4_trans(uint32_t out[4], const void *row, EMU_SITE) {
  emu_ldmatrix_x4(out, row, true, file, line);
}
// 16 bytes to shared memory, of which `valid` are read and the others are zero; there after copy_wait.
static inline void copy_async16(void *shared, const void *global, int valid, EMU_SITE) {
  emu_copy_async(shared, global, 16, valid, file, line);
}
static inline void copy_commit() {
  emu_copy_commit();
}
template <int pending> static inline void copy_wait() {
  emu_copy_wait(pending);
} // all but the last `pending` groups
#else
static __device__ __forceinline__ uint32_t shared_address(const void *p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}
static __device__ __forceinline__ void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
static __device__ __forceinline__ void ldmatrix_x4(uint32_t out[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}
static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t out[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}
static __device__ __forceinline__ void copy_async16(void *shared, const void *global, int valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid)
               : "memory");
}
static __device__ __forceinline__ void copy_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int pending> static __device__ __forceinline__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}
#endif

#endif
