// Samples of a stream. The order of an epoch is a keyed permutation: a balanced Feistel network over the next
// power of four, iterated until the result is in [0, n) (cycle walking; Black & Rogaway, "Ciphers with
// Arbitrary Finite Domains", 2002). Positions are computed, not stored.
#include <inttypes.h>
#include <string.h>

#include "runtime/base/philox.h"
#include "runtime/data/data_priv.h"

enum { ROUNDS = 6 };

static uint64_t feistel(uint64_t x, int half_bits, uint64_t key) {
  uint64_t mask = ((uint64_t)1 << half_bits) - 1, left = x >> half_bits, right = x & mask;
  for (uint64_t round = 0; round < ROUNDS; round++) {
    uint64_t mixed = left ^ (xlm_hash_mix(key + round * 0x9E3779B97F4A7C15u + (right << 8)) & mask);
    left = right, right = mixed;
  }
  return left << half_bits | right;
}

uint64_t xlm_data_permute(uint64_t n, uint64_t key, uint64_t index) {
  int half_bits = 1;
  while (half_bits < 31 && (uint64_t)1 << (2 * half_bits) < n) half_bits++;
  do index = feistel(index, half_bits, key);
  while (index >= n);
  return index;
}

// Sequences of an index are records if each fills a sample; documents of equal length are not.
static int64_t record_of(const xlm_data *d, int64_t seq) {
  if (d->o.record) return d->o.record;
  return d->sequence == seq || d->sequence == seq + 1 ? d->sequence : 0;
}

static xlm_status open_records(xlm_data_part part, int64_t seq, uint64_t seed, const char *what,
                               xlm_samples *out, xlm_error *err) {
  int64_t n = part.end - part.begin;
  *out =
      (xlm_samples){.part = part, .seq = seq, .n = n, .stride = 1, .cells = part.data->cells, .seed = seed};
  if (n > 0) return XLM_OK;
  return xlm_fail(err, XLM_USER, "there are no records for %s: give more data", what);
}

xlm_status xlm_samples_open(xlm_data_part part, int64_t seq, uint64_t seed, const char *what,
                            xlm_samples *out, xlm_error *err) {
  if (part.data->records) return open_records(part, seq, seed, what, out, err);
  int64_t n = part.end - part.begin, record = record_of(part.data, seq), stride = record ? record : seq;
  int64_t window = seq + (part.data->o.ahead ? part.data->o.ahead : 1);
  if (record && record < seq)
    return xlm_fail(err, XLM_USER,
                    "a record has %" PRId64 " tokens and a sample %" PRId64
                    ": give a --seq-length of at most %" PRId64,
                    record, window, record);
  int64_t cells = xlm_data_reads_documents(part.data) ? 3 * window : window;
  *out = (xlm_samples){part, seq, (n - window) / stride + 1, stride, window, cells, seed, NULL};
  if (n >= window) return XLM_OK;
  return xlm_fail(
      err, XLM_USER,
      "the %s data has %" PRId64 " tokens, but one sample takes %" PRId64
      " (the sequence length and what lies ahead of it): give more data or a smaller --seq-length",
      what, n, window);
}

static xlm_field field_of_stream(const xlm_samples *s, const char *name) {
  xlm_field f = {.name = name, .dtype = XLM_I32, .rank = 1, .shape = {s->window}, .n = s->window};
  if (!strcmp(name, "documents")) f.first = s->window;
  if (!strcmp(name, "positions")) f.first = 2 * s->window;
  return f;
}

bool xlm_samples_field(const xlm_samples *s, const char *name, xlm_field *out) {
  const xlm_data *d = s->part.data;
  for (int i = 0; i < d->n_fields && d->records; i++) {
    if (strcmp(name, d->fields[i].name)) continue;
    *out = d->fields[i];
    return true;
  }
  *out = field_of_stream(s, name);
  return !d->records && xlm_data_is_of_stream(name) && out->first < s->cells;
}

static xlm_status read_window(const xlm_samples *s, int64_t index, int64_t shift, int32_t *out,
                              xlm_error *err) {
  if (s->part.data->records) return xlm_data_read_record(s->part.data, s->part.begin + index, out, err);
  XLM_TRY(xlm_data_read(s->part.data, s->part.begin + shift + index * s->stride, s->window, out, err));
  return s->cells == s->window ? XLM_OK : xlm_data_find_documents(s->part.data, s->window, out, err);
}

xlm_status xlm_samples_window(const xlm_samples *s, int64_t index, int32_t *out, xlm_error *err) {
  if (s->mixture) {
    const xlm_samples *source = xlm_mixture_find(s->mixture, &index);
    return xlm_samples_window(source, index, out, err);
  }
  XLM_ASSERT(index >= 0 && index < s->n, "window %" PRId64 " of %" PRId64, index, s->n);
  return read_window(s, index, 0, out, err);
}

xlm_status xlm_samples_shuffled(const xlm_samples *s, int64_t index, int32_t *out, xlm_error *err) {
  if (s->mixture) {
    const xlm_samples *source = xlm_mixture_find(s->mixture, &index);
    return xlm_samples_shuffled(source, index, out, err);
  }
  // One window fewer per epoch leaves room to shift all boundaries by up to a window, so that a small corpus
  // is not cut at the same places in every epoch. Records have fixed boundaries.
  bool moving = s->n > 16 && !s->part.data->records && !record_of(s->part.data, s->seq);
  int64_t n = moving ? s->n - 1 : s->n, epoch = index / n;
  uint64_t key = xlm_hash_mix(s->seed ^ xlm_hash_mix((uint64_t)epoch + 1));
  int64_t shift = moving ? (int64_t)(xlm_hash_mix(key) % (uint64_t)s->seq) : 0;
  int64_t at = (int64_t)xlm_data_permute((uint64_t)n, key, (uint64_t)(index % n));
  return read_window(s, at, shift, out, err);
}
