// attend_bias_bwd on CPUs: the gradients of scores, recomputed as in attend_bwd and summed over the
// dimensions that the result lacks. A unit of work has the elements of the result of one head, one batch
// entry, one tile of queries and one of keys, each if the result has that dimension, and goes in ascending
// order through all that is added to them; no two units write to the same place.
#include <string.h>

#include "ops/cpu/attend/attend_pairs_priv.h"

typedef struct job {
  attend_back in;
  attend_term out; // the result
  bool queries, keys, heads, distance;
  float *workspace;
} job;

typedef struct room {
  float *kt, *vt, *rows; // a tile of keys and of values, transposed; a tile as it is
  attend_pairs pairs;
} room;

static int64_t room_floats(const attend_shape *s) {
  return TILE * (s->dp + s->dp_v + s->widest) + attend_pairs_floats(s);
}

static room room_of(const attend_shape *s, float *workspace, int worker) {
  room r = {.kt = workspace + worker * room_floats(s)};
  r.vt = r.kt + TILE * s->dp, r.rows = r.vt + TILE * s->dp_v;
  r.pairs = attend_pairs_of(s, r.rows + TILE * s->widest, r.rows);
  return r;
}

static void load_keys(const job *j, const room *r, int64_t batch, int64_t g, attend_rows k) {
  const attend_shape *s = &j->in.s;
  xlm_attend_load(r->rows, &j->in.k, xlm_attend_at(s, &j->in.k, batch, g), k.row, k.n, 1);
  xlm_attend_transpose(r->kt, r->rows, s->dp);
  xlm_attend_load(r->rows, &j->in.v, xlm_attend_at(s, &j->in.v, batch, g), k.row, k.n, 1);
  xlm_attend_transpose(r->vt, r->rows, s->dp_v);
}

static int64_t out_at(const job *j, int64_t batch, int64_t head) { // offset of the result's first element
  attend_view v = {.head = j->out.head};
  memcpy(v.batch, j->out.batch, sizeof v.batch);
  return xlm_attend_at(&j->in.s, &v, batch, head);
}

static void add_pairs(const job *j, const attend_pairs *m, const attend_pair *x, int64_t at) {
  float *out = (float *)j->out.data + at + x->q.row * j->out.query + x->k.row * j->out.key;
  float apart = (float)(x->k.pos - x->q.pos);
  for (int i = 0; i < x->t.nq; i++) {
    attend_span span = attend_span_of(&x->t, i, 1);
    for (int k = span.begin; k < span.end; k++)
      out[i * j->out.query + k * j->out.key] +=
          m->ds[i * TILE + k] * (j->distance ? apart + (float)(k - i) : 1);
  }
}

static void one_tile(const job *j, const room *r, int64_t batch, int64_t h, int64_t g, int64_t q_tile,
                     int64_t k_tile) {
  const attend_shape *s = &j->in.s;
  attend_here here = xlm_attend_terms_at(s, &j->in.terms, batch, h);
  attend_rows q = xlm_attend_rows(s, q_tile);
  attend_ahead ahead = {0};
  int64_t first, end;
  xlm_attend_key_tiles(s, q_tile, q_tile + 1, here.prefix, &first, &end);
  xlm_attend_narrow(s, &here, q, &first, &end);
  if (k_tile < first || k_tile >= end) return;
  attend_pair x = {.t = xlm_attend_tile_of(s, q_tile, k_tile, here.prefix),
                   .q = q,
                   .k = xlm_attend_key_rows(s, k_tile),
                   .here = j->in.terms.any ? &here : NULL,
                   .kt = r->kt,
                   .vt = r->vt};
  load_keys(j, r, batch, g, x.k);
  attend_load_queries(&j->in, &r->pairs, batch, h, q);
  attend_differentiate(&j->in, &r->pairs, &x, false, &ahead);
  add_pairs(j, &r->pairs, &x, out_at(j, batch, h));
}

typedef struct range {
  int64_t begin, end;
} range;

