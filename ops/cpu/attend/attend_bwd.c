// attend_bwd on CPUs: FlashAttention's backward pass. For every pair of tiles the probabilities P are
// recomputed from the logsumexp; then with dS = P (dOut V^T - rowsum(dOut Out)): dV += P^T dOut, dK += dS^T
// Q, dQ += dS K. A tile pair is processed in phases, so that one packed right factor at a time stays in the
// L1 cache.
//
// Sums run over key tiles for dQ and over (head, query tile) for dK and dV, always in ascending order. With
// few (batch, key head) pairs per worker the same tile operations run in two passes, one for dK and dV over
// pieces of the keys, one for dQ over pieces of the queries: more work, the same bits.
#include "ops/cpu/attend/attend_pairs_priv.h"

enum { Q, K, V };

typedef struct job {
  attend_back in;
  attend_view dq, dk, dv;
  bool want_q, want_kv;
  int64_t pieces; // number of pieces of the key tiles (want_kv alone) or query tiles (want_q alone) of one
                  // (batch, key head)
  float *workspace;
} job;

typedef struct room { // one worker's part of the workspace
  float *kt, *vt;     // keys, values transposed [k_tiles][dp][TILE], [k_tiles][dp_v][TILE]
  float *k;           // keys [k_tiles][TILE][dp]
  float *dk, *dv;     // sums [k_tiles][TILE][dp], [k_tiles][TILE][dp_v]
  float *dq;          // of a query tile [TILE][dp], before that a tile of values or of the result
  attend_pairs pairs;
} room;

static int64_t room_floats(const attend_shape *s) {
  return s->k_tiles * TILE * (3 * s->dp + 2 * s->dp_v) + TILE * s->widest + attend_pairs_floats(s);
}

static room room_of(const attend_shape *s, float *workspace, int worker) {
  int64_t of_keys = s->k_tiles * TILE * s->dp, of_values = s->k_tiles * TILE * s->dp_v;
  room r = {.kt = workspace + worker * room_floats(s)};
  r.k = r.kt + of_keys, r.dk = r.k + of_keys;
  r.vt = r.dk + of_keys, r.dv = r.vt + of_values;
  r.dq = r.dv + of_values;
  r.pairs = attend_pairs_of(s, r.dq + TILE * s->widest, r.dq);
  return r;
}

static void pack_keys(const job *j, const room *r, int64_t batch, int64_t g, int64_t first, int64_t end) {
  const attend_shape *s = &j->in.s;
  int64_t k_at = xlm_attend_at(s, &j->in.k, batch, g), v_at = xlm_attend_at(s, &j->in.v, batch, g);
  int64_t tile = TILE * s->dp, v_tile = TILE * s->dp_v;
  for (int64_t t = first; t < end; t++) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_load(r->dq, &j->in.v, v_at, rows.row, rows.n, 1); // dq is unused until the first query tile
    xlm_attend_transpose(r->vt + t * v_tile, r->dq, s->dp_v);
    xlm_attend_load(r->k + t * tile, &j->in.k, k_at, rows.row, rows.n, 1);
    xlm_attend_transpose(r->kt + t * tile, r->k + t * tile, s->dp);
  }
  if (!j->want_kv) return;
  for (int64_t i = first * tile; i < end * tile; i++) r->dk[i] = 0;
  for (int64_t i = first * v_tile; i < end * v_tile; i++) r->dv[i] = 0;
}

static void add_dq(const attend_shape *s, const attend_tile *t, const room *r, const float *k,
                   attend_ahead *ahead) {
  for (int i = 0; i < t->nq; i += MR) {
    xlm_attend_fetch(ahead, 2 * MR);
    attend_span span = attend_span_of(t, i, MR);
    if (span.begin < span.end)
      xlm_attend_mul(r->pairs.ds + i * TILE + span.begin, TILE, span.end - span.begin, k + span.begin * s->dp,
                     s->dp, r->dq + i * s->dp, s->dp, (int)(s->dp / VL), true);
  }
}

