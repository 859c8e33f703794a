// cache_put and cache_rows on CPUs: copies of rows.
#include <string.h>

#include "ops/cpu/kernel_priv.h"
#include "runtime/device/cache.h"

enum { SMALL = 1 << 16 }; // bytes that one worker copies

typedef struct job {
  const xlm_call *c;
  xlm_cache_shape s;
  size_t row; // bytes
} job;

static int64_t place(const job *j, int operand, const over_dims *d, int64_t o) {
  return ((const int32_t *)j->c->in[operand])[over_offset(d, o)];
}

static void put(void *arg, int worker, int workers) {
  const job *j = arg;
  const xlm_cache_shape *s = &j->s;
  int64_t o, end;
  xlm_pool_range(s->outer, worker, workers, &o, &end);
  for (; o < end; o++) {
    int64_t start = place(j, 2, &s->start, o), n = place(j, 3, &s->count, o);
    if (n > s->rows) n = s->rows;
    for (int64_t i = n > s->ring ? n - s->ring : 0; i < n; i++)
      memcpy((char *)j->c->out[0] + (size_t)(o * s->ring + (start + i) % s->ring) * j->row,
             (const char *)j->c->in[1] + (size_t)(o * s->rows + i) * j->row, j->row);
  }
}

static void rows(void *arg, int worker, int workers) {
  const job *j = arg;
  const xlm_cache_shape *s = &j->s;
  int64_t by = xlm_attr_int(&j->c->instr->attrs, XLM_A_start, 1), o, end;
  xlm_pool_range(s->outer, worker, workers, &o, &end);
  for (; o < end; o++) {
    int64_t first = place(j, 1, &s->start, o) - by;
    for (int64_t i = 0; i < s->rows; i++) {
      char *y = (char *)j->c->out[0] + (size_t)(o * s->rows + i) * j->row;
      if (i >= by)
        memcpy(y, (const char *)j->c->in[2] + (size_t)(o * s->rows + i - by) * j->row, j->row);
      else if (first + i >= 0)
        memcpy(y, (const char *)j->c->in[0] + (size_t)(o * s->ring + (first + i) % s->ring) * j->row, j->row);
      else
        memset(y, 0, j->row);
    }
  }
}

static xlm_status run(const xlm_call *c, const xlm_type *t, xlm_cache_shape s, xlm_pool_fn *work) {
  job j = {c, s, (size_t)s.inner * xlm_dtype_bytes(t->dtype)};
  bool small = (size_t)(s.outer * s.rows) * j.row <= SMALL;
  xlm_pool_run(small ? NULL : xlm_cpu_pool(c), work, &j);
  return XLM_OK;
}

static xlm_status run_put(const xlm_call *c) {
  return run(c, c->in_type[1], xlm_cache_shape_of(c, c->in_type[1], 2, 3), put);
}
static xlm_status run_rows(const xlm_call *c) {
  return run(c, c->out_type[0], xlm_cache_shape_of(c, c->out_type[0], 1, -1), rows);
}

const xlm_kernel XLM_KERNEL(cache_put) = {.op = XLM_OP_CACHE_PUT, .run = run_put};
const xlm_kernel XLM_KERNEL(cache_rows) = {.op = XLM_OP_CACHE_ROWS, .run = run_rows};
