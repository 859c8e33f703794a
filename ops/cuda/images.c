// See images.h.
#include "ops/cuda/images.h"

#include <sched.h>

#include "ops/cuda/image_cache.h"
#include "runtime/base/pool.h"

enum { MOST_THREADS = 32 };

typedef struct batch {
  xlm_image_job *jobs;
  int n, next;
  const char *arch;
} batch;

static void make(xlm_image_job *j, const char *arch) {
  if (!XLM_ARENA_TRY(j->arena)) {
    j->status = xlm_fail(&j->err, XLM_ENV, "no memory for a kernel");
    return;
  }
  j->status = XLM_OK;
  if (!j->fresh && xlm_image_read(j->key, j->arena, &j->image)) return;
  j->status = xlm_nvrtc_compile(j->source, arch, j->arena, &j->image, &j->err);
  if (j->status == XLM_OK) xlm_image_write(j->key, &j->image);
}

static void work(void *arg, int worker, int workers) {
  batch *b = arg;
  (void)worker, (void)workers;
  for (int i; (i = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED)) < b->n;) make(&b->jobs[i], b->arch);
}

static int threads_for(int n) {
  cpu_set_t set;
  int all = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
  if (all > MOST_THREADS) all = MOST_THREADS;
  return n < all ? n : all;
}

void xlm_images_make(xlm_image_job *jobs, int n, const char *arch) {
  batch b = {.jobs = jobs, .n = n, .arch = arch};
  xlm_pool *pool = NULL;
  if (n > 1 && xlm_pool_new(threads_for(n), &pool, NULL) != XLM_OK) pool = NULL; // one after the other
  xlm_pool_run(pool, work, &b);
  xlm_pool_free(pool);
}
