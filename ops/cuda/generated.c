// See generated.h: NVRTC compiles, the driver loads and launches. Images are kept on disk; one that cannot be
// read or loaded is made again.
#include "ops/cuda/generated.h"

#ifdef XLM_CUDA_KERNELS

#include <pthread.h>
#include <stdlib.h>

#include "ops/cuda/backend_priv.h"
#include "ops/cuda/image_cache.h"
#include "runtime/base/library.h"

// The driver's interface (cuda.h of the CUDA toolkit, 12.0 and later), as far as it is used.
typedef struct driver {
  int (*load)(void **library, const void *image, void *jit, void **jit_values, unsigned n_jit, void *options,
              void **values, unsigned n);
  int (*kernel)(void **kernel, void *library, const char *name);
  int (*launch)(void *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                unsigned shared, void *stream, void **arguments, void **extra);
  int (*text)(int result, const char **out);
} driver;

struct xlm_generated {
  void *kernel;
  uint64_t key;
  struct xlm_generated *next;
};

static driver calls;
static bool have_driver;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static xlm_generated *loaded;

static void find_driver(void) {
  static const char *const names[] = {"libcuda.so.1", NULL};
  static const xlm_library_symbol symbols[] = {{"cuLibraryLoadData", offsetof(driver, load)},
                                               {"cuLibraryGetKernel", offsetof(driver, kernel)},
                                               {"cuLaunchKernel", offsetof(driver, launch)},
                                               {"cuGetErrorString", offsetof(driver, text)}};
  have_driver = xlm_library_load(names, symbols, sizeof symbols / sizeof *symbols, &calls, NULL);
}

static xlm_status check(int result, const char *what, xlm_error *err) {
  const char *text = NULL;
  if (!result) return XLM_OK;
  if (calls.text(result, &text) || !text) text = "an unknown error";
  return xlm_fail(err, XLM_ENV, "%s: the CUDA driver says: %s (%d)", what, text, result);
}

// ---- loading

static xlm_status load(const xlm_nvrtc_image *image, void **kernel, xlm_error *err) {
  void *library;
  XLM_TRY(check(calls.load(&library, image->data, NULL, NULL, 0, NULL, NULL, 0), "loading a generated kernel",
                err));
  return check(calls.kernel(kernel, library, "kernel"), "finding a generated kernel", err);
}

static xlm_status make(const char *source, const char *arch, uint64_t key, xlm_arena *a, void **kernel,
                       xlm_error *err) {
  xlm_nvrtc_image image = {0};
  if (xlm_image_read(key, a, &image) && load(&image, kernel, NULL) == XLM_OK) return XLM_OK;
  XLM_TRY(xlm_nvrtc_compile(source, arch, a, &image, err));
  xlm_image_write(key, &image);
  return load(&image, kernel, err);
}

static xlm_status load_new(const char *source, const char *arch, uint64_t key, xlm_generated **out,
                           xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_generated *k = calloc(1, sizeof *k);
  volatile xlm_status s;
  if (a && k && XLM_ARENA_TRY(a))
    s = make(source, arch, key, a, &k->kernel, err);
  else
    s = xlm_fail(err, XLM_ENV, "no memory for a kernel");
  xlm_arena_free(a);
  if (s != XLM_OK) return free(k), s;
  k->key = key, k->next = loaded;
  *out = loaded = k;
  return XLM_OK;
}

xlm_status xlm_generated_load(const char *source, xlm_generated **out, xlm_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, find_driver);
  const char *arch = xlm_cuda_arch_here();
  if (!have_driver || !arch)
    return xlm_fail(err, XLM_ENV, "generated kernels need an NVIDIA driver for CUDA 12 or later");
  uint64_t key = xlm_nvrtc_key(source, arch);
  (void)pthread_mutex_lock(&lock);
  xlm_generated *k = loaded;
  while (k && k->key != key) k = k->next;
  xlm_status s = XLM_OK;
  if (k)
    *out = k;
  else
    s = load_new(source, arch, key, out, err);
  (void)pthread_mutex_unlock(&lock);
  return s;
}

xlm_status xlm_generated_launch(const xlm_generated *k, const xlm_call *c, unsigned blocks, unsigned threads,
                                const void *operands, size_t bytes) {
  void *arguments[] = {(void *)operands};
  (void)bytes; // the kernel's argument has its own size
  return check(calls.launch(k->kernel, blocks, 1, 1, threads, 1, 1, 0, xlm_cuda_stream(c), arguments, NULL),
               "launching a generated kernel", c->err);
}

int64_t xlm_generated_most_blocks(void) {
  return INT32_MAX;
}

#endif
