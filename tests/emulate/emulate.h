// The CUDA language on a CPU, for tests of kernels written in ops/cuda/lang.h.
//
// A kernel becomes a C++ function, a thread of a block a fiber (with its own stack, switched by hand). One
// thread runs at a time, until it reaches a point where it must meet others: a barrier, a shuffle, a vote, a
// tensor-core product. This exposes errors that a GPU may hide:
//   - The test chooses the order of threads and of blocks (emu_set_order). A result that depends on it has
//     different bits.
//   - Shared memory is NaN at the start of a block and exactly as large as declared, on the heap, so that the
//     address sanitizer detects overruns. An asynchronous copy arrives when it is waited for, not earlier.
//   - A meeting point that not all required threads reach ends the launch, with both places.
//   - Compiled with -fsanitize=thread and linked with races.cpp instead of the sanitizer's runtime, every
//     load and store is checked for races: two threads access the same bytes, one of them writes, and no
//     barrier or meeting orders them.
// All state is per OS thread: several launches may run at once.
#ifndef XLM_EMULATE_H
#define XLM_EMULATE_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#define __global__ static
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define EMU_NO_RACES __attribute__((no_sanitize("thread"))) // the emulator's own accesses

struct emu_dim3 {
  uint32_t x, y, z;
  constexpr emu_dim3(uint32_t a = 1, uint32_t b = 1, uint32_t c = 1) : x(a), y(b), z(c) {}
};
using dim3 = emu_dim3;

// ---- the running thread

struct emu_thread {
  emu_dim3 thread{0, 0, 0}, block{0, 0, 0}, block_dim, grid_dim;
  uint32_t id; // in the block
};
extern thread_local emu_thread emu_now;
#define threadIdx (emu_now.thread)
#define blockIdx (emu_now.block)
#define blockDim (emu_now.block_dim)
#define gridDim (emu_now.grid_dim)

// ---- launching

typedef void emu_body(const void *arg);
// NULL, or the error: a sentence with kernel, block, source lines; valid until this OS thread's next launch.
const char *emu_launch(const char *kernel, emu_dim3 grid, emu_dim3 block, size_t dynamic_shared, emu_body *body,
                       const void *arg);
enum { EMU_ASCENDING, EMU_DESCENDING }; // any larger number: the seed of a random order
void emu_set_order(uint32_t order);
enum { emu_multiprocessors = 3 };
int64_t emu_most_blocks(void); // of grids whose kernels loop: few in some orders, so that the loops run

// A launch, ready to run: arguments are copied when it is made, as a GPU's are.
template <class Call, class... A> struct emu_pending {
  const char *kernel;
  emu_dim3 grid, block;
  size_t dynamic_shared;
  Call call;
  std::tuple<A...> arguments;
  static void body(const void *me) {
    const emu_pending *p = (const emu_pending *)me;
    std::apply(p->call, p->arguments);
  }
  static const char *run(void *me) {
    const emu_pending *p = (const emu_pending *)me;
    return emu_launch(p->kernel, p->grid, p->block, p->dynamic_shared, body, p);
  }
  static void drop(void *me) { delete (emu_pending *)me; }
};
// Puts a launch on a stream; a test that has streams brings this (tests/fake_cuda). run may be called any number of times
// before drop.
extern "C" const char *emu_enqueue(void *stream, const char *kernel, const char *(*run)(void *), void (*drop)(void *),
                                   void *pending);
template <class Call, class... A>
const char *emu_launch_on(void *stream, const char *kernel, emu_dim3 grid, emu_dim3 block, size_t dynamic_shared,
                          Call call, A... arguments) {
  typedef emu_pending<Call, A...> pending;
  pending now = {kernel, grid, block, dynamic_shared, call, std::tuple<A...>(arguments...)};
  if (!stream) return pending::run(&now);
  return emu_enqueue(stream, kernel, pending::run, pending::drop, new pending(now));
}
#define XLM_LAUNCH(kernel, grid, block, shared, stream, ...)                                                  \
  emu_launch_on(stream, #kernel, grid, block, shared, [](const auto &...emu_a) { kernel(emu_a...); }, __VA_ARGS__)

// ---- points where threads meet. EMU_SITE: the caller's place, as default arguments.

#define EMU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()
void emu_barrier(const char *file, int line);
// The lanes of `mask` meet. The last to arrive runs act(part of each lane, which have arrived, arg).
typedef void emu_act(void **part, uint32_t came, const void *arg);
void emu_meet(uint32_t mask, const char *what, void *part, emu_act *act, const void *arg, const char *file, int line);

static inline void emu_syncthreads(EMU_SITE) { emu_barrier(file, line); }
#define __syncthreads emu_syncthreads
static inline void __syncwarp(uint32_t mask = 0xffffffffu, EMU_SITE) {
  emu_meet(mask, "__syncwarp", NULL, NULL, NULL, file, line);
}

struct emu_word { // a lane's part of a shuffle or vote
  uint64_t value, result;
  int from; // lane
};
void emu_act_shuffle(void **part, uint32_t came, const void *arg);
void emu_act_ballot(void **part, uint32_t came, const void *arg);

template <class T>
static EMU_NO_RACES inline T emu_shuffle(uint32_t mask, const char *what, T v, int from, const char *file, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable<T>::value, "a shuffle moves at most 8 bytes");
  emu_word w = {0, ~0ull, from}; // a lane that does not take part contributes NaN
  memcpy(&w.value, &v, sizeof v);
  emu_meet(mask, what, &w, emu_act_shuffle, NULL, file, line);
  memcpy(&v, &w.result, sizeof v);
  return v;
}

