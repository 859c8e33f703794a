// Compiled kernels kept on disk between runs: one file per key in $XDG_CACHE_HOME/xlm, else ~/.cache/xlm.
#ifndef XLM_CUDA_IMAGE_CACHE_H
#define XLM_CUDA_IMAGE_CACHE_H

#include "ops/cuda/nvrtc.h"

XLM_C_BEGIN

// The image of this key, in the arena. false: there is none, or its file is not what was written (cut off,
// damaged, of another key).
bool xlm_image_read(uint64_t key, xlm_arena *a, xlm_nvrtc_image *out);
// Writes it whole or not at all; a failure only costs time in the next run.
void xlm_image_write(uint64_t key, const xlm_nvrtc_image *image);

XLM_C_END

#endif
