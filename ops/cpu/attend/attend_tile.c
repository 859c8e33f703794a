// The tile operations of attention; see attend_priv.h. The micro-kernels keep MR x NV vectors of the result
// in registers over the whole inner dimension: NV loads and MR broadcasts per MR * NV multiply-adds.
#include "ops/cpu/attend/attend_math_priv.h"

static void read_heads(const xlm_call *c, attend_shape *s) {
  xlm_dim heads = xlm_call_dim(c, XLM_A_heads, 0), kv_heads = xlm_call_dim(c, XLM_A_kv_heads, 0);
  s->heads = s->kv_heads = s->heads_full = s->kv_full = 1;
  if (heads) {
    s->heads = c->dims[heads].size, s->heads_full = c->dims[heads].full,
    s->head_first = c->dims[heads].offset;
  }
  if (kv_heads) {
    s->kv_heads = c->dims[kv_heads].size, s->kv_full = c->dims[kv_heads].full,
    s->kv_first = c->dims[kv_heads].offset;
  }
}

static int64_t whole_lanes(int64_t n, int vl) {
  return (n + vl - 1) / vl * vl;
}

static void set_widths(attend_shape *s, int vl) {
  s->dp = whole_lanes(s->d, vl), s->dp_v = whole_lanes(s->d_v, vl);
  s->widest = s->dp > s->dp_v ? s->dp : s->dp_v;
}

attend_shape xlm_attend_read(const xlm_call *c) {
  const xlm_attrs *as = &c->instr->attrs;
  const xlm_type *q = c->in_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0), kv_seq = xlm_call_dim(c, XLM_A_kv_seq, 0),
          feature = xlm_call_dim(c, XLM_A_feature, 0), v_feature = xlm_call_dim(c, XLM_A_v_feature, 0);
  xlm_dim heads = xlm_call_dim(c, XLM_A_heads, 0);
  attend_shape s = {.batches = 1,
                    .queries = c->dims[seq].size,
                    .keys = c->dims[kv_seq].size,
                    .d = c->dims[feature].size,
                    .d_v = c->dims[v_feature ? v_feature : feature].size,
                    .q_pos = c->dims[seq].offset,
                    .k_pos = c->dims[kv_seq].offset,
                    .first = c->dims[seq].size - c->dims[seq].tail,
                    .tail_pos = c->dims[seq].tail_offset,
                    .causal = xlm_attr_int(as, XLM_A_causal, 0),
                    .window = xlm_attr_int(as, XLM_A_window, 0),
                    .scale = (float)xlm_attr_float(as, XLM_A_scale, 1),
                    .softcap = (float)xlm_attr_float(as, XLM_A_softcap, 0)};
  read_heads(c, &s);
  for (int i = 0; i < q->rank; i++) {
    if (q->dim[i] == seq || q->dim[i] == heads || q->dim[i] == feature) continue;
    s.batches *= s.batch[s.n_batch++] = xlm_call_size(c, q, i);
  }
  set_widths(&s, VL);
  xlm_dim past = xlm_call_dim(c, XLM_A_past, 0);
  if (past) s.ring = c->dims[past].size, s.keys += s.ring + TILE - 1; // at most, from a multiple of TILE
  s.q_tiles = attend_tiles(s.first) + attend_tiles(s.queries - s.first), s.k_tiles = attend_tiles(s.keys);
  XLM_ASSERT(!c->dims[kv_seq].tail, "keys in two runs");
  return s;
}

attend_shape xlm_attend_read_for(const xlm_call *c, const xlm_target *t, xlm_cpu_tiles *tiles) {
  attend_shape s = xlm_attend_read(c);
  *tiles = xlm_cpu_tiles_of[xlm_cpu_isa_of(xlm_cpu_arch_of(t))];
  set_widths(&s, tiles->lanes);
  return s;
}

