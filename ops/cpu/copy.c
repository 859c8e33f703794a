// Strided copies; see copy_priv.h. Neighbouring dimensions that are contiguous in both layouts are merged
// first, so most copies become long memcpys. If the innermost dimensions differ, square tiles go through a
// small buffer, so that both sides are accessed in whole cache lines. The division into units depends on the
// shape alone.
#include "ops/cpu/copy_priv.h"

#include <string.h>

enum {
  TILE = 32,
  CHUNK = 1 << 15,
  SERIAL = 1 << 15
}; // elements; bytes; bytes below which one worker does everything

static void strides_of(const xlm_call *c, const xlm_type *t, int64_t stride[XLM_MAX_RANK]) {
  int64_t n = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    bool packed = i + 1 < t->rank && c->dims[t->dim[i + 1]].ragged; // a ragged dim that follows counts all
                                                                    // its rows
    stride[i] = n;
    if (!packed) n *= c->dims[t->dim[i]].size;
  }
}

xlm_copy xlm_copy_between(const xlm_call *c, const xlm_type *in, const xlm_type *out, xlm_dim from,
                          xlm_dim to) {
  int64_t src[XLM_MAX_RANK], dst[XLM_MAX_RANK];
  strides_of(c, in, src);
  strides_of(c, out, dst);
  xlm_copy copy = {.elem = xlm_dtype_bytes(out->dtype)};
  for (int i = 0; i < out->rank; i++) {
    if (i + 1 < out->rank && c->dims[out->dim[i + 1]].ragged) continue;
    int j = xlm_type_find(in, out->dim[i] == to ? from : out->dim[i]);
    int64_t a = c->dims[in->dim[j]].size, b = c->dims[out->dim[i]].size;
    copy.size[copy.n] = a < b ? a : b, copy.src[copy.n] = src[j], copy.dst[copy.n++] = dst[i];
  }
  return copy;
}

static void simplify(xlm_copy *s) {
  int n = 0;
  for (int i = 0; i < s->n; i++) {
    if (s->size[i] == 1) continue;
    bool joins = n && s->src[n - 1] == s->src[i] * s->size[i] && s->dst[n - 1] == s->dst[i] * s->size[i];
    int to = joins ? n - 1 : n++;
    s->size[to] = joins ? s->size[to] * s->size[i] : s->size[i];
    s->src[to] = s->src[i], s->dst[to] = s->dst[i];
  }
  if (n == 0) s->size[n] = 1, s->src[n] = 1, s->dst[n++] = 1;
  s->n = n;
}

typedef struct job {
  xlm_copy s;
  int inner;                 // tiles: the dimension contiguous in src; else -1
  int64_t per, parts, units; // elements of the split dimension per unit, units per outer index, total units
  const char *src;
  char *dst;
} job;

// The element offsets of outer index u: all dims but the last and `inner`.
static void outer_at(const job *j, int64_t u, int64_t *src, int64_t *dst) {
  *src = *dst = 0;
  for (int i = j->s.n - 2; i >= 0; i--) {
    if (i == j->inner) continue;
    int64_t k = u % j->s.size[i];
    u /= j->s.size[i];
    *src += k * j->s.src[i], *dst += k * j->s.dst[i];
  }
}

static void copy_row(const job *j, int64_t src, int64_t dst, int64_t begin, int64_t end) {
  int last = j->s.n - 1;
  size_t e = j->s.elem;
  if (j->s.src[last] == 1 && j->s.dst[last] == 1) {
    memcpy(j->dst + (size_t)(dst + begin) * e, j->src + (size_t)(src + begin) * e, (size_t)(end - begin) * e);
    return;
  }
  for (int64_t k = begin; k < end; k++)
    memcpy(j->dst + (size_t)(dst + k * j->s.dst[last]) * e, j->src + (size_t)(src + k * j->s.src[last]) * e,
           e);
}

// dst[i * ds + k] = src[k * ss + i], i < ni, k < nk, both at most TILE.
static void tile4(const uint32_t *src, int64_t ss, uint32_t *dst, int64_t ds, int64_t ni, int64_t nk) {
  uint32_t buffer[TILE][TILE];
  for (int64_t k = 0; k < nk; k++)
    for (int64_t i = 0; i < ni; i++) buffer[i][k] = src[k * ss + i];
  for (int64_t i = 0; i < ni; i++) memcpy(dst + i * ds, buffer[i], (size_t)nk * sizeof *dst);
}

