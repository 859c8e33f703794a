// What attend_bwd and attend_bias_bwd share: the probabilities of a tile of queries and a tile of keys,
// recomputed from the logsumexp, and the gradients of their scores, P (dOut V^T - rowsum(dOut Out)).
#ifndef XLM_ATTEND_ATTEND_PAIRS_PRIV_H
#define XLM_ATTEND_ATTEND_PAIRS_PRIV_H

#include <math.h>

#include "ops/cpu/attend/attend_math_priv.h"
#include "ops/cpu/attend/attend_terms_priv.h"

typedef struct attend_back { // the operands
  attend_shape s;
  attend_view q, k, v, out, lse, dout, dlse; // dlse.data NULL: none
  attend_terms terms;
  float q_factor; // applied to q when packing
} attend_back;

typedef struct attend_pairs { // a worker's memory for a tile of queries and its pairs
  float *q, *dout;            // [TILE][dp], [TILE][dp_v]
  float *out;                 // the result [TILE][dp_v], needed while queries are loaded
  float *p, *ds;              // [TILE][TILE]
  float *lse, *delta;         // [TILE]
} attend_pairs;

typedef struct attend_pair {
  attend_tile t;
  attend_rows q, k;
  const attend_here *here; // NULL: nothing changes single scores
  const float *kt, *vt;    // keys, values transposed [dp][TILE], [dp_v][TILE]
} attend_pair;

// Without `out`.
static inline int64_t attend_pairs_floats(const attend_shape *s) {
  return TILE * (s->dp + s->dp_v) + 2 * TILE * TILE + 2 * TILE;
}

static inline attend_pairs attend_pairs_of(const attend_shape *s, float *at, float *out) {
  attend_pairs r = {.q = at, .out = out};
  r.dout = r.q + TILE * s->dp;
  r.p = r.dout + TILE * s->dp_v, r.ds = r.p + TILE * TILE;
  r.lse = r.ds + TILE * TILE, r.delta = r.lse + TILE;
  return r;
}

static inline attend_back attend_back_of(const xlm_call *c) {
  enum { Q, K, V, OUT, LSE, DOUT };
  attend_back j = {.s = xlm_attend_read(c), .terms = xlm_attend_read_terms(c)};
  attend_view *views[] = {&j.q, &j.k, &j.v, &j.out, &j.lse, &j.dout};
  for (int i = Q; i <= DOUT; i++)
    *views[i] = xlm_attend_view_of(c, &j.s, c->in_type[i], c->in[i], i != K && i != V);
  int dlse = xlm_attr_operand(&c->instr->attrs, c->instr->n_in, XLM_OPERAND_DLSE);
  if (dlse >= 0) j.dlse = xlm_attend_view_of(c, &j.s, c->in_type[dlse], c->in[dlse], true);
  j.q_factor = (float)(j.s.softcap > 0 ? j.s.scale / j.s.softcap : j.s.scale * ATTEND_LOG2E);
  return j;
}

// delta = rowsum(dout * out) - dlse; lse in base 2, infinite where P must be zero (queries without visible
// keys).
static inline void load_query_numbers(const attend_back *j, const attend_pairs *r, int64_t batch, int64_t h,
                                      attend_rows rows) {
  const attend_shape *s = &j->s;
  const float *lse = (const float *)j->lse.data + xlm_attend_at(s, &j->lse, batch, h);
  const float *dlse =
      j->dlse.data ? (const float *)j->dlse.data + xlm_attend_at(s, &j->dlse, batch, h) : NULL;
  for (int64_t i = 0; i < TILE; i++) {
    float x = i < rows.n ? lse[(rows.row + i) * j->lse.row] : -INFINITY;
    r->lse[i] = x == -INFINITY ? INFINITY : (float)(x * ATTEND_LOG2E);
    lanes sum = lanes_splat(0);
    for (int64_t f = 0; f < s->dp_v; f += VL)
      sum += lanes_load(r->dout + i * s->dp_v + f) * lanes_load(r->out + i * s->dp_v + f);
    r->delta[i] = lanes_sum(sum) - (dlse && i < rows.n ? dlse[(rows.row + i) * j->dlse.row] : 0);
  }
}

