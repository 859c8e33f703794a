// Arena: bump allocation by lifetime (compile, pass, plan). Everything in an arena dies with it.
//
// Allocation never returns NULL: when the system refuses memory or the arena's limit is reached, the arena
// longjmps to the recovery point its owner set with XLM_ARENA_TRY, so that passes stay free of checks and no
// input can use unbounded memory. Locals changed between TRY and the failure must be volatile, and the function that
// says XLM_ARENA_TRY must not return before the last allocation: it is where a failed one comes back to.
#ifndef XLM_BASE_ARENA_H
#define XLM_BASE_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_arena xlm_arena;

// limit: most bytes the arena may take from the system; 0 = 1 GiB. NULL when not even the header fits.
xlm_arena *xlm_arena_new(size_t limit);
void xlm_arena_free(xlm_arena *a);
// Everything in it dies; the memory is kept for what comes next.
void xlm_arena_clear(xlm_arena *a);

// Zeroed, 16-byte aligned. n = 0 gives a valid unique pointer.
void *xlm_arena_alloc(xlm_arena *a, size_t n);
// Array growth: returns storage for `cap_new` elements with the old `count` copied. Doubles amortised when
// used via XLM_PUSH.
void *xlm_arena_grow(xlm_arena *a, void *old, size_t count, size_t cap_new, size_t elem);
char *xlm_arena_strdup(xlm_arena *a, const char *s);
char *xlm_arena_strndup(xlm_arena *a, const char *s, size_t n);
char *xlm_arena_printf(xlm_arena *a, const char *fmt, ...) XLM_PRINTF(2, 3);
size_t xlm_arena_used(const xlm_arena *a);

// if (XLM_ARENA_TRY(a)) { ...body... } else { ...out of memory... }
#define XLM_ARENA_TRY(a) (setjmp(*xlm_arena_recovery(a)) == 0)
jmp_buf *xlm_arena_recovery(xlm_arena *a);

// What an arena does when memory is refused, for work in it whose own request to the system (`n` bytes) was refused.
XLM_NORETURN void xlm_arena_exhausted(xlm_arena *a, size_t n);

// What is not memory of the arena but must go when it does, also when an allocation jumps back: an open file,
// a parsed text. The place is taken first, then `what` is set; xlm_arena_drop closes it before the arena's
// end.
typedef struct xlm_arena_kept {
  struct xlm_arena_kept *prev;
  void (*close)(void *what); // called once, with `what` unless that is NULL
  void *what;
} xlm_arena_kept;
xlm_arena_kept *xlm_arena_keep(xlm_arena *a, void (*close)(void *what));
void xlm_arena_drop(xlm_arena_kept *k);

#define XLM_NEW(a, T) ((T *)xlm_arena_alloc((a), sizeof(T)))
#define XLM_NEW_N(a, T, n) ((T *)xlm_arena_alloc((a), sizeof(T) * (size_t)(n)))

// Appends to a {T *ptr; size_t/uint32_t n, cap} triple held in named fields.
#define XLM_PUSH(a, ptr, n, cap, item)                                                                       \
  do {                                                                                                       \
    if ((n) == (cap)) {                                                                                      \
      size_t xlm_push_cap = (cap) ? (size_t)(cap)*2 : 8;                                                     \
      (ptr) = xlm_arena_grow((a), (ptr), (n), xlm_push_cap, sizeof *(ptr));                                  \
      (cap) = (__typeof__(cap))xlm_push_cap;                                                                 \
    }                                                                                                        \
    (ptr)[(n)++] = (item);                                                                                   \
  } while (0)

// Test hook: the n-th block request from the system (1-based, counted over the process) fails; 0 = never.
void xlm_arena_fail_at(long n);

XLM_C_END

#endif