attend_view xlm_attend_view_of(const xlm_call *c, const attend_shape *s, const xlm_type *t, void *data,
                               bool query) {
  const xlm_type *q = c->in_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0), heads = xlm_call_dim(c, XLM_A_heads, 0),
          feature = xlm_call_dim(c, XLM_A_feature, 0), v_feature = xlm_call_dim(c, XLM_A_v_feature, 0);
  bool is_value = v_feature && xlm_type_find(t, v_feature) >= 0;
  xlm_dim head = xlm_call_dim(c, query ? XLM_A_heads : XLM_A_kv_heads, 0);
  attend_view v = {.data = data,
                   .type = t->dtype,
                   .row = xlm_call_stride(c, t, xlm_call_dim(c, query ? XLM_A_seq : XLM_A_kv_seq, 0)),
                   .head = head ? xlm_call_stride(c, t, head) : 0,
                   .feature = xlm_call_stride(c, t, is_value ? v_feature : feature)};
  v.d = is_value ? s->d_v : s->d, v.dp = is_value ? s->dp_v : s->dp;
  int n = 0;
  for (int i = 0; i < q->rank; i++) {
    if (q->dim[i] == seq || q->dim[i] == heads || q->dim[i] == feature) continue;
    v.batch[n++] = xlm_call_stride(c, t, q->dim[i]);
  }
  XLM_ASSERT(n == s->n_batch, "attention over %d batch dims seen as %d", s->n_batch, n);
  return v;
}

int64_t xlm_attend_at(const attend_shape *s, const attend_view *v, int64_t batch, int64_t head) {
  int64_t at = head * v->head;
  for (int i = s->n_batch - 1; i >= 0; i--) {
    at += batch % s->batch[i] * v->batch[i];
    batch /= s->batch[i];
  }
  return at;
}

void xlm_attend_group(const attend_shape *s, int64_t g, int64_t *first, int64_t *end) {
  *first = *end = 0;
  for (int64_t h = 0; h < s->heads; h++) {
    int64_t used = (h + s->head_first) * s->kv_full / s->heads_full - s->kv_first;
    if (used < g) *first = h + 1;
    if (used <= g) *end = h + 1;
  }
}

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) {
  return x < lo ? lo : x > hi ? hi : x;
}

attend_rows xlm_attend_rows(const attend_shape *s, int64_t q_tile) {
  int64_t tiles = attend_tiles(s->first), row = q_tile * TILE;
  if (q_tile < tiles) return (attend_rows){row, clamp(s->first - row, 0, TILE), s->q_pos + row};
  row -= tiles * TILE;
  return (attend_rows){s->first + row, clamp(s->queries - s->first - row, 0, TILE), s->tail_pos + row};
}

attend_rows xlm_attend_key_rows(const attend_shape *s, int64_t k_tile) {
  int64_t row = k_tile * TILE, pos = s->k_pos + row;
  return (attend_rows){s->ring ? pos : row, clamp(s->keys - row, 0, TILE), pos};
}

void xlm_attend_key_tiles(const attend_shape *s, int64_t q_first, int64_t q_end, int64_t prefix,
                          int64_t *first, int64_t *end) {
  *first = 0, *end = q_first < q_end ? s->k_tiles : 0;
  if (!s->causal || !*end) return;
  attend_rows from = xlm_attend_rows(s, q_first), last = xlm_attend_rows(s, q_end - 1);
  *end = clamp(last.pos + last.n - s->k_pos + TILE - 1, 0, s->k_tiles * TILE) / TILE;
  if (s->window) *first = clamp(from.pos - s->k_pos - s->window + 1, 0, *end * TILE) / TILE;
  int64_t open = attend_tiles(clamp(prefix - s->k_pos, 0, s->keys));
  if (open) *first = 0;
  if (*end < open) *end = open;
}

