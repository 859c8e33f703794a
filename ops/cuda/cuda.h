// The host's side of a CUDA kernel file. An operation's file, ops/cuda/NAME.cu, holds its kernels and what
// launches them:
//
//   XLM_CUDA_RUN(softmax) { // const xlm_call *c
//     ...
//     return xlm_cuda_launched(c, XLM_LAUNCH(kernel, grid, block, 0, xlm_cuda_stream(c), arguments...));
//   }
//
// and its line in kernels.def names it. Variants and workspace are planned in plan.c, which every build has;
// a run reads c->variant and c->workspace. It only enqueues: it neither waits nor allocates, and reads no
// operand on the host. What depends on data (offsets of experts, counts) stays in kernels. Shapes and strides
// are arguments by value, 4 KiB at most.
#ifndef XLM_CUDA_CUDA_H
#define XLM_CUDA_CUDA_H

#include "ops/cuda/lang.h"
#include "runtime/device/over.h"

#define XLM_CUDA_RUN(name) extern "C" xlm_status xlm_cuda_##name(const xlm_call *c)

// The stream of the call's queue, a cudaStream_t; NULL, the default stream, for a call without a device.
extern "C" void *xlm_cuda_stream(const xlm_call *c);

// The running step's numbers in the card's memory: kernels receive this address and read from it. A captured
// launch is repeated with other numbers, so neither c->env nor anything computed from it may be an argument.
extern "C" const xlm_step_env *xlm_cuda_env(const xlm_call *c);

// Matrix product of the call's operands `at` and `at + 1`, by the kernel of our own that is its variant (product.cu); add:
// NULL to store.
extern "C" xlm_status xlm_cuda_product_own(const xlm_call *c, int at, const void *add);

// What a launch says, as a run returns it: XLM_ENV with the sentence in c->err.
extern "C" xlm_status xlm_cuda_failed(const xlm_call *c, const char *why);
static inline xlm_status xlm_cuda_launched(const xlm_call *c, xlm_launch_status s) {
  return s ? xlm_cuda_failed(c, xlm_launch_text(s)) : XLM_OK;
}

// Memory of the device to the host: waits until all that was enqueued before, in any queue, is done. Only for collectives
// whose sizes depend on data; a call that fetches cannot be part of a captured graph.
extern "C" xlm_status xlm_cuda_fetch(const xlm_call *c, void *to, const void *from, size_t bytes);

// Blocks of a grid for n pieces of work, `each` by a block: at least one, and no more than a grid's x may have. Kernels
// loop over what is beyond: for (int64_t i = blockIdx.x; i < n; i += gridDim.x). No bit of a result may depend on how many
// blocks there are: the emulation takes fewer in some runs.
static inline unsigned xlm_cuda_blocks(int64_t n, int64_t each) {
#ifdef XLM_EMULATE
  const int64_t most = emu_most_blocks();
#else
  const int64_t most = 0x7fffffff;
#endif
  int64_t blocks = (n + each - 1) / each;
  return (unsigned)(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

// The same where a block goes through many pieces and keeps something between them: `each` blocks per multiprocessor, which
// run at the same time.
static inline unsigned xlm_cuda_resident(int64_t n, int each) {
  int64_t most = xlm_multiprocessors() * (int64_t)each;
  return xlm_cuda_blocks(n < most ? n : most, 1);
}

static inline bool xlm_cuda_aligned(const void *p, size_t bytes) {
  return (uintptr_t)p % bytes == 0;
}

// Memory of the device, enqueued: copied, neither overlapping; zeroed. Addresses and bytes are even.
// (bytes.cu)
xlm_status xlm_cuda_copy(const xlm_call *c, void *to, const void *from, size_t bytes);
xlm_status xlm_cuda_clear(const xlm_call *c, void *to, size_t bytes);

// Calls f(U{}) with the largest unit that memory may be moved in: of 16, 4 or 2 bytes. bits: addresses, strides and sizes in
// bytes, or-ed together.
template <class F> static inline xlm_status xlm_cuda_units(uintptr_t bits, F f) {
  if (bits % 16 == 0) return f(vec<uint32_t, 4>{});
  if (bits % 4 == 0) return f(uint32_t{});
  return f(uint16_t{});
}

// Calls f(T{}) with the C type of an element type: float, bf16 or int32_t.
template <class F> static inline xlm_status xlm_cuda_typed(xlm_dtype t, F f) {
  if (t == XLM_BF16) return f(bf16{});
  if (t == XLM_I32) return f(int32_t{});
  return f(float{});
}
template <class F> static inline xlm_status xlm_cuda_float(xlm_dtype t, F f) { // bf16 or float
  return t == XLM_BF16 ? f(bf16{}) : f(float{});
}

#endif