static void tile2(const uint16_t *src, int64_t ss, uint16_t *dst, int64_t ds, int64_t ni, int64_t nk) {
  uint16_t buffer[TILE][TILE];
  for (int64_t k = 0; k < nk; k++)
    for (int64_t i = 0; i < ni; i++) buffer[i][k] = src[k * ss + i];
  for (int64_t i = 0; i < ni; i++) memcpy(dst + i * ds, buffer[i], (size_t)nk * sizeof *dst);
}

static void copy_tiles(const job *j, int64_t src, int64_t dst, int64_t begin, int64_t end) {
  int last = j->s.n - 1;
  int64_t ss = j->s.src[last], ds = j->s.dst[j->inner];
  for (int64_t k = 0; k < j->s.size[last]; k += TILE) {
    int64_t nk = j->s.size[last] - k < TILE ? j->s.size[last] - k : TILE;
    size_t from = (size_t)(src + k * ss + begin) * j->s.elem, to = (size_t)(dst + begin * ds + k) * j->s.elem;
    if (j->s.elem == 4)
      tile4((const uint32_t *)(j->src + from), ss, (uint32_t *)(j->dst + to), ds, end - begin, nk);
    else
      tile2((const uint16_t *)(j->src + from), ss, (uint16_t *)(j->dst + to), ds, end - begin, nk);
  }
}

static void work(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end, n = j->s.size[j->inner >= 0 ? j->inner : j->s.n - 1];
  xlm_pool_range(j->units, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) {
    int64_t src, dst, from = u % j->parts * j->per, to = from + j->per < n ? from + j->per : n;
    outer_at(j, u / j->parts, &src, &dst);
    if (j->inner >= 0)
      copy_tiles(j, src, dst, from, to);
    else
      copy_row(j, src, dst, from, to);
  }
}

static int tiled_dim(const xlm_copy *s) { // the dimension paired with the last in tiles; -1: copy rows
  if (s->src[s->n - 1] == 1 || s->dst[s->n - 1] != 1 || (s->elem != 4 && s->elem != 2)) return -1;
  for (int i = 0; i < s->n - 1; i++)
    if (s->src[i] == 1) return i;
  return -1;
}

void xlm_copy_run(const xlm_copy *copy, const void *src, void *dst, xlm_pool *pool) {
  job j = {.s = *copy, .src = src, .dst = dst};
  simplify(&j.s);
  j.inner = tiled_dim(&j.s);
  int64_t elements = 1;
  for (int i = 0; i < j.s.n; i++) elements *= j.s.size[i];
  if (elements == 0) return;
  int64_t last = j.s.size[j.s.n - 1], n = j.inner >= 0 ? j.s.size[j.inner] : last;
  int64_t outer = elements / last / (j.inner >= 0 ? n : 1);
  j.per = j.inner >= 0 ? TILE : CHUNK / (int64_t)j.s.elem;
  j.parts = (n + j.per - 1) / j.per;
  j.units = outer * j.parts;
  xlm_pool_run(elements * (int64_t)j.s.elem < SERIAL ? NULL : pool, work, &j);
}

typedef struct zero_job {
  char *dst;
  int64_t rows, row_bytes, at, n;
} zero_job;

static void zero(void *arg, int worker, int workers) {
  const zero_job *z = arg;
  int64_t begin, end;
  if (z->rows >= workers) {
    xlm_pool_range(z->rows, worker, workers, &begin, &end);
    for (int64_t r = begin; r < end; r++) memset(z->dst + r * z->row_bytes + z->at, 0, (size_t)z->n);
  } else {
    xlm_pool_range(z->n, worker, workers, &begin, &end);
    for (int64_t r = 0; r < z->rows; r++)
      memset(z->dst + r * z->row_bytes + z->at + begin, 0, (size_t)(end - begin));
  }
}

void xlm_copy_zero(void *dst, int64_t rows, int64_t row_bytes, int64_t at, int64_t n, xlm_pool *pool) {
  zero_job z = {dst, rows, row_bytes, at, n};
  if (rows > 0 && n > 0) xlm_pool_run(rows * n < SERIAL ? NULL : pool, zero, &z);
}