static inline int emu_lane(void) { return (int)(emu_now.id & 31); }
static inline int emu_group(int width) { return emu_lane() & ~(width - 1); } // first lane of this lane's group

template <class T> static inline T __shfl_sync(uint32_t mask, T v, int from, int width = 32, EMU_SITE) {
  return emu_shuffle(mask, "__shfl_sync", v, emu_group(width) | (from & (width - 1)), file, line);
}
template <class T> static inline T __shfl_xor_sync(uint32_t mask, T v, int bits, int width = 32, EMU_SITE) {
  int to = emu_lane() ^ bits;
  return emu_shuffle(mask, "__shfl_xor_sync", v, to < emu_group(width) + width ? to : emu_lane(), file, line);
}
template <class T> static inline T __shfl_down_sync(uint32_t mask, T v, int by, int width = 32, EMU_SITE) {
  int to = emu_lane() + by;
  return emu_shuffle(mask, "__shfl_down_sync", v, to < emu_group(width) + width ? to : emu_lane(), file, line);
}
template <class T> static inline T __shfl_up_sync(uint32_t mask, T v, int by, int width = 32, EMU_SITE) {
  int to = emu_lane() - by;
  return emu_shuffle(mask, "__shfl_up_sync", v, to >= emu_group(width) ? to : emu_lane(), file, line);
}
static EMU_NO_RACES inline uint32_t __ballot_sync(uint32_t mask, bool p, EMU_SITE) {
  emu_word w = {p, 0, 0};
  emu_meet(mask, "__ballot_sync", &w, emu_act_ballot, NULL, file, line);
  return (uint32_t)w.result;
}
static inline bool __any_sync(uint32_t mask, bool p, EMU_SITE) { return __ballot_sync(mask, p, file, line) != 0; }
static inline bool __all_sync(uint32_t mask, bool p, EMU_SITE) { return __ballot_sync(mask, !p, file, line) == 0; }

// ---- memory

void *emu_shared(const void *declaration, size_t bytes, const char *file, int line);
void *emu_dynamic_shared(void);

// Reports accesses that the compiler does not instrument, and memory to watch; without races.cpp these do
// nothing.
enum { EMU_READ, EMU_WRITE, EMU_ATOMIC };
extern "C" void emu_race_access(const void *at, size_t bytes, int kind);
extern "C" void emu_race_watch(const void *at, size_t bytes, bool of_block); // of_block: shared memory
extern "C" void emu_race_forget(const void *at, size_t bytes);

// Integers only: the sum of floats would depend on the order.
template <class T> static EMU_NO_RACES inline T emu_atomic_add(T *p, T v) {
  static_assert(std::is_integral<T>::value, "atomic sums of floats have other bits in every run");
  emu_race_access(p, sizeof v, EMU_ATOMIC);
  T old = *p;
  *p = (T)(old + v);
  return old;
}
#define atomicAdd(p, v) emu_atomic_add((p), (std::remove_reference_t<decltype(*(p))>)(v))
template <class T> static EMU_NO_RACES inline T atomicMax(T *p, T v) {
  static_assert(std::is_integral<T>::value, "integers only");
  emu_race_access(p, sizeof v, EMU_ATOMIC);
  T old = *p;
  if (v > old) *p = v;
  return old;
}
static inline void __threadfence(void) {}
static inline int __popc(uint32_t x) { return __builtin_popcount(x); }
static inline int __ffs(uint32_t x) { return __builtin_ffs((int)x); }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
template <class T> static inline T __ldg(const T *p) { return *p; }
static inline void sincospif(float x, float *s, float *c) { // of pi x
  *s = (float)sin(M_PI * (double)x), *c = (float)cos(M_PI * (double)x);
}
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

// ---- tensor cores and asynchronous copies, as lang.h wraps them

struct emu_mma { // of one lane; d += a b
  uint32_t a[4], b[2];
  float d[4];
};
void emu_mma_m16n8k16(emu_mma *m, const char *file, int line);
void emu_ldmatrix_x4(uint32_t out[4], const void *row, bool transposed, const char *file, int line);
void emu_copy_async(void *to, const void *from, int bytes, int valid, const char *file, int line);
void emu_copy_commit(void);
void emu_copy_wait(int pending);

#endif
