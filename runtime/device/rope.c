// See rope.h.
#include "runtime/device/rope.h"

#include <math.h>

xlm_rope xlm_rope_of(const xlm_call *c) {
  const xlm_attrs *as = &c->instr->attrs;
  xlm_rope r = {.feature = xlm_call_dim(c, XLM_A_feature, 0),
                .seq = c->instr->n_in > 1 ? 0 : xlm_call_dim(c, XLM_A_seq, 0),
                .factors = c->instr->n_in > 2,
                .start = xlm_attr_int(as, XLM_A_start, 0),
                .interleaved = xlm_attr_int(as, XLM_A_interleaved, 0),
                .position = xlm_attr_int(as, XLM_A_position, 0),
                .sign = xlm_attr_int(as, XLM_A_inverse, 0) ? -1 : 1,
                .scale = xlm_attr_float(as, XLM_A_scale, 1)};
  r.size = c->dims[r.feature].size;
  r.pairs = xlm_attr_int(as, XLM_A_rotary, r.size) / 2;
  return r;
}

typedef struct scaling {
  xlm_rope_scaling kind;
  double base, factor, original, low, high;
} scaling;

static double between(double low, double x, double high) {
  return x < low ? low : x > high ? high : x;
}

// The share of the frequency that is kept, from its number of turns.
static double kept_by_turns(const scaling *s, double frequency) {
  double turns = s->original * frequency / (2 * M_PI);
  return between(0, (turns - s->low) / (s->high - s->low), 1);
}

// The pair that makes so many turns, as a real number.
static double pair_of_turns(const scaling *s, int64_t pairs, double turns) {
  return (double)pairs * log(s->original / (turns * 2 * M_PI)) / log(s->base);
}

// By its place on a ramp between two pairs.
static double kept_by_pair(const scaling *s, int64_t pairs, int64_t j) {
  double first = pair_of_turns(s, pairs, s->high), last = pair_of_turns(s, pairs, s->low);
  if (s->kind == XLM_ROPE_YARN) first = floor(first), last = ceil(last);
  first = fmax(first, 0), last = fmin(last, (double)(2 * pairs - 1));
  if (first == last) last += 0.001;
  return 1 - between(0, ((double)j - first) / (last - first), 1);
}

double xlm_rope_frequency(const xlm_call *c, const xlm_rope *r, int64_t j) {
  const xlm_attrs *as = &c->instr->attrs;
  scaling s = {.kind = (xlm_rope_scaling)xlm_attr_enum(as, XLM_A_scaling, XLM_ROPE_NONE),
               .base = xlm_attr_float(as, XLM_A_base, 10000),
               .factor = xlm_attr_float(as, XLM_A_factor, 1),
               .original = xlm_attr_float(as, XLM_A_original, 1),
               .low = xlm_attr_float(as, XLM_A_low, 1),
               .high = xlm_attr_float(as, XLM_A_high, 1)};
  double frequency = pow(s.base, -(double)j / (double)r->pairs), kept = 0;
  if (s.kind == XLM_ROPE_NONE) return frequency;
  if (s.kind == XLM_ROPE_LLAMA3) kept = kept_by_turns(&s, frequency);
  if (s.kind == XLM_ROPE_YARN || s.kind == XLM_ROPE_YARN_EXACT) kept = kept_by_pair(&s, r->pairs, j);
  return (1 - kept) * frequency / s.factor + kept * frequency;
}
