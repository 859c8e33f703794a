// Thread pool: `threads` workers (the caller is worker 0) that run a function for each index in [0, threads).
//
// Work is divided by worker index, never by arrival, so results cannot depend on timing. Workers spin briefly
// and then sleep; run allocates nothing. A pool belongs to one rank and has one caller at a time.
//
// Workers that have nothing to do can bring memory that is read next into their caches: while one worker
// finishes a small operation the memory would else be idle.
#ifndef XLM_BASE_POOL_H
#define XLM_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_pool xlm_pool;
typedef void xlm_pool_fn(void *arg, int worker, int workers);

xlm_status xlm_pool_new(int threads, xlm_pool **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_pool_free(xlm_pool *p);
int xlm_pool_size(const xlm_pool *p); // 1 for NULL
// Calls fn(arg, i, workers) for every i concurrently and returns when all are done. p = NULL: calls fn(arg,
// 0, 1).
void xlm_pool_run(xlm_pool *p, xlm_pool_fn *fn, void *arg);

typedef struct xlm_pool_span {
  const char *at;
  size_t bytes;
} xlm_pool_span;
// From now on idle workers prefetch the beginning of their part of `next` (xlm_pool_range of its bytes),
// once. It is never accessed otherwise, and stays valid until it is replaced or the pool is freed. NULL:
// nothing. p may be NULL.
void xlm_pool_ahead(xlm_pool *p, const xlm_pool_span *next);

// The part of [0, n) that worker i of k owns; contiguous, sizes differ by at most one.
static inline void xlm_pool_range(int64_t n, int i, int k, int64_t *begin, int64_t *end) {
  int64_t q = n / k, r = n % k;
  *begin = q * i + (i < r ? i : r);
  *end = *begin + q + (i < r);
}

XLM_C_END

#endif
