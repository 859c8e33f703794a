// A library for LD_PRELOAD: request number FAIL_AT for memory (from 1, over the whole program) fails. With
// COUNT_FILE the number of requests is written there at exit.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static atomic_long requests;
static long fail_at;
static bool counting;

static bool refused(void) {
  if (!counting || atomic_fetch_add(&requests, 1) + 1 != fail_at) return false;
  errno = ENOMEM;
  return true;
}

void *malloc(size_t n) {
  return refused() ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
  return refused() ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
  return refused() ? NULL : __libc_realloc(p, n);
}

__attribute__((constructor)) static void begin(void) { // excludes requests of the loader
  const char *at = getenv("FAIL_AT");
  if (at) fail_at = atol(at);
  counting = true;
}

__attribute__((destructor)) static void end(void) {
  const char *path = getenv("COUNT_FILE");
  counting = false;
  int f = path ? open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600) : -1;
  if (f >= 0) dprintf(f, "%ld\n", atomic_load(&requests));
}
