// attend on CPUs: FlashAttention's order of computation (Dao et al.; Milakov & Gimelshein for the online
// softmax), for caches instead of shared memory. Keys and values of one head are packed once; a tile of
// queries then visits the key tiles in order, strip by strip (MR queries): scores, softmax against the
// running maximum, product with the values. Tiles and parts of strips hidden by the mask are skipped. A
// query's result does not depend on what else a worker computes.
#include <math.h>

#include "ops/cpu/attend/attend_math_priv.h"
#include "ops/cpu/attend/attend_terms_priv.h"

enum { Q, K, V };

typedef struct job {
  attend_shape s;
  attend_view q, k, v, out, lse;
  attend_terms terms;
  int64_t pieces; // number of pieces of the query tiles of one (batch, key head)
  float *workspace;
} job;

typedef struct room { // one worker's part of the workspace
  float *kt, *v;      // packed keys [k_tiles][dp][TILE], values [k_tiles][TILE][dp_v]
  float *q, *o;       // a query tile [TILE][dp] and its result [TILE][dp_v]; o has room for a tile of keys
  float *scores;      // a strip [MR][TILE]
  float *most;        // running maximum [TILE]
  float *sum;         // running sum, by lane [TILE][VL]
} room;

static int64_t room_floats(const attend_shape *s, int vl, int rows) { // lanes of a vector, rows of a tile
  return (s->k_tiles + 1) * TILE * (s->dp + s->dp_v) + TILE * (s->widest - s->dp_v) + rows * TILE + TILE +
         TILE * vl;
}

static room room_of(const attend_shape *s, float *workspace, int worker) {
  room r = {.kt = workspace + worker * room_floats(s, VL, MR)};
  r.v = r.kt + s->k_tiles * TILE * s->dp;
  r.q = r.v + s->k_tiles * TILE * s->dp_v;
  r.o = r.q + TILE * s->dp;
  r.scores = r.o + TILE * s->widest;
  r.most = r.scores + MR * TILE;
  r.sum = r.most + TILE;
  return r;
}

static void pack_keys(const job *j, const room *r, int64_t batch, int64_t g, int64_t first, int64_t end) {
  const attend_shape *s = &j->s;
  int64_t k_at = xlm_attend_at(s, &j->k, batch, g), v_at = xlm_attend_at(s, &j->v, batch, g);
  for (int64_t t = first; t < end; t++) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_load(r->o, &j->k, k_at, rows.row, rows.n, 1); // o is unused until the first query tile
    xlm_attend_transpose(r->kt + t * TILE * s->dp, r->o, s->dp);
    xlm_attend_load(r->v + t * TILE * s->dp_v, &j->v, v_at, rows.row, rows.n, 1);
  }
}

ATTEND_INLINE lanes capped(lanes x, float softcap) {
  return softcap > 0 ? lanes_splat((float)(softcap * ATTEND_LOG2E)) * lanes_tanh(x) : x;
}

