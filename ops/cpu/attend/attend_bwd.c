// attend_bwd on CPUs: FlashAttention's backward pass. For every pair of tiles the probabilities P are
// recomputed from the logsumexp; then with dS = P (dOut V^T - rowsum(dOut Out)): dV += P^T dOut, dK += dS^T
// Q, dQ += dS K. A tile pair is processed in phases, so that one packed right factor at a time stays in the
// L1 cache.
//
// Sums run over key tiles for dQ and over (head, query tile) for dK and dV, always in ascending order. With
// few (batch, key head) pairs per worker the same tile operations run in two passes, one for dK and dV over
// pieces of the keys, one for dQ over pieces of the queries: more work, the same bits.
#include <math.h>

#include "ops/cpu/attend/attend_math_priv.h"

enum { Q, K, V, OUT, LSE, DOUT, DLSE };

typedef struct job {
  attend_shape s;
  attend_view q, k, v, out, lse, dout, dlse, dq, dk, dv; // dlse.data NULL: none
  bool want_q, want_kv;
  int64_t pieces; // number of pieces of the key tiles (want_kv alone) or query tiles (want_q alone) of one
                  // (batch, key head)
  float q_factor; // factor applied to q when packing
  float *workspace;
} job;

typedef struct room {   // one worker's part of the workspace
  float *kt, *vt;       // keys, values transposed [k_tiles][dp][TILE]
  float *k;             // keys [k_tiles][TILE][dp]
  float *dk, *dv;       // sums [k_tiles][TILE][dp]
  float *q, *dout, *dq; // a query tile [TILE][dp]
  float *p, *ds;        // a tile of pairs [TILE][TILE]
  float *lse, *delta;   // [TILE]
} room;

static int64_t room_floats(const attend_shape *s) {
  return (5 * s->k_tiles + 3) * TILE * s->dp + 2 * TILE * TILE + 2 * TILE;
}

static room room_of(const attend_shape *s, float *workspace, int worker) {
  int64_t tile = TILE * s->dp, all = s->k_tiles * tile;
  room r = {.kt = workspace + worker * room_floats(s)};
  r.vt = r.kt + all, r.k = r.vt + all, r.dk = r.k + all, r.dv = r.dk + all;
  r.q = r.dv + all, r.dout = r.q + tile, r.dq = r.dout + tile;
  r.p = r.dq + tile, r.ds = r.p + TILE * TILE;
  r.lse = r.ds + TILE * TILE, r.delta = r.lse + TILE;
  return r;
}

static void pack_keys(const job *j, const room *r, int64_t batch, int64_t g, int64_t first, int64_t end) {
  const attend_shape *s = &j->s;
  int64_t k_at = xlm_attend_at(s, &j->k, batch, g), v_at = xlm_attend_at(s, &j->v, batch, g),
          tile = TILE * s->dp;
  for (int64_t t = first; t < end; t++) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_load(r->q, s, &j->v, v_at, rows.row, rows.n, 1); // q is unused until the first query tile
    xlm_attend_transpose(r->vt + t * tile, r->q, s->dp);
    xlm_attend_load(r->k + t * tile, s, &j->k, k_at, rows.row, rows.n, 1);
    xlm_attend_transpose(r->kt + t * tile, r->k + t * tile, s->dp);
  }
  if (!j->want_kv) return;
  for (int64_t i = first * tile; i < end * tile; i++) r->dk[i] = r->dv[i] = 0;
}

// delta = rowsum(dout * out) - dlse; lse in base 2, infinite where P must be zero (queries without visible
// keys).
static void load_query_numbers(const job *j, const room *r, int64_t batch, int64_t h, attend_rows rows) {
  const attend_shape *s = &j->s;
  const float *lse = (const float *)j->lse.data + xlm_attend_at(s, &j->lse, batch, h);
  const float *dlse =
      j->dlse.data ? (const float *)j->dlse.data + xlm_attend_at(s, &j->dlse, batch, h) : NULL;
  for (int64_t i = 0; i < TILE; i++) {
    float x = i < rows.n ? lse[(rows.row + i) * j->lse.row] : -INFINITY;
    r->lse[i] = x == -INFINITY ? INFINITY : (float)(x * ATTEND_LOG2E);
    lanes sum = lanes_splat(0);
    for (int64_t f = 0; f < s->dp; f += VL)
      sum += lanes_load(r->dout + i * s->dp + f) * lanes_load(r->dq + i * s->dp + f);
    r->delta[i] = lanes_sum(sum) - (dlse && i < rows.n ? dlse[(rows.row + i) * j->dlse.row] : 0);
  }
}

