// Tiles of linear attention; see linear_attend_priv.h.
#include "ops/cpu/attend/linear_attend_priv.h"

static int64_t whole_lanes(int64_t n, int vl) {
  return (n + vl - 1) / vl * vl;
}

linear_shape xlm_linear_shape_of(const xlm_call *c, int like, int decay, int vl, int threads) {
  const xlm_type *q = c->in_type[like];
  linear_shape s = {
      .like = q, .seq = xlm_call_dim(c, XLM_A_seq, 0), .feature = xlm_call_dim(c, XLM_A_feature, 0)};
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

static over_dims entries_of(const xlm_call *c, const linear_shape *s, const xlm_type *t) {
  over_dims d = {0};
  for (int i = 0; i < s->like->rank; i++)
    if (s->like->dim[i] != s->seq && s->like->dim[i] != s->feature)
      over_add(&d, xlm_call_size(c, s->like, i), xlm_call_stride(c, t, s->like->dim[i]));
  return d;
}

linear_view xlm_linear_view_of(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data) {
  linear_view v = {.data = data, .type = t->dtype, .step = xlm_call_stride(c, t, s->seq)};
  v.vector = xlm_call_stride(c, t, xlm_type_find(t, s->feature) >= 0 ? s->feature : s->value);
  v.entry = entries_of(c, s, t);
  for (int i = 0; i < s->n_over - 1; i++)
    over_add(&v.head, c->dims[s->over[i]].size, xlm_call_stride(c, t, s->over[i]));
  return v;
}

linear_view xlm_linear_state_view(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data) {
  linear_view v = xlm_linear_view_of(c, s, t, data);
  v.step = v.vector, v.vector = xlm_call_stride(c, t, s->value);
  return v;
}

linear_view xlm_linear_past_of(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data) {
  linear_view v = xlm_linear_view_of(c, s, t, data);
  for (int i = 0; i < 3; i++) { // keys, values and decays may have caches of different lengths
    xlm_dim past = xlm_call_dim(c, XLM_A_past, i);
    if (past && xlm_type_find(t, past) >= 0)
      v.step = xlm_call_stride(c, t, past), v.ring = c->dims[past].size;
  }
  return v;
}

linear_numbers xlm_linear_numbers_of(const xlm_call *c, const linear_shape *s, int operand) {
  return (linear_numbers){c->in[operand], entries_of(c, s, c->in_type[operand])};
}

void xlm_linear_keys_of(const xlm_call *c, const linear_shape *s, int k, int v, int decay, int past_k,
                        linear_keys *keys, linear_keys *past) {
  int past_decay = decay + 1;
  *keys = (linear_keys){.k = xlm_linear_view_of(c, s, c->in_type[k], c->in[k]),
                        .v = xlm_linear_view_of(c, s, c->in_type[v], c->in[v])};
  past->k = xlm_linear_past_of(c, s, c->in_type[past_k], c->in[past_k]), keys->k.past = &past->k;
  past->v = xlm_linear_past_of(c, s, c->in_type[past_k + 1], c->in[past_k + 1]), keys->v.past = &past->v;
  if (decay < c->instr->n_in) keys->decay = xlm_linear_view_of(c, s, c->in_type[decay], c->in[decay]);
  if (past_decay >= c->instr->n_in) return;
  past->decay = xlm_linear_past_of(c, s, c->in_type[past_decay], c->in[past_decay]);
  keys->decay.past = &past->decay;
}

static int64_t within(int64_t x, int64_t lo, int64_t hi) {
  return x < lo ? lo : x > hi ? hi : x;
}

linear_rows xlm_linear_rows_of(const linear_shape *s, int64_t entry, int64_t chunk) {
  linear_rows r = {.first = chunk * TILE - linear_start(s, entry)};
  r.begin = (int)within(-r.first, 0, TILE);
  r.end = (int)within(linear_count(s, entry) - r.first, r.begin, TILE);
  return r;
}

static int64_t place(const linear_view *v, int64_t entry, int64_t head) {
  return over_offset(&v->entry, entry) + over_offset(&v->head, head);
}

static void load_row(float *dst, const linear_view *v, int64_t at, int64_t n) {
  if (v->vector == 1)
    vec_read(v->type, v->data, at, n, dst);
  else
    for (int64_t i = 0; i < n; i++) dst[i] = vec_read_one(v->type, v->data, at + i * v->vector);
}

// Rows of a tile, `step` elements apart, with zeros behind.
static void load_rows(float *tile, const linear_view *v, int64_t at, int64_t step, int rows, int64_t n,
                      int64_t width) {
  for (int t = 0; t < rows; t++, tile += width, at += step) {
    load_row(tile, v, at, n);
    for (int64_t i = n; i < width; i++) tile[i] = 0;
  }
}

// Where the cache of an operand has row t of a chunk.
static int64_t past_row(const linear_view *past, int64_t at, int64_t chunk, int t) {
  return at + (chunk * TILE + t) % past->ring * past->step;
}

void xlm_linear_load(float *tile, const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                     int64_t chunk, bool keys) {
  int64_t n = keys ? s->n : s->p, width = keys ? s->np : s->pp;
  linear_rows rows = xlm_linear_rows_of(s, entry, chunk);
  int begin = v->past || v->step ? rows.begin : 0; // the same at all positions: the call's own has it, too
  int64_t at = place(v, entry, head) + (rows.first + begin) * v->step,
          past_at = v->past ? place(v->past, entry, head) : 0;
  for (int t = 0; t < begin && v->past; t++)
    load_rows(tile + t * width, v->past, past_row(v->past, past_at, chunk, t), 0, 1, n, width);
  for (int64_t i = 0; i < begin * width && !v->past; i++) tile[i] = 0; // of queries only the call's own
  load_rows(tile + begin * width, v, at, v->step, rows.end - begin, n, width);
  for (int64_t i = rows.end * width; i < TILE * width; i++) tile[i] = 0;
}

void xlm_linear_store(const float *tile, const linear_shape *s, const linear_view *v, int64_t entry,
                      int64_t head, int64_t chunk, bool keys) {
  int64_t n = keys ? s->n : s->p, width = keys ? s->np : s->pp;
  linear_rows rows = xlm_linear_rows_of(s, entry, chunk);
  int64_t at = place(v, entry, head) + (rows.first + rows.begin) * v->step;
  tile += rows.begin * width;
  for (int t = rows.begin; t < rows.end; t++, tile += width, at += v->step) {
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
  linear_rows rows = xlm_linear_rows_of(s, entry, chunk);
  int begin = v->past ? rows.begin : 0, end = v->data ? rows.end : 0;
  int64_t at = place(v, entry, head) + rows.first * v->step,
          past_at = v->past ? place(v->past, entry, head) : 0;
  double sum = 0;
  for (int t = 0; t < TILE; t++) {
    float x = t >= end    ? 0
              : t < begin ? vec_read_one(v->past->type, v->past->data, past_row(v->past, past_at, chunk, t))
                          : vec_read_one(v->type, v->data, at + t * v->step);
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

void xlm_linear_weights(float *e, const linear_decay *d, int begin, int end) {
  e += begin * TILE;
  for (int t = begin; t < end; t++, e += TILE) {
    int lanes_end = (t + VL) / VL * VL;
    for (int s = 0; s < TILE; s++) e[s] = s < lanes_end ? (float)(d->sum[t] - d->sum[s]) : 0;
    for (int s = 0; s < lanes_end; s += VL)
      lanes_store(e + s, (lanes)((ilanes)lanes_exp2(lanes_load(e + s)) & lanes_inside(s, 0, t + 1)));
  }
}

void xlm_linear_scale(float *tile, int64_t width, const float *factor, int begin, int end) {
  tile += begin * width;
  for (int r = begin; r < end; r++, tile += width)
    for (int64_t i = 0; i < width; i++) tile[i] *= factor[r];
}

void xlm_linear_mul(const float *a, int64_t lda, int begin, int end, int64_t k, const float *b, float *c,
                    int64_t columns, bool add, bool lower) {
  for (int i = begin, n; i < end; i += n) {
    n = end - i < MR ? end - i : MR;
    int inner = (int)(lower ? i + n : k), vectors = (int)(columns / VL);
    const float *row = a + i * lda;
    if (n == MR)
      xlm_attend_mul(row, lda, inner, b, columns, c + i * columns, columns, vectors, add);
    else
      xlm_attend_mul_rows(n, row, lda, inner, b, columns, c + i * columns, columns, vectors, add);
  }
}

void xlm_linear_mul_t(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, float *c,
                      int64_t columns, bool add, bool lower) {
  for (int64_t i = 0; i < rows; i += MR) {
    int64_t skip = lower ? i : 0;
    xlm_attend_mul_t(a + skip * lda + i, lda, (int)(k - skip), b + skip * columns, columns, c + i * columns,
                     columns, (int)(columns / VL), add);
  }
}
