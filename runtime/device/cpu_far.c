// Access protection and delays of `cpu-far`. The pages are accessible only while work of the rank runs; any
// other access through a pointer into them is a segmentation fault.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/base/philox.h"
#include "runtime/device/cpu_priv.h"

static void protect(const cpu_block *blocks, int how) {
  for (const cpu_block *b = blocks; b; b = b->next) {
    int rc = mprotect(b->at, b->bytes, how);
    XLM_ASSERT(!rc, "%zu bytes of an arena cannot be protected", b->bytes);
  }
}

void cpu_far_enter(cpu_far *f, const cpu_block *blocks) {
  pthread_mutex_lock(&f->lock);
  if (!f->inside++) protect(blocks, PROT_READ | PROT_WRITE);
  pthread_mutex_unlock(&f->lock);
}

void cpu_far_leave(cpu_far *f, const cpu_block *blocks) {
  pthread_mutex_lock(&f->lock);
  if (!--f->inside) protect(blocks, PROT_NONE);
  pthread_mutex_unlock(&f->lock);
}

// The host's side is copied while the arena is inaccessible.
void cpu_far_copy(cpu_far *f, const cpu_block *blocks, void *to, const void *from, size_t bytes, bool put) {
  pthread_mutex_lock(&f->lock);
  for (size_t at = 0, n; at < bytes; at += n) {
    n = bytes - at < CPU_BOUNCE ? bytes - at : CPU_BOUNCE;
    if (put) memcpy(f->bounce, (const char *)from + at, n);
    if (!f->inside) protect(blocks, PROT_READ | PROT_WRITE);
    memcpy(put ? (char *)to + at : f->bounce, put ? f->bounce : (const char *)from + at, n);
    if (!f->inside) protect(blocks, PROT_NONE);
    if (!put) memcpy((char *)to + at, f->bounce, n);
  }
  pthread_mutex_unlock(&f->lock);
}

// One in four work items of a queue starts up to 60 microseconds late; communication more often than kernels.
void cpu_far_delay(cpu_far *f, xlm_queue queue) {
  uint64_t x = xlm_hash_mix(++f->random[queue] * 2 + (uint64_t)queue);
  if (x % (queue == XLM_STREAM_COMM ? 4 : 32)) return;
  struct timespec t = {.tv_nsec = (long)(x >> 32) % 60000};
  nanosleep(&t, NULL);
}

xlm_status cpu_far_new(cpu_far **out, xlm_error *err) {
  *out = (cpu_far *)calloc(1, sizeof **out);
  if (!*out) return xlm_fail(err, XLM_ENV, "no memory for a device");
  pthread_mutex_init(&(*out)->lock, NULL);
  return XLM_OK;
}

void cpu_far_free(cpu_far *f) {
  if (!f) return;
  pthread_mutex_destroy(&f->lock);
  free(f);
}