static void load_queries(const job *j, const room *r, int64_t batch, int64_t h, int64_t q_tile) {
  const attend_shape *s = &j->s;
  attend_rows rows = xlm_attend_rows(s, q_tile);
  xlm_attend_load(r->q, s, &j->q, xlm_attend_at(s, &j->q, batch, h), rows.row, rows.n, j->q_factor);
  xlm_attend_load(r->dout, s, &j->dout, xlm_attend_at(s, &j->dout, batch, h), rows.row, rows.n, 1);
  xlm_attend_load(r->dq, s, &j->out, xlm_attend_at(s, &j->out, batch, h), rows.row, rows.n, 1); // for delta
  load_query_numbers(j, r, batch, h, rows);
  for (int64_t i = 0; i < TILE * s->dp; i++) r->dq[i] = 0;
}

// c [TILE][TILE] = a . bt, restricted to the keys each strip of queries sees.
static void pair_products(const attend_shape *s, const attend_tile *t, const float *a, const float *bt,
                          float *c, attend_ahead *ahead) {
  for (int i = 0; i < t->nq; i += MR) {
    attend_span span = attend_span_of(t, i, MR);
    xlm_attend_fetch(ahead, 2 * MR);
    if (span.begin < span.end)
      xlm_attend_mul(a + i * s->dp, s->dp, (int)s->d, bt + span.from, TILE, c + i * TILE + span.from, TILE,
                     (span.to - span.from) / VL, false);
  }
}

// For one query: scores become probabilities, dout . v becomes dS.
ATTEND_INLINE void pair_row(bool masked, float *p, float *ds, attend_span span, float softcap, float lse,
                            float delta) {
  for (int i = span.from; i < span.to; i += VL) {
    lanes x = lanes_load(p + i), slope = lanes_splat(1);
    if (softcap > 0) {
      lanes t = lanes_tanh(x);
      x = lanes_splat((float)(softcap * ATTEND_LOG2E)) * t;
      slope -= t * t;
    }
    lanes y = lanes_exp2(x - lanes_splat(lse));
    if (masked) y = (lanes)((ilanes)y & lanes_inside(i, span.begin, span.end));
    lanes d = y * (lanes_load(ds + i) - lanes_splat(delta));
    lanes_store(p + i, y);
    lanes_store(ds + i, softcap > 0 ? d * slope : d);
  }
}

static void pair_rows(const attend_shape *s, const attend_tile *t, const room *r) {
  for (int i = 0; i < t->nq; i++) {
    attend_span whole = attend_span_of(t, i / MR * MR, MR), own = attend_span_of(t, i, 1);
    if (whole.begin == whole.end) continue;
    own.from = whole.from, own.to = whole.to;
    bool masked = own.begin > own.from || own.end < own.to;
    float *p = r->p + i * TILE, *ds = r->ds + i * TILE;
    if (s->softcap > 0)
      pair_row(true, p, ds, own, s->softcap, r->lse[i], r->delta[i]);
    else if (masked)
      pair_row(true, p, ds, own, 0, r->lse[i], r->delta[i]);
    else
      pair_row(false, p, ds, own, 0, r->lse[i], r->delta[i]);
  }
}

static void add_dq(const attend_shape *s, const attend_tile *t, const room *r, const float *k,
                   attend_ahead *ahead) {
  for (int i = 0; i < t->nq; i += MR) {
    xlm_attend_fetch(ahead, 2 * MR);
    attend_span span = attend_span_of(t, i, MR);
    if (span.begin < span.end)
      xlm_attend_mul(r->ds + i * TILE + span.begin, TILE, span.end - span.begin, k + span.begin * s->dp,
                     s->dp, r->dq + i * s->dp, s->dp, (int)(s->dp / VL), true);
  }
}

// sum [TILE][dp] += pairs^T . rows, by strips of keys; only queries that see a key of the strip contribute.
static void add_transposed(const attend_shape *s, const attend_tile *t, const float *pairs, const float *rows,
                           float *sum, attend_ahead *ahead) {
  for (int j = 0; j < t->nk; j += MR) {
    xlm_attend_fetch(ahead, 2 * MR);
    int last = attend_min(j + MR, t->nk) - 1;
    int begin = attend_max(0, j - t->hi), end = attend_min(t->nq, last - t->lo + 1);
    if (begin < end)
      xlm_attend_mul_t(pairs + begin * TILE + j, TILE, end - begin, rows + begin * s->dp, s->dp,
                       sum + j * s->dp, s->dp, (int)(s->dp / VL), true);
  }
}

