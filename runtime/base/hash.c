// XXH64 with seed 0, as specified in doc/xxhash_spec.md of the xxHash repository.
#include "runtime/base/hash.h"

#include <string.h>

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u,
                      P4 = 0x85EBCA77C2B2AE63u, P5 = 0x27D4EB2F165667C5u;

static uint64_t rotate(uint64_t x, int r) {
  return x << r | x >> (64 - r);
}
static uint64_t round_of(uint64_t lane, uint64_t word) {
  return rotate(lane + word * P2, 31) * P1;
}

static uint64_t load(const unsigned char *p, size_t bytes) {
  uint64_t v = 0;
  memcpy(&v, p, bytes);
  return v;
}

static void stripe(uint64_t lane[4], const unsigned char *p) {
  for (int i = 0; i < 4; i++) lane[i] = round_of(lane[i], load(p + 8 * i, 8));
}

void xlm_hash_start(xlm_hash *h) {
  memset(h, 0, sizeof *h);
  h->lane[0] = P1 + P2, h->lane[1] = P2, h->lane[3] = 0 - P1;
}

void xlm_hash_add(xlm_hash *h, const void *data, size_t n) {
  const unsigned char *p = data;
  if (!n) return;
  h->total += n;
  if (h->n_pending) {
    size_t take = 32 - h->n_pending < n ? 32 - h->n_pending : n;
    memcpy(h->pending + h->n_pending, p, take);
    h->n_pending += take, p += take, n -= take;
    if (h->n_pending < 32) return;
    stripe(h->lane, h->pending);
    h->n_pending = 0;
  }
  for (; n >= 32; p += 32, n -= 32) stripe(h->lane, p);
  memcpy(h->pending, p, n);
  h->n_pending = n;
}

static uint64_t converge(const xlm_hash *h) {
  static const int turn[4] = {1, 7, 12, 18};
  uint64_t v = 0;
  for (int i = 0; i < 4; i++) v += rotate(h->lane[i], turn[i]);
  for (int i = 0; i < 4; i++) v = (v ^ round_of(0, h->lane[i])) * P1 + P4;
  return v;
}

static uint64_t finish_tail(uint64_t v, const unsigned char *p, size_t n) {
  for (; n >= 8; p += 8, n -= 8) v = rotate(v ^ round_of(0, load(p, 8)), 27) * P1 + P4;
  for (; n >= 4; p += 4, n -= 4) v = rotate(v ^ load(p, 4) * P1, 23) * P2 + P3;
  for (; n; p++, n--) v = rotate(v ^ *p * P5, 11) * P1;
  v = (v ^ v >> 33) * P2;
  v = (v ^ v >> 29) * P3;
  return v ^ v >> 32;
}

uint64_t xlm_hash_value(const xlm_hash *h) {
  uint64_t v = h->total >= 32 ? converge(h) : P5;
  return finish_tail(v + h->total, h->pending, h->n_pending);
}

uint64_t xlm_hash_bytes(const void *data, size_t n) {
  xlm_hash h;
  xlm_hash_start(&h);
  xlm_hash_add(&h, data, n);
  return xlm_hash_value(&h);
}
