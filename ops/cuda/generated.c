// See generated.h: NVRTC compiles, the driver loads and launches. Images are kept on disk, by source, arch
// and version of NVRTC; one that cannot be read is made again.
#include "ops/cuda/generated.h"

#ifdef XLM_CUDA_KERNELS

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/cuda/backend_priv.h"
#include "ops/cuda/nvrtc.h"
#include "runtime/base/hash.h"

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
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return;
  *(void **)&calls.load = dlsym(library, "cuLibraryLoadData");
  *(void **)&calls.kernel = dlsym(library, "cuLibraryGetKernel");
  *(void **)&calls.launch = dlsym(library, "cuLaunchKernel");
  *(void **)&calls.text = dlsym(library, "cuGetErrorString");
  have_driver = calls.load && calls.kernel && calls.launch && calls.text;
}

static xlm_status check(int result, const char *what, xlm_error *err) {
  const char *text = NULL;
  if (!result) return XLM_OK;
  if (calls.text(result, &text) || !text) text = "an unknown error";
  return xlm_fail(err, XLM_ENV, "%s: the CUDA driver says: %s (%d)", what, text, result);
}

// ---- on disk: ~/.cache/xlm/KEY.cubin

static bool cache_path(char *path, size_t room, uint64_t key) {
  const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  char dir[512];
  int n = base && *base ? snprintf(dir, sizeof dir, "%s", base)
                        : snprintf(dir, sizeof dir, "%s/.cache", home ? home : "");
  if (n <= 0 || (size_t)n + 64 > sizeof dir || (!home && !(base && *base))) return false;
  (void)mkdir(dir, 0777);
  strcat(dir, "/xlm");
  (void)mkdir(dir, 0777);
  return (size_t)snprintf(path, room, "%s/%016llx.cubin", dir, (unsigned long long)key) < room;
}

static bool read_image(const char *path, xlm_arena *a, xlm_nvrtc_image *out) {
  FILE *f = fopen(path, "rb");
  struct stat s;
  bool ok = f && !fstat(fileno(f), &s) && s.st_size > 0;
  if (ok) {
    out->bytes = (size_t)s.st_size;
    out->data = xlm_arena_alloc(a, out->bytes);
    ok = fread(out->data, 1, out->bytes, f) == out->bytes;
  }
  if (f) (void)fclose(f);
  return ok;
}

// Whole or not at all; a failure only costs time in the next run.
static void write_image(const char *path, const xlm_nvrtc_image *image) {
  char made[640];
  if ((size_t)snprintf(made, sizeof made, "%s.%ld", path, (long)getpid()) >= sizeof made) return;
  FILE *f = fopen(made, "wb");
  if (!f) return;
  bool ok = fwrite(image->data, 1, image->bytes, f) == image->bytes;
  ok = !fclose(f) && ok;
  if (!ok || rename(made, path)) (void)unlink(made);
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
  char path[600];
  xlm_nvrtc_image image = {0};
  bool cached = cache_path(path, sizeof path, key);
  if (cached && read_image(path, a, &image) && load(&image, kernel, err) == XLM_OK) return XLM_OK;
  XLM_TRY(xlm_nvrtc_compile(source, arch, a, &image, err));
  if (cached) write_image(path, &image);
  return load(&image, kernel, err);
}

static xlm_status load_new(const char *source, const char *arch, uint64_t key, xlm_generated **out,
                           xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_generated *k = calloc(1, sizeof *k);
  xlm_status s =
      a && k ? make(source, arch, key, a, &k->kernel, err) : xlm_fail(err, XLM_ENV, "no memory for a kernel");
  xlm_arena_free(a);
  if (s != XLM_OK) return free(k), s;
  k->key = key, k->next = loaded;
  *out = loaded = k;
  return XLM_OK;
}

xlm_status xlm_generated_load(const char *source, xlm_generated **out, xlm_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, find_driver);
  const char *arch = xlm_cuda_arch_here(), *version = xlm_nvrtc_version();
  if (!have_driver || !arch)
    return xlm_fail(err, XLM_ENV, "generated kernels need an NVIDIA driver for CUDA 12 or later");
  xlm_hash h;
  xlm_hash_start(&h);
  xlm_hash_add(&h, source, strlen(source));
  xlm_hash_add(&h, arch, strlen(arch));
  if (version) xlm_hash_add(&h, version, strlen(version));
  uint64_t key = xlm_hash_value(&h);
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

xlm_status xlm_generated_launch(const xlm_generated *k, const xlm_call *c, unsigned blocks,
                                const void *operands, size_t bytes) {
  void *arguments[] = {(void *)operands};
  (void)bytes; // the kernel's argument has its own size
  return check(calls.launch(k->kernel, blocks, 1, 1, XLM_GENERATED_THREADS, 1, 1, 0, xlm_cuda_stream(c),
                            arguments, NULL),
               "launching a generated kernel", c->err);
}

int64_t xlm_generated_most_blocks(void) {
  return INT32_MAX;
}

#endif