static void tile_pair(const job *j, const room *r, int64_t q_tile, int64_t k_tile, attend_ahead *ahead) {
  const attend_shape *s = &j->s;
  int64_t at = k_tile * TILE * s->dp;
  attend_tile t = xlm_attend_tile_of(s, q_tile, k_tile);
  pair_products(s, &t, r->q, r->kt + at, r->p, ahead);
  pair_products(s, &t, r->dout, r->vt + at, r->ds, ahead);
  pair_rows(s, &t, r);
  if (j->want_q) add_dq(s, &t, r, r->k + at, ahead);
  if (!j->want_kv) return;
  add_transposed(s, &t, r->p, r->dout, r->dv + at, ahead);
  add_transposed(s, &t, r->ds, r->q, r->dk + at, ahead);
}

static void store_keys(const job *j, const room *r, int64_t batch, int64_t g, int64_t first, int64_t end) {
  const attend_shape *s = &j->s;
  int64_t k_at = xlm_attend_at(s, &j->dk, batch, g), v_at = xlm_attend_at(s, &j->dv, batch, g),
          tile = TILE * s->dp;
  for (int64_t t = first; t < end; t++) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_store(r->dk + t * tile, s, &j->dk, k_at, rows.row, rows.n, s->scale / j->q_factor);
    xlm_attend_store(r->dv + t * tile, s, &j->dv, v_at, rows.row, rows.n, 1);
  }
}

// A unit of work: the query tiles [q_first, q_end) of the heads [h_first, h_end), which share key head g of
// one batch entry, against the key tiles [k_first, k_end).
typedef struct unit {
  int64_t batch, g, h_first, h_end, q_first, q_end, k_first, k_end;
} unit;

static unit unit_at(const job *j, int64_t u) {
  const attend_shape *s = &j->s;
  int piece = (int)(u % j->pieces), pieces = (int)j->pieces;
  unit x = {.g = u / pieces % s->kv_heads,
            .batch = u / pieces / s->kv_heads,
            .q_end = s->q_tiles,
            .k_end = s->k_tiles};
  xlm_attend_group(s, x.g, &x.h_first, &x.h_end);
  if (!j->want_q) xlm_pool_range(s->k_tiles, piece, pieces, &x.k_first, &x.k_end);
  if (!j->want_kv) {
    xlm_pool_range(s->q_tiles, piece, pieces, &x.q_first, &x.q_end);
    xlm_attend_key_tiles(s, x.q_first, x.q_end, &x.k_first, &x.k_end);
  }
  return x;
}

// The rows to prefetch during query tile t of head h: the next query tile and, under the last head, piece by
// piece, the keys and values of the next unit and the gradients of this one.
static attend_ahead look_ahead(const job *j, const unit *x, const unit *next, int64_t h, int64_t t) {
  const attend_shape *s = &j->s;
  attend_ahead a = {0};
  const unit *of = x;
  int64_t q_tile = t + 1, head = h;
  if (q_tile == x->q_end) q_tile = x->q_first, head++;
  if (head == x->h_end) of = next, head = next ? next->h_first : 0, q_tile = next ? next->q_first : 0;
  attend_rows rows = xlm_attend_rows(s, q_tile), here = xlm_attend_rows(s, t),
              keys = xlm_attend_key_rows(s, t);
  if (of) {
    xlm_attend_want(&a, s, &j->q, xlm_attend_at(s, &j->q, of->batch, head), rows, false);
    xlm_attend_want(&a, s, &j->dout, xlm_attend_at(s, &j->dout, of->batch, head), rows, false);
    xlm_attend_want(&a, s, &j->out, xlm_attend_at(s, &j->out, of->batch, head), rows, false);
  }
  if (j->want_q) xlm_attend_want(&a, s, &j->dq, xlm_attend_at(s, &j->dq, x->batch, h), here, true);
  if (h < x->h_end - 1) return a;
  if (next) {
    xlm_attend_want(&a, s, &j->k, xlm_attend_at(s, &j->k, next->batch, next->g), keys, false);
    xlm_attend_want(&a, s, &j->v, xlm_attend_at(s, &j->v, next->batch, next->g), keys, false);
  }
  if (j->want_kv) {
    xlm_attend_want(&a, s, &j->dk, xlm_attend_at(s, &j->dk, x->batch, x->g), keys, true);
    xlm_attend_want(&a, s, &j->dv, xlm_attend_at(s, &j->dv, x->batch, x->g), keys, true);
  }
  return a;
}

