// Shared by the files that read a saved plan. After the first error a reader continues with harmless values
// and sets `failed`; the first error is the one reported.
#ifndef XLM_PLAN_JSON_READ_PRIV_H
#define XLM_PLAN_JSON_READ_PRIV_H

#include <jansson.h>

#include "runtime/plan/plan.h"

typedef struct reader {
  xlm_arena *a;
  xlm_error *err;
  bool failed;
  uint32_t n_dims, n_tensors, n_instrs, n_segments; // of the rank plan being read
} reader;

void xlm_json_fail(reader *r, const char *what, const char *key);

// Members of the object o. A value outside [low, high] or of the wrong kind is an error; the result is then
// `low`, or a similarly harmless value.
int64_t xlm_json_int(reader *r, const json_t *o, const char *key, int64_t low, int64_t high);
int64_t xlm_json_int_or(reader *r, const json_t *o, const char *key, int64_t low, int64_t high,
                        int64_t unset);
double xlm_json_number(reader *r, const json_t *o, const char *key);
const char *xlm_json_text(reader *r, const json_t *o, const char *key);
const char *xlm_json_text_or_null(reader *r, const json_t *o, const char *key);
bool xlm_json_bool(const json_t *o, const char *key);
// A list of at most `most` entries; *n: its length.
const json_t *xlm_json_list(reader *r, const json_t *o, const char *key, size_t most, uint32_t *n);
// A list of indices low <= i < end.
uint32_t *xlm_json_indices(reader *r, const json_t *o, const char *key, uint32_t low, uint32_t end,
                           uint32_t most, uint32_t *n);
// n non-negative numbers, from the member `key` or from the list v.
void xlm_json_longs(reader *r, const json_t *o, const char *key, uint64_t *at, uint32_t n);
void xlm_json_to_longs(reader *r, const json_t *v, const char *key, uint64_t *at, uint32_t n);
// The index i < n for which name(i) equals the member's text.
int xlm_json_name(reader *r, const json_t *o, const char *key, const char *(*name)(int), int n);
xlm_attrs xlm_json_attrs(reader *r, const json_t *o);

xlm_rank_plan *xlm_json_rank(reader *r, const json_t *o, uint8_t n_axes);

#endif
