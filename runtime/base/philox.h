// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3"
// (SC11).
//
// Draws are a pure function of (key, counter): initial weights and dropout masks are keyed by (seed, name,
// global index) and are therefore the same in every layout.
#ifndef XLM_BASE_PHILOX_H
#define XLM_BASE_PHILOX_H

#include <stdint.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

typedef struct xlm_philox {
  uint32_t key[2];
} xlm_philox;

static inline uint64_t xlm_hash_text(const char *s) { // FNV-1a, 64 bits
  uint64_t h = 1469598103934665603u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
  return h;
}

static inline XLM_HOST_DEVICE uint64_t xlm_hash_mix(uint64_t x) { // the splitmix64 finaliser
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

static inline XLM_HOST_DEVICE xlm_philox xlm_philox_key(uint64_t seed, uint64_t stream) {
  uint64_t k = xlm_hash_mix(seed ^ xlm_hash_mix(stream));
  return (xlm_philox){{(uint32_t)k, (uint32_t)(k >> 32)}};
}

enum { XLM_PHILOX_ROUNDS = 10, XLM_PHILOX_BATCH = 16 };

// n counters hi : lo, lo + 1, ... at once, in loops that compilers vectorise: word[w][i] is word w of the
// i-th. n must be a constant where this is inlined.
static inline XLM_HOST_DEVICE __attribute__((always_inline)) void
xlm_philox_lanes(xlm_philox p, uint64_t hi, uint64_t lo, int n, uint32_t *c0, uint32_t *c1, uint32_t *c2,
                 uint32_t *c3) {
  uint32_t k0 = p.key[0], k1 = p.key[1];
  for (int i = 0; i < n; i++) {
    uint64_t counter = lo + (uint64_t)i;
    c0[i] = (uint32_t)counter, c1[i] = (uint32_t)(counter >> 32), c2[i] = (uint32_t)hi,
    c3[i] = (uint32_t)(hi >> 32);
  }
  for (int r = 0; r < XLM_PHILOX_ROUNDS; r++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
    for (int i = 0; i < n; i++) {
      uint64_t m0 = (uint64_t)0xD2511F53u * c0[i], m1 = (uint64_t)0xCD9E8D57u * c2[i];
      uint32_t n0 = (uint32_t)(m1 >> 32) ^ c1[i] ^ k0, n2 = (uint32_t)(m0 >> 32) ^ c3[i] ^ k1;
      c1[i] = (uint32_t)m1, c3[i] = (uint32_t)m0, c0[i] = n0, c2[i] = n2;
    }
}

static inline __attribute__((always_inline)) void xlm_philox_batch(xlm_philox p, uint64_t hi, uint64_t lo,
                                                                   uint32_t word[4][XLM_PHILOX_BATCH]) {
  xlm_philox_lanes(p, hi, lo, XLM_PHILOX_BATCH, word[0], word[1], word[2], word[3]);
}

static inline XLM_HOST_DEVICE void xlm_philox_draw(xlm_philox p, uint64_t hi, uint64_t lo, uint32_t out[4]) {
  xlm_philox_lanes(p, hi, lo, 1, &out[0], &out[1], &out[2], &out[3]);
}

// Uniform in (0, 1): never 0, so its logarithm is finite.
static inline XLM_HOST_DEVICE double xlm_philox_unit(uint32_t bits) {
  return ((double)bits + 0.5) * 0x1p-32;
}

XLM_C_END

#endif
