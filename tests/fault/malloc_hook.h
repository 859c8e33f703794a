// Counts memory requests to the system and makes one fail. To be included by one source file of a program: it
// defines malloc and its family (and mmap) in front of the C library's. Sanitizers have their own malloc, so
// there this is left out and MALLOC_HOOK is 0.
#ifndef XLM_TESTS_MALLOC_HOOK_H
#define XLM_TESTS_MALLOC_HOOK_H

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(XLM_SANITIZED) || !defined(__GLIBC__)
#define MALLOC_HOOK 0
#endif
#ifndef MALLOC_HOOK
#define MALLOC_HOOK 1
#endif

__attribute__((unused)) static atomic_long hook_calls;     // malloc, calloc, realloc, free, ... of all threads
__attribute__((unused)) static atomic_long hook_countdown; // the request that makes it 0 fails; 0 = none
__attribute__((unused)) static atomic_long hook_live;      // blocks given and not yet freed
__attribute__((unused)) static atomic_ullong hook_mapped;  // bytes asked of mmap by other code than the C library

#if MALLOC_HOOK
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);
extern void __libc_free(void *p);

static bool hook_refuses(void) {
  atomic_fetch_add(&hook_calls, 1);
  if (atomic_load(&hook_countdown) <= 0 || atomic_fetch_sub(&hook_countdown, 1) != 1) return false;
  errno = ENOMEM;
  return true;
}

static void *hook_given(void *p) {
  if (p) atomic_fetch_add(&hook_live, 1);
  return p;
}

void *malloc(size_t n) {
  return hook_refuses() ? NULL : hook_given(__libc_malloc(n));
}
void *calloc(size_t n, size_t size) {
  return hook_refuses() ? NULL : hook_given(__libc_calloc(n, size));
}
void *memalign(size_t align, size_t n) {
  return hook_refuses() ? NULL : hook_given(__libc_memalign(align, n));
}
void *aligned_alloc(size_t align, size_t n) {
  return memalign(align, n);
}

void *realloc(void *p, size_t n) {
  if (hook_refuses()) return NULL;
  void *q = __libc_realloc(p, n);
  return p ? q : hook_given(q);
}

int posix_memalign(void **out, size_t align, size_t n) {
  void *p = memalign(align, n);
  if (p) *out = p;
  return p ? 0 : ENOMEM;
}

void free(void *p) {
  atomic_fetch_add(&hook_calls, 1);
  if (p) atomic_fetch_sub(&hook_live, 1);
  __libc_free(p);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
  if (hook_refuses()) return MAP_FAILED;
  atomic_fetch_add(&hook_mapped, n);
  return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}
#endif

#endif
