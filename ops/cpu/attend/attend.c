// attend on CPUs: FlashAttention's order of computation (Dao et al.; Milakov & Gimelshein for the online
// softmax), for caches instead of shared memory. Keys and values of one head are packed once; a tile of
// queries then visits the key tiles in order, strip by strip (MR queries): scores, softmax against the
// running maximum, product with the values. Tiles and parts of strips hidden by the mask are skipped. A
// query's result does not depend on what else a worker computes.
#include "ops/cpu/attend/attend_forward_priv.h"

enum { Q, K, V };

typedef attend_job job;
typedef attend_room room;

static void pack_keys(const job *j, const attend_shape *s, const room *r, int64_t batch, int64_t g,
                      int64_t first, int64_t end) {
  for (int64_t t = first; t < end; t++) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_load_keys(r->o, s, &j->k, batch, g, rows); // o is unused until the first query tile
    xlm_attend_transpose(r->kt + t * TILE * s->dp, r->o, s->dp);
    xlm_attend_load_keys(r->v + t * TILE * s->dp_v, s, &j->v, batch, g, rows);
  }
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
    attend_weigh(s, r, p->here, &p->t, p->q, i + n, p->k, r->scores + n * TILE, own, i + n);
  }
  xlm_attend_fetch(ahead, 2 * MR);
  xlm_attend_mul(r->scores + span.begin, TILE, span.end - span.begin, p->v + span.begin * s->dp_v, s->dp_v,
                 r->o + i * s->dp_v, s->dp_v, (int)(s->dp_v / VL), true);
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
  if (next && h == x->h_end - 1 && !s->ring) {
    attend_rows rows = xlm_attend_key_rows(s, t);
    xlm_attend_want_keys(&a, s, &j->k, next->batch, next->g, rows);
    xlm_attend_want_keys(&a, s, &j->v, next->batch, next->g, rows);
  }
  return a;
}

static void query_tile(const job *j, const attend_shape *s, const room *r, int64_t batch, int64_t h,
                       int64_t q_tile, attend_ahead *ahead) {
  attend_here here = xlm_attend_terms_at(s, &j->terms, batch, h);
  attend_rows rows = xlm_attend_rows(s, q_tile);
  int64_t first, end;
  xlm_attend_load(r->q, &j->q, xlm_attend_at(s, &j->q, batch, h), rows.row, rows.n, attend_q_factor(s));
  attend_begin_rows(s, r, &here, 0, TILE);
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
  attend_finish_rows(j, r, batch, h, rows, 0);
}

static void do_unit(const void *job_, int worker, int64_t u, int64_t next) {
  const job *j = job_;
  room r = attend_room_of(j, worker);
  unit x = unit_at(j, u), after = unit_at(j, next < 0 ? u : next);
  attend_shape s = j->s;
  if (s.ring) s = xlm_attend_of_sample(&s, xlm_attend_start(&s, &j->terms, x.batch));
  int64_t k_first, k_end;
  xlm_attend_key_tiles(&s, x.q_first, x.q_end, xlm_attend_prefix(&s, &j->terms, x.batch), &k_first, &k_end);
  pack_keys(j, &s, &r, x.batch, x.g, k_first, k_end);
  for (int64_t h = x.h_first; h < x.h_end; h++)
    for (int64_t t = x.q_first; t < x.q_end; t++) {
      attend_ahead ahead = look_ahead(j, &x, next < 0 ? NULL : &after, h, t);
      query_tile(j, &s, &r, x.batch, h, t, &ahead);
    }
}

static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  if (xlm_attend_few(&j->s))
    xlm_attend_few_rows(j, worker, workers);
  else
    attend_units(j, j->s.batches * j->s.kv_heads * j->pieces, worker, workers, do_unit);
}

static int64_t tiles_of(const attend_shape *s) { // a few queries: a tile, and room to turn it
  return xlm_attend_few(s) ? 2 : s->k_tiles;
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  xlm_cpu_tiles tiles;
  attend_shape s = xlm_attend_read_for(c, t, &tiles);
  int64_t floats = attend_room_floats(&s, tiles_of(&s), tiles.lanes, tiles.attend_rows);
  return (size_t)(floats * t->threads) * sizeof(float);
}

static attend_keys keys_of(const xlm_call *c, const attend_shape *s, int own, xlm_operand cached) {
  int at = xlm_attr_operand(&c->instr->attrs, c->instr->n_in, cached);
  attend_keys k = {.own = xlm_attend_view_of(c, s, c->in_type[own], c->in[own], false)};
  if (at >= 0) k.cached = xlm_attend_cached_of(c, s, c->in_type[at], c->in[at]);
  return k;
}

static xlm_status run(const xlm_call *c) {
  job j = {.s = xlm_attend_read(c), .terms = xlm_attend_read_terms(c), .workspace = c->workspace};
  j.q = xlm_attend_view_of(c, &j.s, c->in_type[Q], c->in[Q], true);
  j.k = keys_of(c, &j.s, K, XLM_OPERAND_PAST_K);
  j.v = keys_of(c, &j.s, V, XLM_OPERAND_PAST_V);
  j.out = xlm_attend_view_of(c, &j.s, c->out_type[0], c->out[0], true);
  j.lse = xlm_attend_view_of(c, &j.s, c->out_type[1], c->out[1], true);
  j.tiles = tiles_of(&j.s);
  j.pieces = attend_pieces(j.s.batches * j.s.kv_heads, xlm_pool_size(xlm_cpu_pool(c)), j.s.q_tiles);
  xlm_pool_run(xlm_cpu_pool(c), part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(attend) = {.op = XLM_OP_ATTEND, .workspace = workspace, .run = run};
