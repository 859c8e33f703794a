// NVRTC: compiles CUDA C at run time. The library is loaded when it is first used, so that nothing needs it
// to start.
#ifndef XLM_CUDA_NVRTC_H
#define XLM_CUDA_NVRTC_H

#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_nvrtc_image {
  void *data; // a cubin, in the arena
  size_t bytes;
} xlm_nvrtc_image;

// Compiles a source in the words of generated.h for `arch` ("sm_90"). Without fused multiply-adds, so that
// sums and products have the bits that IEEE 754 gives them one by one, as on the CPU. XLM_ENV: there is no
// NVRTC, or it refuses the source or the arch, with its log.
xlm_status xlm_nvrtc_compile(const char *source, const char *arch, xlm_arena *a, xlm_nvrtc_image *out,
                             xlm_error *err) XLM_MUST_CHECK;
// What the result depends on, as one number: the source with what is put before it, the arch, the options and
// NVRTC's version.
uint64_t xlm_nvrtc_key(const char *source, const char *arch);

XLM_C_END

#endif
