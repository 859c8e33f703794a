// rope, the reference.
#include <math.h>

#include "ops/ref/ref_priv.h"
#include "runtime/device/rope.h"

static double position_at(const xlm_call *c, const xlm_rope *r, const ref_walk *w) {
  if (r->seq) return (double)(xlm_dim_global(&c->dims[r->seq], ref_walk_index(w, r->seq)) + r->position);
  int64_t at = ref_at(c, c->in_type[1], w);
  return c->in_type[1]->dtype == XLM_I32 ? ((const int32_t *)c->in[1])[at] : ref_in(c, 1)[at];
}

// Element f of those that are turned.
static double turned(const xlm_call *c, const xlm_rope *r, const ref_walk *w, int64_t f) {
  int64_t j = r->interleaved ? f / 2 : f % r->pairs;
  bool is_first = r->interleaved ? f % 2 == 0 : f < r->pairs;
  ref_walk partner = *w;
  ref_walk_set(&partner, r->feature, r->start + (r->interleaved ? f ^ 1 : (f + r->pairs) % (2 * r->pairs)));
  double frequency = xlm_rope_frequency(c, r, j) / (r->factors ? ref_in(c, 2)[j] : 1);
  double angle = r->sign * position_at(c, r, w) * frequency;
  double self = ref_in(c, 0)[ref_at(c, c->in_type[0], w)],
         other = ref_in(c, 0)[ref_at(c, c->in_type[0], &partner)];
  return r->scale * (self * cos(angle) + (is_first ? -other : other) * sin(angle));
}

static xlm_status run(const xlm_call *c) {
  xlm_rope r = xlm_rope_of(c);
  for (ref_walk w = ref_walk_type(c, c->in_type[0]); ref_walk_next(&w);) {
    int64_t f = ref_walk_index(&w, r.feature) - r.start, at = ref_at(c, c->in_type[0], &w);
    ref_out(c, 0)[at] = f >= 0 && f < 2 * r.pairs ? turned(c, &r, &w, f) : ref_in(c, 0)[at];
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_rope = {.op = XLM_OP_ROPE, .run = run};
