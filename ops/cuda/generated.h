// Kernels whose source is made at load, for `fused`: what compiles, loads and launches them. One
// implementation compiles with NVRTC and launches on a card (nvrtc.c); tests have another, with the host's C
// compiler (tests/emulate).
//
// A source is C with these words, which each implementation defines in a prelude:
//   u16, u32, i64           integers
//   KERNEL(operands, threads, blocks)   begins the kernel: its one argument, a struct by value, is `p`;
//   threads of a
//                           block, and how many blocks a multiprocessor should hold at least
//   FUNCTION                before a function that kernels call
//   BLOCK, THREAD, BLOCKS   this block and thread, i64; how many blocks there are
//   BARRIER()               all threads of the block meet; what they wrote before is there
//   SHUFFLE_XOR(x, bits)    the float x of lane (THREAD % 32) ^ bits; all lanes of the warp meet
//   SHARED(type, name, n)   declares, at the kernel's begin, an array that the block's threads share
//   STORE(to, from)         *to = from, a struct whose address is a multiple of its accesses: of 16 bytes
//   where its size is UNROLL                  before a loop with a constant number of rounds ALIGN(n) before
//   a member: its alignment float_of(u32), u32_of(float)   the same bits down(x)                 the u16 of
//   the bf16 nearest to a float, to even pair(x, y)              those of two floats, the first in the lower
//   half of an u32 expf, logf, sqrtf, ...  the functions of <math.h>
#ifndef XLM_CUDA_GENERATED_H
#define XLM_CUDA_GENERATED_H

#include "runtime/device/kernel.h"

XLM_C_BEGIN

typedef struct xlm_generated xlm_generated; // a loaded kernel; lives as long as the process

// The kernel of this source will be loaded: the first load compiles all that were requested, at once.
void xlm_generated_request(const char *source);
// The kernel of this source, compiled at most once per process and kept on disk between runs. A failure is
// XLM_ENV with what the compiler said.
xlm_status xlm_generated_load(const char *source, xlm_generated **out, xlm_error *err) XLM_MUST_CHECK;
// Enqueues it on the call's stream. `operands`: the struct's `bytes`, copied.
xlm_status xlm_generated_launch(const xlm_generated *k, const xlm_call *c, unsigned blocks, unsigned threads,
                                const void *operands, size_t bytes) XLM_MUST_CHECK;
// The most blocks that a launch may have (xlm_cuda_blocks).
int64_t xlm_generated_most_blocks(void);

XLM_C_END

#endif