attend_tile xlm_attend_tile_of(const attend_shape *s, int64_t q_tile, int64_t k_tile, int64_t prefix) {
  attend_rows q = xlm_attend_rows(s, q_tile);
  int64_t hi = TILE, lo = -TILE; // everything visible
  if (s->causal) hi = q.pos - (k_tile * TILE + s->k_pos);
  if (s->window) lo = hi - s->window + 1;
  return (attend_tile){.nq = (int)q.n,
                       .nk = (int)clamp(s->keys - k_tile * TILE, 0, TILE),
                       .open = (int)clamp(prefix - s->k_pos - k_tile * TILE, 0, TILE),
                       .none = s->ring ? (int)clamp(s->oldest - s->k_pos - k_tile * TILE, 0, TILE) : 0,
                       .lo = (int)clamp(lo, -TILE, TILE),
                       .hi = (int)clamp(hi, -TILE, TILE)};
}

// ---- packing

static void load_row(float *dst, const attend_view *v, int64_t at, int64_t d, float factor) {
  const float *f = (const float *)v->data + at;
  const uint16_t *h = (const uint16_t *)v->data + at;
  if (v->type == XLM_BF16 && v->feature == 1)
    for (int64_t i = 0; i < d; i++) dst[i] = factor * xlm_bf16_to_f32(h[i]);
  else if (v->type == XLM_BF16)
    for (int64_t i = 0; i < d; i++) dst[i] = factor * xlm_bf16_to_f32(h[i * v->feature]);
  else if (v->feature == 1)
    for (int64_t i = 0; i < d; i++) dst[i] = factor * f[i];
  else
    for (int64_t i = 0; i < d; i++) dst[i] = factor * f[i * v->feature];
}

void xlm_attend_load_some(float *dst, const attend_view *v, int64_t at, int64_t row, int64_t rows,
                          float factor) {
  for (int64_t r = 0; r < rows; r++, dst += v->dp) {
    load_row(dst, v, at + (row + r) * v->row, v->d, factor);
    for (int64_t i = v->d; i < v->dp; i++) dst[i] = 0;
  }
}

void xlm_attend_load(float *dst, const attend_view *v, int64_t at, int64_t row, int64_t rows, float factor) {
  xlm_attend_load_some(dst, v, at, row, rows, factor);
  attend_clear(dst, v->dp, rows, TILE);
}

void xlm_attend_store(const float *src, const attend_view *v, int64_t at, int64_t row, int64_t rows,
                      float factor) {
  for (int64_t r = 0; r < rows; r++, src += v->dp) {
    int64_t to = at + (row + r) * v->row;
    float *f = (float *)v->data + to;
    uint16_t *h = (uint16_t *)v->data + to;
    if (v->type == XLM_BF16)
      for (int64_t i = 0; i < v->d; i++) h[i * v->feature] = xlm_f32_to_bf16(factor * src[i]);
    else if (v->feature == 1)
      for (int64_t i = 0; i < v->d; i++) f[i] = factor * src[i];
    else
      for (int64_t i = 0; i < v->d; i++) f[i * v->feature] = factor * src[i];
  }
}

void xlm_attend_want(attend_ahead *a, const attend_view *v, int64_t at, attend_rows rows, bool write) {
  int64_t bytes = (int64_t)xlm_dtype_bytes(v->type);
  if (!rows.n || v->feature != 1) return;
  XLM_ASSERT(a->n < ATTEND_AHEAD, "more than %d tiles ahead", ATTEND_AHEAD);
  a->want[a->n].row = (const char *)v->data + (at + rows.row * v->row) * bytes;
  a->want[a->n].stride = v->row * bytes, a->want[a->n].rows = rows.n, a->want[a->n].bytes = v->d * bytes;
  a->want[a->n++].write = write;
}

void xlm_attend_fetch(attend_ahead *a, int rows) {
  for (; rows > 0 && a->done < a->n * TILE; rows--, a->done++) {
    int64_t w = a->done / TILE, row = a->done % TILE;
    if (row >= a->want[w].rows) continue;
    const char *p = a->want[w].row + row * a->want[w].stride;
    for (int64_t i = 0; i < a->want[w].bytes; i += 64) {
      if (a->want[w].write)
        __builtin_prefetch(p + i, 1);
      else
        __builtin_prefetch(p + i, 0);
    }
  }
}

typedef float quad __attribute__((vector_size(16), may_alias));

