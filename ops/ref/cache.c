// cache_put and cache_rows, the reference, element by element.
#include <string.h>

#include "ops/ref/ref_priv.h"

enum { CACHE, X, START, COUNT }; // of cache_put
enum { ROWS_START = 1, ROWS_X };

static int64_t number(const xlm_call *c, int operand, const ref_walk *w) {
  return ((const int32_t *)c->in[operand])[ref_at(c, c->in_type[operand], w)];
}

// The element of the cache for a walk over x, at place p.
static void *cell(const xlm_call *c, const ref_walk *w, int64_t p, size_t elem) {
  xlm_dim past = xlm_call_dim(c, XLM_A_past, 0);
  ref_walk at = *w;
  at.dim[at.n] = past, at.size[at.n] = c->dims[past].size, at.index[at.n] = p % c->dims[past].size, at.n++;
  return (char *)c->in[CACHE] + (size_t)ref_at(c, c->in_type[CACHE], &at) * elem;
}

static xlm_status put(const xlm_call *c) {
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  const xlm_type *t = c->in_type[X];
  size_t elem = xlm_dtype_bytes(t->dtype);
  memmove(c->out[0], c->in[CACHE], xlm_type_bytes(c->in_type[CACHE], c->dims));
  ref_walk w = ref_walk_type(c, t);
  while (ref_walk_next(&w)) {
    int64_t i = ref_walk_index(&w, seq), n = number(c, COUNT, &w);
    if (i >= n || i < n - c->dims[xlm_call_dim(c, XLM_A_past, 0)].size) continue;
    char *to = cell(c, &w, number(c, START, &w) + i, elem);
    memcpy((char *)c->out[0] + (to - (char *)c->in[CACHE]),
           (char *)c->in[X] + (size_t)ref_at(c, t, &w) * elem, elem);
  }
  return XLM_OK;
}

static xlm_status rows(const xlm_call *c) {
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  const xlm_type *t = c->out_type[0];
  size_t elem = xlm_dtype_bytes(t->dtype);
  int64_t by = xlm_attr_int(&c->instr->attrs, XLM_A_start, 1);
  ref_walk w = ref_walk_type(c, t);
  while (ref_walk_next(&w)) {
    int64_t i = ref_walk_index(&w, seq) - by, place = number(c, ROWS_START, &w) + i;
    char *to = (char *)c->out[0] + (size_t)ref_at(c, t, &w) * elem;
    ref_walk from = w;
    if (i >= 0) ref_walk_set(&from, seq, i);
    if (i >= 0)
      memcpy(to, (char *)c->in[ROWS_X] + (size_t)ref_at(c, t, &from) * elem, elem);
    else if (place >= 0)
      memcpy(to, cell(c, &w, place, elem), elem);
    else
      memset(to, 0, elem);
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_cache_put = {.op = XLM_OP_CACHE_PUT, .run = put};
const xlm_kernel xlm_ref_cache_rows = {.op = XLM_OP_CACHE_ROWS, .run = rows};