static void query_tile(const job *j, const room *r, const unit *x, int64_t h, int64_t q,
                       attend_ahead *ahead) {
  const attend_shape *s = &j->s;
  int64_t first, end;
  xlm_attend_key_tiles(s, q, q + 1, &first, &end);
  if (first < x->k_first) first = x->k_first;
  if (end > x->k_end) end = x->k_end;
  if (first >= end && !j->want_q) return;
  load_queries(j, r, x->batch, h, q);
  for (int64_t k = first; k < end; k++) tile_pair(j, r, q, k, ahead);
  attend_rows rows = xlm_attend_rows(s, q);
  if (j->want_q)
    xlm_attend_store(r->dq, s, &j->dq, xlm_attend_at(s, &j->dq, x->batch, h), rows.row, rows.n, s->scale);
}

static void do_unit(const void *job_, int worker, int64_t u, int64_t next) {
  const job *j = job_;
  room r = room_of(&j->s, j->workspace, worker);
  unit x = unit_at(j, u), after = unit_at(j, next < 0 ? u : next);
  pack_keys(j, &r, x.batch, x.g, x.k_first, x.k_end);
  for (int64_t h = x.h_first; h < x.h_end; h++)
    for (int64_t q = x.q_first; q < x.q_end; q++) {
      attend_ahead ahead = look_ahead(j, &x, next < 0 ? NULL : &after, h, q);
      query_tile(j, &r, &x, h, q, &ahead);
    }
  if (j->want_kv) store_keys(j, &r, x.batch, x.g, x.k_first, x.k_end);
}

static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  attend_units(j, j->s.batches * j->s.kv_heads * j->pieces, worker, workers, do_unit);
}

static job job_of(const xlm_call *c) {
  job j = {.s = xlm_attend_read(c), .workspace = c->workspace, .want_q = true, .want_kv = true, .pieces = 1};
  attend_view *queries[] = {&j.q, NULL, NULL, &j.out, &j.lse, &j.dout, &j.dlse};
  attend_view *keys[] = {NULL, &j.k, &j.v};
  for (int i = 0; i < c->instr->n_in; i++) {
    bool query = queries[i] != NULL;
    *(query ? queries[i] : keys[i]) = xlm_attend_view_of(c, &j.s, c->in_type[i], c->in[i], query);
  }
  j.dq = xlm_attend_view_of(c, &j.s, c->out_type[Q], c->out[Q], true);
  j.dk = xlm_attend_view_of(c, &j.s, c->out_type[K], c->out[K], false);
  j.dv = xlm_attend_view_of(c, &j.s, c->out_type[V], c->out[V], false);
  j.q_factor = (float)(j.s.softcap > 0 ? j.s.scale / j.s.softcap : j.s.scale * ATTEND_LOG2E);
  return j;
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  xlm_cpu_tiles tiles;
  attend_shape s = xlm_attend_read_for(c, t, &tiles);
  return (size_t)(room_floats(&s) * t->threads) * sizeof(float);
}

enum { ONE_PASS, TWO_PASSES };
static const char *const variants[] = {"one_pass", "two_passes", NULL};

static bool applicable(const xlm_call *c, const xlm_target *t, int variant) {
  attend_shape s = xlm_attend_read(c);
  return variant == TWO_PASSES || attend_pieces(s.batches * s.kv_heads, t->threads, s.k_tiles) == 1;
}

static xlm_status run(const xlm_call *c) {
  job j = job_of(c);
  int workers = xlm_pool_size(xlm_cpu_pool(c));
  int64_t units = j.s.batches * j.s.kv_heads;
  if (c->variant == ONE_PASS) {
    xlm_pool_run(xlm_cpu_pool(c), part, &j);
    return XLM_OK;
  }
  j.want_q = false, j.pieces = attend_pieces(units, workers, j.s.k_tiles);
  xlm_pool_run(xlm_cpu_pool(c), part, &j);
  j.want_q = true, j.want_kv = false, j.pieces = attend_pieces(units, workers, j.s.q_tiles);
  xlm_pool_run(xlm_cpu_pool(c), part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(attend_bwd) = {.op = XLM_OP_ATTEND_BWD,
                                           .variants = variants,
                                           .applicable = applicable,
                                           .workspace = workspace,
                                           .run = run};