ATTEND_INLINE void transpose4(float *dst, const float *src, int64_t ld) { // transposes a 4 x 4 block
  quad a = *(const quad *)src, b = *(const quad *)(src + ld), c = *(const quad *)(src + 2 * ld),
       d = *(const quad *)(src + 3 * ld);
  quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(quad *)dst = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  *(quad *)(dst + TILE) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  *(quad *)(dst + 2 * TILE) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
  *(quad *)(dst + 3 * TILE) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

void xlm_attend_transpose(float *dst, const float *src, int64_t dp) {
  for (int64_t f = 0; f < dp; f += 4)
    for (int64_t j = 0; j < TILE; j += 4) transpose4(dst + f * TILE + j, src + j * dp + f, dp);
}

// ---- products

enum { WIDE = 4 }; // vectors for few rows, whose multiply-adds would wait for each other

// R, N and transposed are constants in every call, so loops are unrolled and acc stays in registers.
ATTEND_INLINE void block(bool transposed, int R, int N, const float *a, int64_t lda, int k, const float *b,
                         int64_t ldb, float *c, int64_t ldc, bool add) {
  lanes acc[MR][WIDE];
  ATTEND_UNROLL for (int r = 0; r < R; r++) ATTEND_UNROLL for (int v = 0; v < N; v++) acc[r][v] =
      add ? lanes_load(c + r * ldc + v * VL) : lanes_splat(0);
  for (int p = 0; p < k; p++, b += ldb) {
    lanes bv[WIDE];
    ATTEND_UNROLL for (int v = 0; v < N; v++) bv[v] = lanes_load(b + v * VL);
    ATTEND_UNROLL for (int r = 0; r < R; r++) {
      lanes av = lanes_splat(transposed ? a[p * lda + r] : a[r * lda + p]);
      ATTEND_UNROLL for (int v = 0; v < N; v++) acc[r][v] = lanes_fma(av, bv[v], acc[r][v]);
    }
  }
  ATTEND_UNROLL for (int r = 0; r < R; r++) ATTEND_UNROLL for (int v = 0; v < N; v++)
      lanes_store(c + r * ldc + v * VL, acc[r][v]);
}

ATTEND_INLINE void all_blocks(bool transposed, int R, int N, const float *a, int64_t lda, int k,
                              const float *b, int64_t ldb, float *c, int64_t ldc, int vectors, bool add) {
  int v = 0;
  for (; v + N <= vectors; v += N) block(transposed, R, N, a, lda, k, b + v * VL, ldb, c + v * VL, ldc, add);
  for (; v < vectors; v++) block(transposed, R, 1, a, lda, k, b + v * VL, ldb, c + v * VL, ldc, add);
}

void xlm_attend_mul(const float *a, int64_t lda, int k, const float *b, int64_t ldb, float *c, int64_t ldc,
                    int vectors, bool add) {
  all_blocks(false, MR, NV, a, lda, k, b, ldb, c, ldc, vectors, add);
}

void xlm_attend_mul_t(const float *a, int64_t lda, int k, const float *b, int64_t ldb, float *c, int64_t ldc,
                      int vectors, bool add) {
  all_blocks(true, MR, NV, a, lda, k, b, ldb, c, ldc, vectors, add);
}

void xlm_attend_mul_rows(int rows, const float *a, int64_t lda, int k, const float *b, int64_t ldb, float *c,
                         int64_t ldc, int vectors, bool add) {
  for (int n; rows > 0; rows -= n, a += n * lda, c += n * ldc) {
    n = rows >= MR ? MR : rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
    if (n == MR)
      all_blocks(false, MR, NV, a, lda, k, b, ldb, c, ldc, vectors, add);
    else if (n == 4)
      all_blocks(false, 4, NV, a, lda, k, b, ldb, c, ldc, vectors, add);
    else if (n == 2)
      all_blocks(false, 2, WIDE, a, lda, k, b, ldb, c, ldc, vectors, add);
    else
      all_blocks(false, 1, WIDE, a, lda, k, b, ldb, c, ldc, vectors, add);
  }
}
