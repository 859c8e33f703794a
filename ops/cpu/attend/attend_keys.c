// Keys and values that lie partly in caches (rings of rows by position) and partly in the call's own
// operands.
#include "ops/cpu/attend/attend_priv.h"

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) {
  return x < lo ? lo : x > hi ? hi : x;
}

attend_view xlm_attend_cached_of(const xlm_call *c, const attend_shape *s, const xlm_type *t, void *data) {
  attend_view v = xlm_attend_view_of(c, s, t, data, false);
  v.row = xlm_call_stride(c, t, xlm_call_dim(c, XLM_A_past, 0));
  return v;
}

attend_shape xlm_attend_of_sample(const attend_shape *s, int64_t start) {
  attend_shape x = *s;
  x.q_pos = x.start = start, x.oldest = start > s->ring ? start - s->ring : 0;
  x.k_pos = x.oldest / TILE * TILE;
  x.keys = start + s->queries - x.k_pos, x.k_tiles = attend_tiles(x.keys);
  return x;
}

typedef struct piece { // rows that follow each other in one tensor; NULL: there are none
  const attend_view *of;
  int64_t row, n;
} piece;

// The first piece of the rows [at, n) of a tile.
static piece piece_of(const attend_shape *s, const attend_keys *k, attend_rows rows, int64_t at) {
  int64_t pos = rows.pos + at, left = rows.n - at, slot = s->ring ? pos % s->ring : 0;
  if (!s->ring) return (piece){&k->own, rows.row + at, left};
  if (pos < s->oldest) return (piece){NULL, 0, clamp(s->oldest - pos, 0, left)};
  if (pos >= s->start) return (piece){&k->own, pos - s->start, left};
  return (piece){&k->cached, slot, clamp(s->ring - slot, 0, clamp(s->start - pos, 0, left))};
}

void xlm_attend_load_keys(float *dst, const attend_shape *s, const attend_keys *k, int64_t batch, int64_t g,
                          attend_rows rows) {
  for (int64_t at = 0, dp = k->own.dp; at < rows.n;) {
    piece x = piece_of(s, k, rows, at);
    if (x.of)
      xlm_attend_load_some(dst + at * dp, x.of, xlm_attend_at(s, x.of, batch, g), x.row, x.n, 1);
    else
      attend_clear(dst, dp, at, at + x.n);
    at += x.n;
  }
  attend_clear(dst, k->own.dp, rows.n, TILE);
}

// The part of a piece, which begins at column `at`, that lies in the span.
static piece within(piece x, int64_t at, attend_span span, int64_t *first) {
  int64_t end = clamp(at + x.n, 0, span.end);
  *first = clamp(at, span.begin, end);
  return (piece){x.of, x.row + *first - at, end - *first};
}

void xlm_attend_scores_of_keys(int rows, const float *q, int64_t ldq, const attend_shape *s,
                               const attend_keys *k, int64_t batch, int64_t g, attend_rows tile,
                               attend_span span, attend_ahead_of ahead, float *scores) {
  for (int64_t at = 0, n, first; at < tile.n && at < span.end; at += n) {
    piece x = piece_of(s, k, tile, at);
    n = x.n, x = within(x, at, span, &first);
    if (x.of && x.n > 0)
      xlm_attend_scores_there(rows, q, ldq, x.of, xlm_attend_at(s, x.of, batch, g) + x.row * x.of->row,
                              (int)x.n, ahead, scores + first);
  }
}

void xlm_attend_add_values(int rows, const float *w, const attend_shape *s, const attend_keys *v,
                           int64_t batch, int64_t g, attend_rows tile, attend_span span,
                           attend_ahead_of ahead, float *o, int64_t ldo) {
  for (int64_t at = 0, n, first; at < tile.n && at < span.end; at += n) {
    piece x = piece_of(s, v, tile, at);
    n = x.n, x = within(x, at, span, &first);
    if (x.of && x.n > 0)
      xlm_attend_values_there(rows, w + first, x.of, xlm_attend_at(s, x.of, batch, g) + x.row * x.of->row,
                              (int)x.n, ahead, o, ldo);
  }
}

void xlm_attend_want_keys(attend_ahead *a, const attend_shape *s, const attend_keys *k, int64_t batch,
                          int64_t g, attend_rows rows) {
  for (int64_t at = 0; at < rows.n;) {
    piece x = piece_of(s, k, rows, at);
    if (x.of)
      xlm_attend_want(a, x.of, xlm_attend_at(s, x.of, batch, g), (attend_rows){.row = x.row, .n = x.n},
                      false);
    at += x.n;
  }
}