// sum [TILE][dp] += pairs^T . rows, by strips of keys; only queries that see a key of the strip contribute.
static void add_transposed(const attend_tile *t, const float *pairs, const float *rows, int64_t dp,
                           float *sum, attend_ahead *ahead) {
  for (int j = 0; j < t->nk; j += MR) {
    xlm_attend_fetch(ahead, 2 * MR);
    int last = attend_min(j + MR, t->nk) - 1;
    bool open = j < t->open; // then all queries do
    int begin = open ? 0 : attend_max(0, j - t->hi), end = open ? t->nq : attend_min(t->nq, last - t->lo + 1);
    if (begin < end)
      xlm_attend_mul_t(pairs + begin * TILE + j, TILE, end - begin, rows + begin * dp, dp, sum + j * dp, dp,
                       (int)(dp / VL), true);
  }
}

static void tile_pair(const job *j, const room *r, const attend_here *here, attend_rows q, int64_t q_tile,
                      int64_t k_tile, attend_ahead *ahead) {
  const attend_shape *s = &j->in.s;
  const attend_pairs *m = &r->pairs;
  int64_t at = k_tile * TILE * s->dp, v_at = k_tile * TILE * s->dp_v;
  attend_pair x = {.t = xlm_attend_tile_of(s, q_tile, k_tile, here->prefix),
                   .q = q,
                   .k = xlm_attend_key_rows(s, k_tile),
                   .here = j->in.terms.any ? here : NULL,
                   .kt = r->kt + at,
                   .vt = r->vt + v_at};
  attend_differentiate(&j->in, m, &x, true, ahead);
  if (j->want_q) add_dq(s, &x.t, r, r->k + at, ahead);
  if (!j->want_kv) return;
  add_transposed(&x.t, m->p, m->dout, s->dp_v, r->dv + v_at, ahead);
  add_transposed(&x.t, m->ds, m->q, s->dp, r->dk + at, ahead);
}

static void store_keys(const job *j, const room *r, int64_t batch, int64_t g, int64_t first, int64_t end) {
  const attend_shape *s = &j->in.s;
  int64_t k_at = xlm_attend_at(s, &j->dk, batch, g), v_at = xlm_attend_at(s, &j->dv, batch, g);
  for (int64_t t = first; t < end; t++) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_store(r->dk + t * TILE * s->dp, &j->dk, k_at, rows.row, rows.n, s->scale / j->in.q_factor);
    xlm_attend_store(r->dv + t * TILE * s->dp_v, &j->dv, v_at, rows.row, rows.n, 1);
  }
}

// A unit of work: the query tiles [q_first, q_end) of the heads [h_first, h_end), which share key head g of
// one batch entry, against the key tiles [k_first, k_end).
typedef struct unit {
  int64_t batch, g, h_first, h_end, q_first, q_end, k_first, k_end;
} unit;

static unit unit_at(const job *j, int64_t u) {
  const attend_shape *s = &j->in.s;
  int piece = (int)(u % j->pieces), pieces = (int)j->pieces;
  unit x = {.g = u / pieces % s->kv_heads,
            .batch = u / pieces / s->kv_heads,
            .q_end = s->q_tiles,
            .k_end = s->k_tiles};
  xlm_attend_group(s, x.g, &x.h_first, &x.h_end);
  if (!j->want_q) xlm_pool_range(s->k_tiles, piece, pieces, &x.k_first, &x.k_end);
  if (!j->want_kv) {
    xlm_pool_range(s->q_tiles, piece, pieces, &x.q_first, &x.q_end);
    xlm_attend_key_tiles(s, x.q_first, x.q_end, xlm_attend_prefix(s, &j->in.terms, x.batch), &x.k_first,
                         &x.k_end);
  }
  return x;
}

