// Attention of a few queries with caches: decoding has one query per sequence. Nothing is packed ahead; the
// rows of the query tile are the queries of several heads, one head after the other, and each tile of keys is
// read from the caches once and used by all of its queries, where it lies if they are few. A unit of work is
// a part of the key heads of one sample, whose rows lie side by side in the caches.
#include "ops/cpu/attend/attend_forward_priv.h"

static int64_t largest_group(const attend_shape *s) { // query heads of a key head
  int64_t first, end, most = 0;
  for (int64_t g = 0; g < s->kv_heads; g++) {
    xlm_attend_group(s, g, &first, &end);
    if (end - first > most) most = end - first;
  }
  return most;
}

bool xlm_attend_few(const attend_shape *s) {
  return s->ring && s->queries <= TILE && s->queries * largest_group(s) <= TILE;
}

typedef struct unit {
  const attend_job *j;
  attend_shape s; // of the sample
  attend_room r;
  int64_t batch, g_first, g_end, h_first, h_end; // key heads, and the heads that use them
  attend_rows q;                                 // the queries of each head
  attend_here here[TILE];                        // of each head
  int64_t first, end;                            // tiles of keys
} unit;

static int first_row(const unit *x, int64_t h) {
  return (int)((h - x->h_first) * x->q.n);
}

static void begin(unit *x) {
  const attend_job *j = x->j;
  const attend_shape *s = &x->s;
  x->q = xlm_attend_rows(s, 0);
  for (int64_t h = x->h_first; h < x->h_end; h++) {
    int row = first_row(x, h);
    x->here[h - x->h_first] = xlm_attend_terms_at(s, &j->terms, x->batch, h);
    xlm_attend_load_some(x->r.q + row * s->dp, &j->q, xlm_attend_at(s, &j->q, x->batch, h), 0, x->q.n,
                         attend_q_factor(s));
    attend_begin_rows(s, &x->r, &x->here[h - x->h_first], row, row + x->q.n);
  }
}

typedef struct keys { // a tile of one key head
  attend_tile t;
  attend_rows rows;
  int64_t g;
  const float *kt, *v;   // packed; NULL: used where they lie
  attend_ahead_of ahead; // then
} keys;

static keys keys_at(const unit *x, int64_t g, int64_t tile, int64_t queries) {
  enum { STRIPS = 4 }; // of queries, from which on it pays to pack keys
  const attend_shape *s = &x->s;
  const attend_job *j = x->j;
  keys k = {.t = xlm_attend_tile_of(s, 0, tile, x->here[0].prefix),
            .rows = xlm_attend_key_rows(s, tile),
            .g = g,
            .ahead = {.tile = tile + 1 < x->end, .head = tile == x->first && g + 1 < x->g_end}};
  if (queries < STRIPS * MR && xlm_attend_reads_there(&j->k.own, &j->v.own) &&
      xlm_attend_reads_there(&j->k.cached, &j->v.cached))
    return k;
  float *turned = x->r.kt + TILE * s->dp;
  xlm_attend_load_keys(x->r.kt, s, &j->k, x->batch, g, k.rows);
  xlm_attend_transpose(turned, x->r.kt, s->dp);
  xlm_attend_load_keys(x->r.v, s, &j->v, x->batch, g, k.rows);
  k.kt = turned, k.v = x->r.v;
  return k;
}

// Scores of the columns of the span, and o += weights . values.
static void scores_of(const unit *x, const keys *k, int rows, const float *q, attend_span span) {
  const attend_shape *s = &x->s;
  if (k->kt)
    xlm_attend_mul_rows(rows, q, s->dp, (int)s->d, k->kt + span.from, TILE, x->r.scores + span.from, TILE,
                        (span.to - span.from) / VL, false);
  else
    xlm_attend_scores_of_keys(rows, q, s->dp, s, &x->j->k, x->batch, k->g, k->rows, span, k->ahead,
                              x->r.scores);
}

