// Synthetic tokens with random access: a noisy Markov chain that restarts every RESTART tokens, so that any
// position is reached in a bounded number of steps.
#include "runtime/base/philox.h"
#include "runtime/data/data_priv.h"

enum { RESTART = 64, FOLLOW_OF_256 = 230 };

static int32_t successor(const xlm_data *d, int32_t token) {
  return (int32_t)(xlm_hash_mix(d->seed ^ xlm_hash_mix((uint64_t)token)) % (uint64_t)d->o.vocab);
}

void xlm_data_synthesize(const xlm_data *d, int64_t offset, int64_t n, int32_t *out) {
  xlm_philox key = xlm_philox_key(d->seed, xlm_hash_text("synthetic tokens"));
  int32_t token = 0;
  for (int64_t at = offset - offset % RESTART; at < offset + n; at++) {
    uint32_t draw[4];
    xlm_philox_draw(key, 0, (uint64_t)at, draw);
    bool follow = at % RESTART && (draw[0] & 255) < FOLLOW_OF_256;
    token = follow ? successor(d, token) : (int32_t)(draw[1] % (uint64_t)d->o.vocab);
    if (at >= offset) out[at - offset] = token;
  }
}