// Turns one query's scores [from, to) into probabilities times 2^-maximum; full: all TILE of them are
// visible. added: to the scores, or NULL.
ATTEND_INLINE void softmax_row(bool full, float *x, const float *added, attend_span span, float softcap,
                               float *most, float *sum, float *o, int64_t dp) {
  int from = full ? 0 : span.from, to = full ? TILE : span.to;
  lanes peak = lanes_splat(ATTEND_HIDDEN), value[TILE / VL];
  for (int i = from; i < to; i += VL) {
    lanes s = capped(lanes_load(x + i), softcap);
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

// A tile of queries and one of keys.
typedef struct tile_pair {
  attend_tile t;
  attend_rows q, k;
  const attend_here *here; // NULL: nothing changes single scores
  const float *kt, *v;
} tile_pair;

// Computes MR queries from i on against one key tile.
static void strip(const attend_shape *s, const room *r, const tile_pair *p, int i, attend_ahead *ahead) {
  attend_span span = attend_span_of(&p->t, i, MR);
  if (span.begin == span.end) return;
  xlm_attend_fetch(ahead, 2 * MR);
  xlm_attend_mul(r->q + i * s->dp, s->dp, (int)s->d, p->kt + span.from, TILE, r->scores + span.from, TILE,
                 (span.to - span.from) / VL, false);
  for (int n = 0; n < MR; n++) {
    attend_span own = attend_span_of(&p->t, i + n, 1);
    own.from = span.from, own.to = span.to;
    float *x = r->scores + n * TILE, *o = r->o + (i + n) * s->dp_v, *most = r->most + i + n,
          *sum = r->sum + (i + n) * VL;
    bool full = own.begin == 0 && own.end == TILE;
    if (p->here) {
      float added[TILE];
      xlm_attend_added(added, p->here, &p->t, p->q, i + n, p->k);
      softmax_row(false, x, added, own, s->softcap, most, sum, o, s->dp_v);
    } else if (full && s->softcap == 0)
      softmax_row(true, x, NULL, own, 0, most, sum, o, s->dp_v);
    else
      softmax_row(false, x, NULL, own, s->softcap, most, sum, o, s->dp_v);
  }
  xlm_attend_fetch(ahead, 2 * MR);
  xlm_attend_mul(r->scores + span.begin, TILE, span.end - span.begin, p->v + span.begin * s->dp_v, s->dp_v,
                 r->o + i * s->dp_v, s->dp_v, (int)(s->dp_v / VL), true);
}

static void finish_tile(const job *j, const room *r, int64_t batch, int64_t h, attend_rows rows) {
  const attend_shape *s = &j->s;
  float *lse = (float *)j->lse.data + xlm_attend_at(s, &j->lse, batch, h);
  for (int i = 0; i < rows.n; i++) {
    float sum = lanes_sum(lanes_load(r->sum + i * VL));
    lanes inverse = lanes_splat(sum > 0 || sum != sum ? 1 / sum : 0); // a query without visible keys gives 0
    float *o = r->o + i * s->dp_v;
    for (int64_t f = 0; f < s->dp_v; f += VL) lanes_store(o + f, lanes_load(o + f) * inverse);
    lse[(rows.row + i) * j->lse.row] = sum == 0 ? -INFINITY : (float)((r->most[i] + log2f(sum)) * ATTEND_LN2);
  }
  xlm_attend_store(r->o, &j->out, xlm_attend_at(s, &j->out, batch, h), rows.row, rows.n, 1);
}

// A unit of work: the query tiles [q_first, q_end) of the heads [h_first, h_end), which share key head g of
// one batch entry.
typedef struct unit {
  int64_t batch, g, h_first, h_end, q_first, q_end;
} unit;

static unit unit_at(const job *j, int64_t u) {
  const attend_shape *s = &j->s;
  unit x = {.g = u / j->pieces % s->kv_heads, .batch = u / j->pieces / s->kv_heads};
  xlm_pool_range(s->q_tiles, (int)(u % j->pieces), (int)j->pieces, &x.q_first, &x.q_end);
  xlm_attend_group(s, x.g, &x.h_first, &x.h_end);
  return x;
}

// The rows to prefetch during query tile t of head h: the next query tile and, under the last head, piece by
// piece, the keys and values of the next unit.
static attend_ahead look_ahead(const job *j, const unit *x, const unit *next, int64_t h, int64_t t) {
  const attend_shape *s = &j->s;
  attend_ahead a = {0};
  const unit *of = x;
  int64_t q_tile = t + 1, head = h;
  if (q_tile == x->q_end) q_tile = x->q_first, head++;
  if (head == x->h_end) of = next, head = next ? next->h_first : 0, q_tile = next ? next->q_first : 0;
  if (of) {
    attend_rows rows = xlm_attend_rows(s, q_tile);
    xlm_attend_want(&a, &j->q, xlm_attend_at(s, &j->q, of->batch, head), rows, false);
    xlm_attend_want(&a, &j->out, xlm_attend_at(s, &j->out, of->batch, head), rows, true);
  }
  if (next && h == x->h_end - 1) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_want(&a, &j->k, xlm_attend_at(s, &j->k, next->batch, next->g), rows, false);
    xlm_attend_want(&a, &j->v, xlm_attend_at(s, &j->v, next->batch, next->g), rows, false);
  }
  return a;
}

static void begin_tile(const job *j, const room *r, const attend_here *here, attend_rows rows, int64_t q_at) {
  const attend_shape *s = &j->s;
  double factor = s->softcap > 0 ? s->scale / s->softcap : s->scale * ATTEND_LOG2E;
  xlm_attend_load(r->q, &j->q, q_at, rows.row, rows.n, (float)factor);
  for (int64_t i = 0; i < TILE * s->dp_v; i++) r->o[i] = 0;
  for (int i = 0; i < TILE; i++) r->most[i] = here->sink;
  for (int i = 0; i < TILE * VL; i++) r->sum[i] = i % VL == 0 && here->sink > ATTEND_HIDDEN;
}

static void query_tile(const job *j, const room *r, int64_t batch, int64_t h, int64_t q_tile,
                       attend_ahead *ahead) {
  const attend_shape *s = &j->s;
  attend_here here = xlm_attend_terms_at(s, &j->terms, batch, h);
  attend_rows rows = xlm_attend_rows(s, q_tile);
  int64_t first, end;
  begin_tile(j, r, &here, rows, xlm_attend_at(s, &j->q, batch, h));
  xlm_attend_key_tiles(s, q_tile, q_tile + 1, here.prefix, &first, &end);
  xlm_attend_narrow(s, &here, rows, &first, &end);
  for (int64_t t = first; t < end; t++) {
    tile_pair p = {.t = xlm_attend_tile_of(s, q_tile, t, here.prefix),
                   .q = rows,
                   .k = xlm_attend_key_rows(s, t),
                   .here = j->terms.any ? &here : NULL,
                   .kt = r->kt + t * TILE * s->dp,
                   .v = r->v + t * TILE * s->dp_v};
    for (int i = 0; i < rows.n; i += MR) strip(s, r, &p, i, ahead);
  }
  finish_tile(j, r, batch, h, rows);
}

static void do_unit(const void *job_, int worker, int64_t u, int64_t next) {
  const job *j = job_;
  room r = room_of(&j->s, j->workspace, worker);
  unit x = unit_at(j, u), after = unit_at(j, next < 0 ? u : next);
  int64_t k_first, k_end;
  xlm_attend_key_tiles(&j->s, x.q_first, x.q_end, xlm_attend_prefix(&j->s, &j->terms, x.batch), &k_first,
                       &k_end);
  pack_keys(j, &r, x.batch, x.g, k_first, k_end);
  for (int64_t h = x.h_first; h < x.h_end; h++)
    for (int64_t t = x.q_first; t < x.q_end; t++) {
      attend_ahead ahead = look_ahead(j, &x, next < 0 ? NULL : &after, h, t);
      query_tile(j, &r, x.batch, h, t, &ahead);
    }
}

static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  attend_units(j, j->s.batches * j->s.kv_heads * j->pieces, worker, workers, do_unit);
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  xlm_cpu_tiles tiles;
  attend_shape s = xlm_attend_read_for(c, t, &tiles);
  return (size_t)(room_floats(&s, tiles.lanes, tiles.attend_rows) * t->threads) * sizeof(float);
}

static xlm_status run(const xlm_call *c) {
  job j = {.s = xlm_attend_read(c), .terms = xlm_attend_read_terms(c), .workspace = c->workspace};
  j.q = xlm_attend_view_of(c, &j.s, c->in_type[Q], c->in[Q], true);
  j.k = xlm_attend_view_of(c, &j.s, c->in_type[K], c->in[K], false);
  j.v = xlm_attend_view_of(c, &j.s, c->in_type[V], c->in[V], false);
  j.out = xlm_attend_view_of(c, &j.s, c->out_type[0], c->out[0], true);
  j.lse = xlm_attend_view_of(c, &j.s, c->out_type[1], c->out[1], true);
  j.pieces = attend_pieces(j.s.batches * j.s.kv_heads, xlm_pool_size(xlm_cpu_pool(c)), j.s.q_tiles);
  xlm_pool_run(xlm_cpu_pool(c), part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(attend) = {.op = XLM_OP_ATTEND, .workspace = workspace, .run = run};
