// Copies and zeros, whatever the element type: 16 bytes per thread and access where addresses allow it.
#include "ops/cuda/cuda.h"

enum { BLOCK = 256, EACH = 4 }; // accesses of a thread, where there are many

template <class T, int V>
__global__ void __launch_bounds__(BLOCK) copy_units(T *to, const T *from, int64_t n) {
  each<V>(n, [&](int64_t i, auto width) {
    constexpr int N = decltype(width)::n;
    store(to + i, load<N>(from + i));
  });
}

template <class T, int V> __global__ void __launch_bounds__(BLOCK) clear_units(T *to, int64_t n) {
  each<V>(n, [&](int64_t i, auto width) { store(to + i, vec<T, decltype(width)::n>{}); });
}

template <class T, int V>
static xlm_status copy(const xlm_call *c, void *to, const void *from, size_t bytes) {
  int64_t n = (int64_t)(bytes / sizeof(T));
  return xlm_cuda_launched(c, XLM_LAUNCH((copy_units<T, V>), xlm_cuda_blocks(n, BLOCK * EACH * V), BLOCK, 0,
                                         xlm_cuda_stream(c), (T *)to, (const T *)from, n));
}

xlm_status xlm_cuda_copy(const xlm_call *c, void *to, const void *from, size_t bytes) {
  uintptr_t places = (uintptr_t)to | (uintptr_t)from;
  if (!bytes || to == from) return XLM_OK;
  if (places % 16 == 0) return copy<uint16_t, 8>(c, to, from, bytes);
  if ((places | bytes) % 4 == 0) return copy<uint32_t, 1>(c, to, from, bytes);
  return copy<uint16_t, 1>(c, to, from, bytes);
}

template <class T, int V> static xlm_status clear(const xlm_call *c, void *to, size_t bytes) {
  int64_t n = (int64_t)(bytes / sizeof(T));
  return xlm_cuda_launched(c, XLM_LAUNCH((clear_units<T, V>), xlm_cuda_blocks(n, BLOCK * EACH * V), BLOCK, 0,
                                         xlm_cuda_stream(c), (T *)to, n));
}

xlm_status xlm_cuda_clear(const xlm_call *c, void *to, size_t bytes) {
  if (!bytes) return XLM_OK;
  if (xlm_cuda_aligned(to, 16)) return clear<uint16_t, 8>(c, to, bytes);
  if (((uintptr_t)to | bytes) % 4 == 0) return clear<uint32_t, 1>(c, to, bytes);
  return clear<uint16_t, 1>(c, to, bytes);
}
