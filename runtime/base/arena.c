// Arena: a chain of blocks taken from malloc, each at least BLOCK bytes; see arena.h for the contract.
#include "runtime/base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 * 1024, ALIGN = 16 };

typedef struct block {
  struct block *prev;
  size_t size;
  _Alignas(ALIGN) unsigned char data[];
} block;

struct xlm_arena {
  xlm_arena *parent;        // NULL: allocates its blocks from the system
  xlm_arena_cleanup *as_child; // its entry in the parent
  block *top;
  block *spare; // unused blocks, also of ended children; also used for children
  size_t used_in_top, total, limit;
  jmp_buf recovery;
  bool has_recovery;
  xlm_arena_cleanup *cleanups; // newest first
};

static long fail_countdown;

void xlm_arena_fail_at(long n) { fail_countdown = n; }

static void *system_block(size_t n) {
  if (fail_countdown > 0 && --fail_countdown == 0) return NULL;
  return malloc(n);
}

static xlm_arena *root_of(xlm_arena *a) {
  while (a->parent) a = a->parent;
  return a;
}

_Noreturn void xlm_arena_exhausted(xlm_arena *a, size_t n) {
  a = root_of(a);
  XLM_ASSERT(a->has_recovery, "arena of %zu bytes needs %zu more, outside XLM_ARENA_TRY",
             a->total, n);
  longjmp(a->recovery, 1);
}

xlm_arena *xlm_arena_new(size_t limit) {
  if (fail_countdown > 0 && --fail_countdown == 0) return NULL;
  xlm_arena *a = calloc(1, sizeof *a);
  if (a) a->limit = limit ? limit : (size_t)1 << 30;
  return a;
}

static void free_child(void *child) { xlm_arena_free(child); }

xlm_arena *xlm_arena_child(xlm_arena *parent) {
  xlm_arena *a = XLM_NEW(parent, xlm_arena);
  a->parent = parent;
  a->as_child = xlm_arena_add_cleanup(parent, free_child);
  a->as_child->what = a;
  return a;
}

void xlm_arena_clean_up(xlm_arena_cleanup *k) {
  void *what = k->what;
  k->what = NULL;
  if (what) k->close(what);
}

void xlm_arena_free(xlm_arena *a) {
  if (!a) return;
  xlm_arena_clear(a);
  if (a->parent) {
    a->as_child->what = NULL;
    return;
  }
  for (block *b = a->spare; b;) {
    block *prev = b->prev;
    free(b);
    b = prev;
  }
  free(a);
}

// Makes reads of freed memory visible, in builds with a sanitizer.
static void spoil(block *b) {
#ifndef XLM_SANITIZED
  (void)b;
#else
  memset(b->data, 0xa5, b->size);
#endif
}

void xlm_arena_clear(xlm_arena *a) {
  for (xlm_arena_cleanup *k = a->cleanups; k; k = k->prev) xlm_arena_clean_up(k);
  a->cleanups = NULL;
  xlm_arena *root = root_of(a);
  while (a->top) {
    block *b = a->top;
    a->top = b->prev;
    b->prev = root->spare;
    root->spare = b;
    spoil(b);
  }
  if (root != a) root->total -= a->total;
  a->total = a->used_in_top = 0;
}

// The first spare block that is large enough, in the order in which they were allocated.
static block *take_spare(xlm_arena *a, size_t n) {
  for (block **at = &a->spare; *at; at = &(*at)->prev) {
    block *b = *at;
    if (b->size < n) continue;
    *at = b->prev;
    return b;
  }
  return NULL;
}

jmp_buf *xlm_arena_recovery(xlm_arena *a) {
  a->has_recovery = true;
  return &a->recovery;
}

static void add_block(xlm_arena *a, size_t n) {
  size_t grown = a->top ? a->top->size * 2 : BLOCK;
  if (grown > (size_t)4 << 20) grown = (size_t)4 << 20;
  xlm_arena *root = root_of(a);
  block *b = take_spare(root, n);
  size_t size = b ? b->size : n > grown ? n : grown;
  if (size > root->limit - root->total || root->total > root->limit) {
    free(b);
    xlm_arena_exhausted(a, n);
  }
  if (!b) b = system_block(sizeof(block) + size);
  if (!b) xlm_arena_exhausted(a, n);
  b->prev = a->top;
  b->size = size;
  a->top = b;
  a->used_in_top = 0;
  a->total += size;
  if (root != a) root->total += size;
}

void *xlm_arena_alloc(xlm_arena *a, size_t n) {
  if (n > SIZE_MAX / 2) xlm_arena_exhausted(a, n);
  n = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
  if (!a->top || n > a->top->size - a->used_in_top) add_block(a, n);
  void *p = a->top->data + a->used_in_top;
  a->used_in_top += n;
  memset(p, 0, n);
  return p;
}

void *xlm_arena_grow(xlm_arena *a, void *old, size_t count, size_t cap_new, size_t elem) {
  if (cap_new > SIZE_MAX / 2 / elem) xlm_arena_exhausted(a, cap_new);
  void *p = xlm_arena_alloc(a, cap_new * elem);
  if (count) memcpy(p, old, count * elem);
  return p;
}

char *xlm_arena_strndup(xlm_arena *a, const char *s, size_t n) {
  char *p = xlm_arena_alloc(a, n + 1);
  if (n) memcpy(p, s, n);
  return p;
}

char *xlm_arena_strdup(xlm_arena *a, const char *s) { return xlm_arena_strndup(a, s, strlen(s)); }

char *xlm_arena_printf(xlm_arena *a, const char *fmt, ...) {
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  char *p = xlm_arena_alloc(a, (size_t)(n > 0 ? n : 0) + 1);
  vsnprintf(p, (size_t)(n > 0 ? n : 0) + 1, fmt, ap2);
  va_end(ap2);
  return p;
}

size_t xlm_arena_used(const xlm_arena *a) { return a->total; }

xlm_arena_cleanup *xlm_arena_add_cleanup(xlm_arena *a, void (*close)(void *what)) {
  xlm_arena_cleanup *k = XLM_NEW(a, xlm_arena_cleanup);
  *k = (xlm_arena_cleanup){.prev = a->cleanups, .close = close};
  return a->cleanups = k;
}