// The rows to prefetch during query tile t of head h: the next query tile and, under the last head, piece by
// piece, the keys and values of the next unit and the gradients of this one.
static attend_ahead look_ahead(const job *j, const unit *x, const unit *next, int64_t h, int64_t t) {
  const attend_shape *s = &j->in.s;
  attend_ahead a = {0};
  const unit *of = x;
  int64_t q_tile = t + 1, head = h;
  if (q_tile == x->q_end) q_tile = x->q_first, head++;
  if (head == x->h_end) of = next, head = next ? next->h_first : 0, q_tile = next ? next->q_first : 0;
  attend_rows rows = xlm_attend_rows(s, q_tile), here = xlm_attend_rows(s, t),
              keys = xlm_attend_key_rows(s, t);
  if (of) {
    xlm_attend_want(&a, &j->in.q, xlm_attend_at(s, &j->in.q, of->batch, head), rows, false);
    xlm_attend_want(&a, &j->in.dout, xlm_attend_at(s, &j->in.dout, of->batch, head), rows, false);
    xlm_attend_want(&a, &j->in.out, xlm_attend_at(s, &j->in.out, of->batch, head), rows, false);
  }
  if (j->want_q) xlm_attend_want(&a, &j->dq, xlm_attend_at(s, &j->dq, x->batch, h), here, true);
  if (h < x->h_end - 1) return a;
  if (next) {
    xlm_attend_want(&a, &j->in.k, xlm_attend_at(s, &j->in.k, next->batch, next->g), keys, false);
    xlm_attend_want(&a, &j->in.v, xlm_attend_at(s, &j->in.v, next->batch, next->g), keys, false);
  }
  if (j->want_kv) {
    xlm_attend_want(&a, &j->dk, xlm_attend_at(s, &j->dk, x->batch, x->g), keys, true);
    xlm_attend_want(&a, &j->dv, xlm_attend_at(s, &j->dv, x->batch, x->g), keys, true);
  }
  return a;
}

static void query_tile(const job *j, const room *r, const unit *x, int64_t h, int64_t q,
                       attend_ahead *ahead) {
  const attend_shape *s = &j->in.s;
  attend_here here = xlm_attend_terms_at(s, &j->in.terms, x->batch, h);
  attend_rows rows = xlm_attend_rows(s, q);
  int64_t first, end;
  xlm_attend_key_tiles(s, q, q + 1, here.prefix, &first, &end);
  xlm_attend_narrow(s, &here, rows, &first, &end);
  if (first < x->k_first) first = x->k_first;
  if (end > x->k_end) end = x->k_end;
  if (first >= end && !j->want_q) return;
  attend_load_queries(&j->in, &r->pairs, x->batch, h, rows);
  for (int64_t i = 0; i < TILE * s->dp; i++) r->dq[i] = 0;
  for (int64_t k = first; k < end; k++) tile_pair(j, r, &here, rows, q, k, ahead);
  if (j->want_q)
    xlm_attend_store(r->dq, &j->dq, xlm_attend_at(s, &j->dq, x->batch, h), rows.row, rows.n, s->scale);
}

static void do_unit(const void *job_, int worker, int64_t u, int64_t next) {
  const job *j = job_;
  room r = room_of(&j->in.s, j->workspace, worker);
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
  attend_units(j, j->in.s.batches * j->in.s.kv_heads * j->pieces, worker, workers, do_unit);
}

static job job_of(const xlm_call *c) {
  job j = {.in = attend_back_of(c), .workspace = c->workspace, .want_q = true, .want_kv = true, .pieces = 1};
  j.dq = xlm_attend_view_of(c, &j.in.s, c->out_type[Q], c->out[Q], true);
  j.dk = xlm_attend_view_of(c, &j.in.s, c->out_type[K], c->out[K], false);
  j.dv = xlm_attend_view_of(c, &j.in.s, c->out_type[V], c->out[V], false);
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
  int64_t units = j.in.s.batches * j.in.s.kv_heads;
  if (c->variant == ONE_PASS) {
    xlm_pool_run(xlm_cpu_pool(c), part, &j);
    return XLM_OK;
  }
  j.want_q = false, j.pieces = attend_pieces(units, workers, j.in.s.k_tiles);
  xlm_pool_run(xlm_cpu_pool(c), part, &j);
  j.want_q = true, j.want_kv = false, j.pieces = attend_pieces(units, workers, j.in.s.q_tiles);
  xlm_pool_run(xlm_cpu_pool(c), part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(attend_bwd) = {.op = XLM_OP_ATTEND_BWD,
                                           .variants = variants,
                                           .applicable = applicable,
                                           .workspace = workspace,
                                           .run = run};