static range one_of(bool one, int64_t i, int64_t n) { // i alone, or all n
  return one ? (range){i, i + 1} : (range){0, n};
}

static void clear(const job *j, int64_t at, range q_tiles, range k_tiles) {
  const attend_shape *s = &j->in.s;
  for (int64_t t = q_tiles.begin; t < (j->queries ? q_tiles.end : q_tiles.begin + 1); t++)
    for (int64_t u = k_tiles.begin; u < (j->keys ? k_tiles.end : k_tiles.begin + 1); u++) {
      attend_rows q = xlm_attend_rows(s, t), k = xlm_attend_key_rows(s, u);
      for (int64_t a = 0; a < (j->queries ? q.n : 1); a++)
        for (int64_t b = 0; b < (j->keys ? k.n : 1); b++)
          ((float *)j->out.data)[at + (q.row + a) * j->out.query + (k.row + b) * j->out.key] = 0;
    }
}

static void do_unit(const job *j, const room *r, int64_t batch, range heads, range q_tiles, range k_tiles) {
  const attend_shape *s = &j->in.s;
  int64_t own = out_at(j, batch, 0);
  clear(j, out_at(j, batch, heads.begin), q_tiles, k_tiles);
  for (int64_t b = batch; b < s->batches; b++) {
    if (out_at(j, b, 0) != own) continue;
    for (int64_t g = 0; g < s->kv_heads; g++) {
      int64_t first, end;
      xlm_attend_group(s, g, &first, &end);
      for (int64_t h = first; h < end; h++)
        for (int64_t q = q_tiles.begin; q < q_tiles.end && h >= heads.begin && h < heads.end; q++)
          for (int64_t k = k_tiles.begin; k < k_tiles.end; k++) one_tile(j, r, b, h, g, q, k);
    }
  }
}

static bool is_first(const job *j, int64_t batch) { // of the batch entries that are added up
  const attend_shape *s = &j->in.s;
  for (int i = s->n_batch - 1; i >= 0; i--) {
    if (!j->out.batch[i] && batch % s->batch[i]) return false;
    batch /= s->batch[i];
  }
  return true;
}

static void part(void *arg, int worker, int workers) {
  const job *j = arg;
  const attend_shape *s = &j->in.s;
  room r = room_of(s, j->workspace, worker);
  int64_t heads = j->heads ? s->heads : 1, q_tiles = j->queries ? s->q_tiles : 1,
          k_tiles = j->keys ? s->k_tiles : 1;
  for (int64_t u = worker; u < s->batches * heads * q_tiles * k_tiles; u += workers) {
    int64_t k = u % k_tiles, q = u / k_tiles % q_tiles, h = u / k_tiles / q_tiles % heads;
    int64_t batch = u / k_tiles / q_tiles / heads;
    if (is_first(j, batch))
      do_unit(j, &r, batch, one_of(j->heads, h, s->heads), one_of(j->queries, q, s->q_tiles),
              one_of(j->keys, k, s->k_tiles));
  }
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  xlm_cpu_tiles tiles;
  attend_shape s = xlm_attend_read_for(c, t, &tiles);
  return (size_t)(room_floats(&s) * t->threads) * sizeof(float);
}

static xlm_status run(const xlm_call *c) {
  const xlm_attrs *as = &c->instr->attrs;
  int64_t along = xlm_attr_int(as, XLM_A_along, 0);
  job j = {.in = attend_back_of(c), .queries = along & 1, .keys = along & 2, .workspace = c->workspace};
  xlm_dim heads = xlm_call_dim(c, XLM_A_heads, 0);
  j.heads = heads && xlm_type_find(c->out_type[0], heads) >= 0;
  j.distance = xlm_attr_int(as, XLM_A_distance, 0);
  j.out = xlm_attend_term_of(c, c->out_type[0], c->out[0], j.queries, j.keys);
  xlm_pool_run(xlm_cpu_pool(c), part, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(attend_bias_bwd) = {
    .op = XLM_OP_ATTEND_BIAS_BWD, .workspace = workspace, .run = run};
