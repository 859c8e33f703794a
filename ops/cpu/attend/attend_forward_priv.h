// What the forward of attention has for a tile of queries and a tile of keys, whichever of its two orders of
// work visits them: whole sequences (attend.c), or a few queries with caches (attend_few.c). A query's
// arithmetic is the same in both.
#ifndef XLM_ATTEND_ATTEND_FORWARD_PRIV_H
#define XLM_ATTEND_ATTEND_FORWARD_PRIV_H

#include <math.h>

#include "ops/cpu/attend/attend_math_priv.h"
#include "ops/cpu/attend/attend_terms_priv.h"

typedef struct attend_job {
  attend_shape s; // with caches: of all samples
  attend_view q, out, lse;
  attend_keys k, v;
  attend_terms terms;
  int64_t pieces; // of each (batch, key head), or in attend_few.c of each batch
  int64_t tiles;  // of keys that a worker has room for
  float *workspace;
} attend_job;

typedef struct attend_room { // one worker's part of the workspace
  float *kt, *v;             // packed keys [tiles][dp][TILE], values [tiles][TILE][dp_v]
  float *q, *o;  // a query tile [TILE][dp] and its result [TILE][dp_v]; o has room for a tile of keys
  float *scores; // a strip [MR][TILE]
  float *most;   // running maximum [TILE]
  float *sum;    // running sum, by lane [TILE][VL]
} attend_room;

#define xlm_attend_few XLM_ISA_NAME(xlm_attend_few)
#define xlm_attend_few_rows XLM_ISA_NAME(xlm_attend_few_rows)

// Are the queries of each key head so few that one tile holds them, with caches?
bool xlm_attend_few(const attend_shape *s);
// Does one worker's share of the work then; sets j->pieces before: of a call's workers.
void xlm_attend_few_rows(const attend_job *j, int worker, int workers);

// Floats of a worker, for lanes of a vector and rows of a tile.
static inline int64_t attend_room_floats(const attend_shape *s, int64_t tiles, int vl, int rows) {
  return (tiles + 1) * TILE * (s->dp + s->dp_v) + TILE * (s->widest - s->dp_v) + rows * TILE + TILE +
         TILE * vl;
}

static inline attend_room attend_room_of(const attend_job *j, int worker) {
  const attend_shape *s = &j->s;
  attend_room r = {.kt = j->workspace + worker * attend_room_floats(s, j->tiles, VL, MR)};
  r.v = r.kt + j->tiles * TILE * s->dp;
  r.q = r.v + j->tiles * TILE * s->dp_v;
  r.o = r.q + TILE * s->dp;
  r.scores = r.o + TILE * s->widest;
  r.most = r.scores + MR * TILE;
  r.sum = r.most + TILE;
  return r;
}

ATTEND_INLINE lanes attend_capped(lanes x, float softcap) {
  return softcap > 0 ? lanes_splat((float)(softcap * ATTEND_LOG2E)) * lanes_tanh(x) : x;
}

// Turns one query's scores [from, to) into probabilities times 2^-maximum; full: all TILE of them are
// visible. added: to the scores, or NULL.
ATTEND_INLINE void attend_softmax(bool full, float *x, const float *added, attend_span span, float softcap,
                                  float *most, float *sum, float *o, int64_t dp) {
  int from = full ? 0 : span.from, to = full ? TILE : span.to;
  lanes peak = lanes_splat(ATTEND_HIDDEN), value[TILE / VL];
  for (int i = from; i < to; i += VL) {
    lanes s = attend_capped(lanes_load(x + i), softcap);
    if (added) s = lanes_max(lanes_splat(ATTEND_HIDDEN), s + lanes_load(added + i));
    if (!full) s = lanes_pick(lanes_inside(i, span.begin, span.end), s, lanes_splat(ATTEND_HIDDEN));
    value[i / VL] = s;
    peak = lanes_max(peak, s);
  }
  float old = *most, now = lanes_largest(peak);
  if (!(now > old)) now = old;
  lanes shrink = lanes_exp2(lanes_splat(old - now)), total = lanes_load(sum) * shrink;
  for (int i = from; i < to; i += VL) {
    lanes p = lanes_exp2(value[i / VL] - lanes_splat(now));
    if (!full) p = (lanes)((ilanes)p & lanes_inside(i, span.begin, span.end));
    if (added) p = (lanes)((ilanes)p & (ilanes)(lanes_load(added + i) > lanes_splat(ATTEND_HIDDEN / 2)));
    lanes_store(x + i, p);
    total += p;
  }
  lanes_store(sum, total);
  if (now == old) return;
  *most = now;
  for (int64_t f = 0; f < dp; f += VL) lanes_store(o + f, lanes_load(o + f) * shrink);
}

// Row `row` of the query tile, with scores x of the columns that own.from and own.to enclose: query i of q
// against the keys k. here NULL: nothing changes single scores.
ATTEND_INLINE void attend_weigh(const attend_shape *s, const attend_room *r, const attend_here *here,
                                const attend_tile *t, attend_rows q, int i, attend_rows k, float *x,
                                attend_span own, int row) {
  float *o = r->o + row * s->dp_v, *most = r->most + row, *sum = r->sum + row * VL;
  bool full = own.begin == 0 && own.end == TILE;
  if (here) {
    float added[TILE];
    xlm_attend_added(added, here, t, q, i, k);
    attend_softmax(false, x, added, own, s->softcap, most, sum, o, s->dp_v);
  } else if (full && s->softcap == 0)
    attend_softmax(true, x, NULL, own, 0, most, sum, o, s->dp_v);
  else
    attend_softmax(false, x, NULL, own, s->softcap, most, sum, o, s->dp_v);
}

static inline float attend_q_factor(const attend_shape *s) {
  return (float)(s->softcap > 0 ? s->scale / s->softcap : s->scale * ATTEND_LOG2E);
}

// Rows [first, end) of the query tile have seen nothing but a sink.
static inline void attend_begin_rows(const attend_shape *s, const attend_room *r, const attend_here *here,
                                     int64_t first, int64_t end) {
  for (int64_t i = first * s->dp_v; i < end * s->dp_v; i++) r->o[i] = 0;
  for (int64_t i = first; i < end; i++) r->most[i] = here->sink;
  for (int64_t i = first * VL; i < end * VL; i++) r->sum[i] = i % VL == 0 && here->sink > ATTEND_HIDDEN;
}

// Writes the results of `rows`, which are from `first` on in the query tile.
static inline void attend_finish_rows(const attend_job *j, const attend_room *r, int64_t batch, int64_t h,
                                      attend_rows rows, int64_t first) {
  const attend_shape *s = &j->s;
  float *lse = (float *)j->lse.data + xlm_attend_at(s, &j->lse, batch, h);
  for (int64_t i = 0; i < rows.n; i++) {
    float sum = lanes_sum(lanes_load(r->sum + (first + i) * VL));
    lanes inverse = lanes_splat(sum > 0 || sum != sum ? 1 / sum : 0); // a query without visible keys gives 0
    float *o = r->o + (first + i) * s->dp_v;
    for (int64_t f = 0; f < s->dp_v; f += VL) lanes_store(o + f, lanes_load(o + f) * inverse);
    float most = r->most[first + i];
    lse[(rows.row + i) * j->lse.row] = sum == 0 ? -INFINITY : (float)((most + log2f(sum)) * ATTEND_LN2);
  }
  xlm_attend_store(r->o + first * s->dp_v, &j->out, xlm_attend_at(s, &j->out, batch, h), rows.row, rows.n, 1);
}

#endif
