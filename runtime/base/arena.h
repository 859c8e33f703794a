// Arena: bump allocation by lifetime (compile, pass, plan). Freeing the arena frees everything in it.
//
// Allocation never returns NULL: when the system refuses memory or the arena's limit is reached, the arena
// longjmps to the recovery point its owner set with XLM_ARENA_TRY. Passes therefore need no checks, and no
// input can use unbounded memory. Locals changed between TRY and the failure must be volatile, and the
// function with XLM_ARENA_TRY must not return before the last allocation, since a failed one jumps to it.
#ifndef XLM_BASE_ARENA_H
#define XLM_BASE_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_arena xlm_arena;

// limit: maximum bytes the arena may request from the system; 0 = 1 GiB. Returns NULL when out of memory.
xlm_arena *xlm_arena_new(size_t limit);
void xlm_arena_free(xlm_arena *a);
// Frees everything in it but keeps the blocks for reuse.
void xlm_arena_clear(xlm_arena *a);

// An arena for data with a shorter lifetime than the parent's: tables of a pass, graphs between passes. Its bytes
// count towards the parent's limit, a failed allocation jumps to the parent's recovery point, and it is freed with
// the parent at the latest. Its freed blocks are reused by the parent and its other children.
xlm_arena *xlm_arena_child(xlm_arena *parent);

// Zeroed, 16-byte aligned. n = 0 gives a valid unique pointer.
void *xlm_arena_alloc(xlm_arena *a, size_t n);
// Returns storage for `cap_new` elements with the old `count` copied. XLM_PUSH uses it to double arrays.
void *xlm_arena_grow(xlm_arena *a, void *old, size_t count, size_t cap_new, size_t elem);
char *xlm_arena_strdup(xlm_arena *a, const char *s);
char *xlm_arena_strndup(xlm_arena *a, const char *s, size_t n);
char *xlm_arena_printf(xlm_arena *a, const char *fmt, ...) XLM_PRINTF(2, 3);
size_t xlm_arena_used(const xlm_arena *a);

// if (XLM_ARENA_TRY(a)) { ...body... } else { ...out of memory... }
#define XLM_ARENA_TRY(a) (setjmp(*xlm_arena_recovery(a)) == 0)
jmp_buf *xlm_arena_recovery(xlm_arena *a);

// Jumps to the recovery point as if an allocation had failed; for code that uses the arena and whose own
// request to the system, of `n` bytes, failed.
XLM_NORETURN void xlm_arena_exhausted(xlm_arena *a, size_t n);

// A resource other than memory that must be released with the arena, also after a longjmp: an open file, a
// parsed text. The entry is created first, then `what` is set; xlm_arena_clean_up releases it early.
typedef struct xlm_arena_cleanup {
  struct xlm_arena_cleanup *prev;
  void (*close)(void *what); // called once, with `what` unless that is NULL
  void *what;
} xlm_arena_cleanup;
xlm_arena_cleanup *xlm_arena_add_cleanup(xlm_arena *a, void (*close)(void *what));
void xlm_arena_clean_up(xlm_arena_cleanup *c);

#define XLM_NEW(a, T) ((T *)xlm_arena_alloc((a), sizeof(T)))
#define XLM_NEW_N(a, T, n) ((T *)xlm_arena_alloc((a), sizeof(T) * (size_t)(n)))

// Appends to an array given by its fields ptr, n and cap.
#define XLM_PUSH(a, ptr, n, cap, item)                                                                       \
  do {                                                                                                       \
    if ((n) == (cap)) {                                                                                      \
      size_t xlm_push_cap = (cap) ? (size_t)(cap)*2 : 8;                                                     \
      (ptr) = xlm_arena_grow((a), (ptr), (n), xlm_push_cap, sizeof *(ptr));                                  \
      (cap) = (__typeof__(cap))xlm_push_cap;                                                                 \
    }                                                                                                        \
    (ptr)[(n)++] = (item);                                                                                   \
  } while (0)

// Test hook: the n-th request for a block from the system (counted from 1 over the process) fails; 0 = never.
void xlm_arena_fail_at(long n);

XLM_C_END

#endif
