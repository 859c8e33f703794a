// Tiles of linear attention; see linear_attend_priv.h.
#include "ops/cpu/attend/linear_attend_priv.h"

static int64_t whole_lanes(int64_t n, int vl) {
  return (n + vl - 1) / vl * vl;
}

linear_shape xlm_linear_shape_of(const xlm_call *c, int decay, int vl, int threads) {
  const xlm_type *q = c->in_type[0];
  linear_shape s = {.seq = xlm_call_dim(c, XLM_A_seq, 0), .feature = xlm_call_dim(c, XLM_A_feature, 0)};
  s.n_over = xlm_attr_dims(&c->instr->attrs, XLM_A_over, s.over);
  s.value = s.over[s.n_over - 1];
  s.steps = c->dims[s.seq].size, s.chunks = attend_tiles(s.steps);
  s.n = c->dims[s.feature].size, s.p = c->dims[s.value].size;
  s.np = whole_lanes(s.n, vl), s.pp = whole_lanes(s.p, vl);
  s.entries = s.heads = 1;
  for (int i = 0; i < q->rank; i++)
    if (q->dim[i] != s.seq && q->dim[i] != s.feature) s.entries *= xlm_call_size(c, q, i);
  for (int i = 0; i < s.n_over - 1; i++) s.heads *= c->dims[s.over[i]].size;
  int64_t units = s.heads < s.chunks ? s.heads : s.chunks,
          enough = units ? (4 * threads + units - 1) / units : 1;
  s.at_once = enough < s.entries ? enough : s.entries;
  s.channels = decay < c->instr->n_in && xlm_type_find(c->in_type[decay], s.feature) >= 0;
  return s;
}

linear_view xlm_linear_view_of(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data) {
  const xlm_type *q = c->in_type[0];
  linear_view v = {.data = data, .type = t->dtype, .step = xlm_call_stride(c, t, s->seq)};
  v.vector = xlm_call_stride(c, t, xlm_type_find(t, s->feature) >= 0 ? s->feature : s->value);
  for (int i = 0; i < q->rank; i++)
    if (q->dim[i] != s->seq && q->dim[i] != s->feature)
      over_add(&v.entry, xlm_call_size(c, q, i), xlm_call_stride(c, t, q->dim[i]));
  for (int i = 0; i < s->n_over - 1; i++)
    over_add(&v.head, c->dims[s->over[i]].size, xlm_call_stride(c, t, s->over[i]));
  return v;
}

static int64_t place(const linear_view *v, int64_t entry, int64_t head, int64_t chunk) {
  return over_offset(&v->entry, entry) + over_offset(&v->head, head) + chunk * TILE * v->step;
}

static void load_row(float *dst, const linear_view *v, int64_t at, int64_t n) {
  if (v->vector == 1)
    vec_read(v->type, v->data, at, n, dst);
  else
    for (int64_t i = 0; i < n; i++) dst[i] = vec_read_one(v->type, v->data, at + i * v->vector);
}

void xlm_linear_load(float *tile, const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                     int64_t chunk, bool keys) {
  int64_t n = keys ? s->n : s->p, width = keys ? s->np : s->pp, rows = linear_rows(s, chunk);
  int64_t at = place(v, entry, head, chunk);
  for (int64_t r = 0; r < TILE; r++, tile += width) {
    int64_t filled = r < rows ? n : 0;
    if (filled) load_row(tile, v, at + r * v->step, n);
    for (int64_t i = filled; i < width; i++) tile[i] = 0;
  }
}

void xlm_linear_store(const float *tile, const linear_shape *s, const linear_view *v, int64_t entry,
                      int64_t head, int64_t chunk, bool keys) {
  int64_t n = keys ? s->n : s->p, width = keys ? s->np : s->pp, at = place(v, entry, head, chunk);
  for (int64_t r = 0; r < linear_rows(s, chunk); r++, tile += width, at += v->step) {
    if (v->vector == 1)
      vec_write(v->type, v->data, at, n, tile);
    else
      for (int64_t i = 0; i < n; i++) vec_write(v->type, v->data, at + i * v->vector, 1, tile + i);
  }
}

// Sums are in double: their differences are exponents, and keep their digits where the sums are large. Less
// than LEAST is no different, and infinity minus infinity is no number.
linear_decay xlm_linear_decay_of(const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                                 int64_t chunk) {
  static const float LEAST = -1e4f;
  linear_decay d;
  int64_t rows = linear_rows(s, chunk), at = place(v, entry, head, chunk);
  double sum = 0;
  for (int64_t t = 0; t < TILE; t++) {
    float x = v->data && t < rows ? vec_read_one(v->type, v->data, at + t * v->step) : 0;
    d.sum[t] = sum += (x < LEAST ? LEAST : x) * ATTEND_LOG2E;
  }
  float last[TILE];
  for (int t = 0; t < TILE; t++) d.from_start[t] = (float)d.sum[t], last[t] = (float)(sum - d.sum[t]);
  for (int t = 0; t < TILE; t += VL) {
    lanes_store(d.from_start + t, lanes_exp2(lanes_load(d.from_start + t)));
    lanes_store(d.to_end + t, lanes_exp2(lanes_load(last + t)));
  }
  d.whole = d.from_start[TILE - 1];
  return d;
}

void xlm_linear_weights(float *e, const linear_decay *d) {
  for (int t = 0; t < TILE; t++, e += TILE) {
    int end = (t + VL) / VL * VL;
    for (int s = 0; s < TILE; s++) e[s] = s < end ? (float)(d->sum[t] - d->sum[s]) : 0;
    for (int s = 0; s < end; s += VL)
      lanes_store(e + s, (lanes)((ilanes)lanes_exp2(lanes_load(e + s)) & lanes_inside(s, 0, t + 1)));
  }
}

void xlm_linear_scale(float *tile, int64_t width, const float *factor) {
  for (int64_t r = 0; r < TILE; r++, tile += width)
    for (int64_t i = 0; i < width; i++) tile[i] *= factor[r];
}

void xlm_linear_mul(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, float *c,
                    int64_t columns, bool add, bool lower) {
  for (int64_t i = 0; i < rows; i += MR)
    xlm_attend_mul(a + i * lda, lda, (int)(lower ? i + MR : k), b, columns, c + i * columns, columns,
                   (int)(columns / VL), add);
}

void xlm_linear_mul_t(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, float *c,
                      int64_t columns, bool add, bool lower) {
  for (int64_t i = 0; i < rows; i += MR) {
    int64_t skip = lower ? i : 0;
    xlm_attend_mul_t(a + skip * lda + i, lda, (int)(k - skip), b + skip * columns, columns, c + i * columns,
                     columns, (int)(columns / VL), add);
  }
}
