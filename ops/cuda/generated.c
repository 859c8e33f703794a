// See generated.h: NVRTC compiles, the driver loads and launches. The first load makes everything that was
// requested, on all processors.
#include "ops/cuda/generated.h"

#ifdef XLM_CUDA_KERNELS

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/backend_priv.h"
#include "ops/cuda/images.h"
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

struct xlm_generated { // also one that was only asked for
  void *kernel;        // NULL: not loaded
  uint64_t key;
  char *source; // until it is loaded
  struct xlm_generated *next;
};

static driver calls;
static bool have_driver;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static xlm_generated *all;

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

// The driver may refuse an image from the cache: it is made again.
static xlm_status load_made(xlm_generated *k, xlm_image_job *j, bool fresh, const char *arch,
                            xlm_error *err) {
  if (j->status != XLM_OK) {
    if (err) *err = j->err;
    return j->status;
  }
  if (load(&j->image, &k->kernel, err) == XLM_OK) return XLM_OK;
  if (fresh) return err ? err->status : XLM_ENV;
  j->fresh = true;
  xlm_images_make(j, 1, arch);
  return load_made(k, j, true, arch, err);
}

typedef struct loading { // everything that was asked for, and is not loaded
  int n;
  xlm_image_job *jobs;
  xlm_generated **of;
} loading;

static bool open_loading(loading *l) {
  int n = 0;
  for (xlm_generated *k = all; k; k = k->next) n += !k->kernel;
  l->jobs = calloc((size_t)n, sizeof *l->jobs);
  l->of = calloc((size_t)n, sizeof *l->of);
  if (!l->jobs || !l->of) return false;
  for (xlm_generated *k = all; k; k = k->next) {
    if (k->kernel) continue;
    xlm_arena *a = xlm_arena_new(0);
    if (!a) return false;
    l->jobs[l->n] = (xlm_image_job){.source = k->source, .key = k->key, .arena = a};
    l->of[l->n++] = k;
  }
  return true;
}

static void close_loading(loading *l) {
  for (int i = 0; i < l->n; i++) xlm_arena_free(l->jobs[i].arena);
  free(l->jobs);
  free(l->of);
}

// The failure of another kernel is told when that is loaded.
static xlm_status load_all(const xlm_generated *mine, const char *arch, xlm_error *err) {
  loading l = {0};
  xlm_status status = XLM_OK;
  if (!open_loading(&l)) {
    close_loading(&l);
    return xlm_fail(err, XLM_ENV, "no memory for a kernel");
  }
  xlm_images_make(l.jobs, l.n, arch);
  for (int i = 0; i < l.n; i++) {
    xlm_error why = {0};
    xlm_status s = load_made(l.of[i], &l.jobs[i], false, arch, &why);
    if (s == XLM_OK) free(l.of[i]->source), l.of[i]->source = NULL;
    if (l.of[i] != mine || s == XLM_OK) continue;
    status = s;
    if (err) *err = why;
  }
  close_loading(&l);
  return status;
}

static xlm_generated *find(const char *source, const char *arch) { // or adds it; NULL: out of memory
  uint64_t key = xlm_nvrtc_key(source, arch);
  xlm_generated *k = all;
  while (k && k->key != key) k = k->next;
  if (k) return k;
  k = calloc(1, sizeof *k);
  char *copy = strdup(source);
  if (!k || !copy) return free(k), free(copy), NULL;
  *k = (xlm_generated){.key = key, .source = copy, .next = all};
  return all = k;
}

static const char *arch_here(void) { // NULL: there is none
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, find_driver);
  return have_driver ? xlm_cuda_arch_here() : NULL;
}

void xlm_generated_request(const char *source) {
  const char *arch = arch_here();
  if (!arch) return;
  (void)pthread_mutex_lock(&lock);
  (void)find(source, arch);
  (void)pthread_mutex_unlock(&lock);
}

xlm_status xlm_generated_load(const char *source, xlm_generated **out, xlm_error *err) {
  const char *arch = arch_here();
  if (!arch) return xlm_fail(err, XLM_ENV, "generated kernels need an NVIDIA driver for CUDA 12 or later");
  (void)pthread_mutex_lock(&lock);
  xlm_generated *k = *out = find(source, arch);
  xlm_status s = k ? XLM_OK : xlm_fail(err, XLM_ENV, "no memory for a kernel");
  if (k && !k->kernel) s = load_all(k, arch, err);
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