static void add_values(const unit *x, const keys *k, int rows, attend_span span, float *o) {
  const attend_shape *s = &x->s;
  if (k->v)
    xlm_attend_mul_rows(rows, x->r.scores + span.begin, TILE, span.end - span.begin,
                        k->v + span.begin * s->dp_v, s->dp_v, o, s->dp_v, (int)(s->dp_v / VL), true);
  else
    xlm_attend_add_values(rows, x->r.scores, s, &x->j->v, x->batch, k->g, k->rows, span, k->ahead, o,
                          s->dp_v);
}

// The columns that any of the rows sees.
static attend_span span_of(const unit *x, const keys *k, int row, int rows) {
  attend_span all = {.begin = TILE, .end = 0};
  for (int i = row; i < row + rows; i++) {
    attend_span own = attend_span_of(&k->t, i % (int)x->q.n, 1);
    if (own.begin == own.end) continue;
    all.begin = attend_min(all.begin, own.begin), all.end = attend_max(all.end, own.end);
  }
  all.from = all.begin / VL * VL, all.to = (all.end + VL - 1) / VL * VL;
  return all;
}

static void strip(const unit *x, const keys *k, int row, int rows) {
  const attend_shape *s = &x->s;
  const attend_room *r = &x->r;
  int n = (int)x->q.n;
  attend_span span = span_of(x, k, row, rows);
  if (span.begin >= span.end) return;
  scores_of(x, k, rows, r->q + row * s->dp, span);
  for (int i = 0; i < rows; i++) {
    const attend_here *here = x->j->terms.any ? &x->here[(row + i) / n] : NULL;
    attend_span own = attend_span_of(&k->t, (row + i) % n, 1);
    own.from = span.from, own.to = span.to;
    attend_weigh(s, r, here, &k->t, x->q, (row + i) % n, k->rows, r->scores + i * TILE, own, row + i);
  }
  add_values(x, k, rows, span, r->o + row * s->dp_v);
}

static void use_tile(const unit *x, int64_t g, int64_t tile) {
  int64_t first, end;
  xlm_attend_group(&x->s, g, &first, &end);
  int row = first_row(x, first), last = first_row(x, end);
  keys k = keys_at(x, g, tile, last - row);
  for (; row < last; row += MR) strip(x, &k, row, attend_min(MR, last - row));
}

static void do_unit(const void *job, int worker, int64_t u, int64_t next) {
  const attend_job *j = job;
  int64_t none;
  (void)next;
  unit x = {.j = j, .r = attend_room_of(j, worker), .batch = u / j->pieces};
  xlm_pool_range(j->s.kv_heads, (int)(u % j->pieces), (int)j->pieces, &x.g_first, &x.g_end);
  if (x.g_first == x.g_end) return;
  x.s = xlm_attend_of_sample(&j->s, xlm_attend_start(&j->s, &j->terms, x.batch));
  xlm_attend_group(&x.s, x.g_first, &x.h_first, &none);
  xlm_attend_group(&x.s, x.g_end - 1, &none, &x.h_end);
  if (x.h_first >= x.h_end) return;
  begin(&x);
  xlm_attend_key_tiles(&x.s, 0, 1, x.here[0].prefix, &x.first, &x.end);
  for (int64_t tile = x.first; tile < x.end; tile++)
    for (int64_t g = x.g_first; g < x.g_end; g++) use_tile(&x, g, tile);
  for (int64_t h = x.h_first; h < x.h_end; h++)
    attend_finish_rows(j, &x.r, x.batch, h, x.q, first_row(&x, h));
}

// Parts of the key heads of a sample: as many as give all workers the same share, and few enough rows each.
static int64_t pieces_of(const attend_shape *s, int workers) {
  int64_t fit = TILE / (s->queries * largest_group(s)), least = (s->kv_heads + fit - 1) / fit, n = least;
  while (n < s->kv_heads && s->batches * n % workers && s->batches * n < 4 * workers) n++;
  return n;
}

void xlm_attend_few_rows(const attend_job *all, int worker, int workers) {
  attend_job j = *all;
  j.pieces = pieces_of(&j.s, workers);
  attend_units(&j, j.s.batches * j.pieces, worker, workers, do_unit);
}