static inline void attend_load_queries(const attend_back *j, const attend_pairs *r, int64_t batch, int64_t h,
                                       attend_rows rows) {
  const attend_shape *s = &j->s;
  xlm_attend_load(r->q, &j->q, xlm_attend_at(s, &j->q, batch, h), rows.row, rows.n, j->q_factor);
  xlm_attend_load(r->dout, &j->dout, xlm_attend_at(s, &j->dout, batch, h), rows.row, rows.n, 1);
  xlm_attend_load(r->out, &j->out, xlm_attend_at(s, &j->out, batch, h), rows.row, rows.n, 1);
  load_query_numbers(j, r, batch, h, rows);
}

// c [TILE][TILE] = a . bt over d features (a's rows: dp), restricted to the keys each strip of queries sees.
static inline void pair_products(const attend_tile *t, const float *a, int64_t dp, int64_t d, const float *bt,
                                 float *c, attend_ahead *ahead) {
  for (int i = 0; i < t->nq; i += MR) {
    attend_span span = attend_span_of(t, i, MR);
    xlm_attend_fetch(ahead, 2 * MR);
    if (span.begin < span.end)
      xlm_attend_mul(a + i * dp, dp, (int)d, bt + span.from, TILE, c + i * TILE + span.from, TILE,
                     (span.to - span.from) / VL, false);
  }
}

// For one query: scores become probabilities, dout . v becomes dS: of the score, or (inner) of what the
// soft-cap is applied to. added: to the scores, or NULL.
ATTEND_INLINE void pair_row(bool masked, float *p, float *ds, const float *added, attend_span span,
                            float softcap, bool inner, float lse, float delta) {
  for (int i = span.from; i < span.to; i += VL) {
    lanes x = lanes_load(p + i), slope = lanes_splat(1);
    if (softcap > 0) {
      lanes t = lanes_tanh(x);
      x = lanes_splat((float)(softcap * ATTEND_LOG2E)) * t;
      slope -= t * t;
    }
    if (added) x += lanes_load(added + i);
    lanes y = lanes_exp2(x - lanes_splat(lse));
    if (masked) y = (lanes)((ilanes)y & lanes_inside(i, span.begin, span.end));
    if (added) y = (lanes)((ilanes)y & (ilanes)(lanes_load(added + i) > lanes_splat(ATTEND_HIDDEN / 2)));
    lanes d = y * (lanes_load(ds + i) - lanes_splat(delta));
    lanes_store(p + i, y);
    lanes_store(ds + i, softcap > 0 && inner ? d * slope : d);
  }
}

static inline void pair_rows(const attend_shape *s, const attend_pair *x, const attend_pairs *r, bool inner) {
  const attend_tile *t = &x->t;
  for (int i = 0; i < t->nq; i++) {
    attend_span whole = attend_span_of(t, i / MR * MR, MR), own = attend_span_of(t, i, 1);
    if (whole.begin == whole.end) continue;
    own.from = whole.from, own.to = whole.to;
    bool masked = own.begin > own.from || own.end < own.to;
    float *p = r->p + i * TILE, *ds = r->ds + i * TILE;
    if (x->here) {
      float added[TILE];
      xlm_attend_added(added, x->here, t, x->q, i, x->k);
      pair_row(true, p, ds, added, own, s->softcap, inner, r->lse[i], r->delta[i]);
    } else if (s->softcap > 0)
      pair_row(true, p, ds, NULL, own, s->softcap, inner, r->lse[i], r->delta[i]);
    else if (masked)
      pair_row(true, p, ds, NULL, own, 0, inner, r->lse[i], r->delta[i]);
    else
      pair_row(false, p, ds, NULL, own, 0, inner, r->lse[i], r->delta[i]);
  }
}

// Fills r->p and r->ds where queries of the strip see keys; elsewhere they are not written.
static inline void attend_differentiate(const attend_back *j, const attend_pairs *r, const attend_pair *x,
                                        bool inner, attend_ahead *ahead) {
  const attend_shape *s = &j->s;
  pair_products(&x->t, r->q, s->dp, s->d, x->kt, r->p, ahead);
  pair_products(&x->t, r->dout, s->dp_v, s->d_v, x->vt, r->ds, ahead);
  pair_rows(s, x, r, inner);
}

#endif
