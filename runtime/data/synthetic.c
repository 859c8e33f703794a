// Synthetic tokens with random access: a noisy Markov chain that restarts every RESTART tokens, so that any
// position is reached in a bounded number of steps. Synthetic records: a hidden class gives every element its
// value, to which numbers add noise; an id in ten is another.
#include <string.h>

#include "runtime/base/philox.h"
#include "runtime/data/data_priv.h"

enum { RESTART = 64, FOLLOW_OF_256 = 230, CLASSES = 8 };

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

static int32_t synthetic_id(const xlm_field *f, uint64_t of_class, uint32_t draw) {
  uint64_t bound = (uint64_t)(f->bound ? f->bound : INT32_MAX);
  return (int32_t)((draw & 255) < FOLLOW_OF_256 ? of_class % bound : (draw >> 8) % bound);
}

static int32_t synthetic_number(uint64_t of_class, uint32_t draw) { // in [-1.5, 1.5)
  float mean = (float)(of_class & 0xffff) / 0x8000 - 1, noise = (float)(draw >> 8) / (1 << 24) - 0.5f,
        x = mean + noise;
  int32_t cell;
  memcpy(&cell, &x, sizeof cell);
  return cell;
}

void xlm_data_synthesize_record(const xlm_data *d, int64_t index, int32_t *out) {
  uint64_t hidden = xlm_hash_mix(d->seed ^ xlm_hash_mix((uint64_t)index)) % CLASSES;
  for (int i = 0; i < d->n_fields; i++) {
    const xlm_field *f = &d->fields[i];
    uint64_t name = xlm_hash_text(f->name), of_field = xlm_hash_mix(hidden ^ name);
    xlm_philox key = xlm_philox_key(d->seed, name); // whatever else is read, and in which order
    for (int64_t k = 0; k < f->n; k++) {
      uint32_t draw[4];
      xlm_philox_draw(key, (uint64_t)k, (uint64_t)index, draw);
      uint64_t of_class = xlm_hash_mix(of_field + (uint64_t)k);
      out[f->first + k] =
          f->dtype == XLM_I32 ? synthetic_id(f, of_class, draw[0]) : synthetic_number(of_class, draw[0]);
    }
  }
}

static bool has_records(const xlm_data_options *o) {
  for (int i = 0; i < o->n_fields; i++)
    if (!xlm_data_is_of_stream(o->fields[i].name)) return true;
  return false;
}

static void describe(xlm_data *d, int64_t n, uint64_t seed) {
  d->synthetic = true;
  d->seed = seed;
  d->tokens = n;
  d->records = has_records(&d->o);
  xlm_data_place_fields(d, d->o.fields, d->o.n_fields);
}

xlm_status xlm_data_synthetic(int64_t n, xlm_data_options o, uint64_t seed, xlm_data **out, xlm_error *err) {
  xlm_data *d = *out = xlm_data_new(o);
  if (d && XLM_ARENA_TRY(d->arena)) {
    describe(d, n, seed);
    return XLM_OK;
  }
  xlm_data_close(d);
  *out = NULL;
  return xlm_fail(err, XLM_ENV, "no memory to open the data");
}
