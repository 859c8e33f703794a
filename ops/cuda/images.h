// The images of many sources at once: read from the disk's cache, else compiled, on all processors.
#ifndef XLM_CUDA_IMAGES_H
#define XLM_CUDA_IMAGES_H

#include "ops/cuda/nvrtc.h"

XLM_C_BEGIN

typedef struct xlm_image_job {
  const char *source;
  uint64_t key;          // see xlm_nvrtc_key
  xlm_arena *arena;      // the image's
  bool fresh;            // do not read the cache
  xlm_nvrtc_image image; // the result, if status is XLM_OK
  xlm_status status;
  xlm_error err;
} xlm_image_job;

// Returns when all jobs have a status. NVRTC compiles several programs at the same time; one program of all
// sources would take as long as two threads, and could not be kept by source.
void xlm_images_make(xlm_image_job *jobs, int n, const char *arch);

XLM_C_END

#endif
